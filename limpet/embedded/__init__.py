"""The embedded stack: real servers and our own processes on one machine, under one supervisor (``limpet up``)."""
