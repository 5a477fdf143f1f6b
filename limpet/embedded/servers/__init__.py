"""Servers: what each process of the stack is started with."""
