"""Responses: what the ledger and the records say, in the shapes that clients know."""
