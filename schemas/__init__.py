"""The contracts: what clients send and see. Pydantic and the standard library only."""
