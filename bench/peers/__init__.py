"""The peers: small honest programs, each as its own documentation teaches, on the same servers and rows.

They run in an environment of their own (``requirements.lock``) and take from Limpet the table's columns only.
"""
