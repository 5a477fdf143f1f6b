"""The embedded stack: real servers and our own parts on one machine, under one supervisor (``limpet up``)."""
