"""The schema: the tables of a target database."""
