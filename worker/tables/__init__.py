"""The tables of a target database."""
