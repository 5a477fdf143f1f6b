"""Sections: each measures some rows of the table."""
