"""The peers: small programs, each written as its documentation teaches, on the same servers and rows.

They run in their own environment (``requirements.lock``) and use only the table's columns of Limpet.
"""
