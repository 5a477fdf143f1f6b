"""Kinds: what an item asks for, how it is parsed, and what it does to the records."""
