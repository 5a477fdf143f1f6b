"""The embedded stack: ``limpet up`` supervises real servers and Limpet's own processes on one machine."""
