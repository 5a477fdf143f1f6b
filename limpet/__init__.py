"""The ``limpet`` command, its HTTP client and the embedded stack."""
