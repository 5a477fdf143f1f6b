"""``limpet import`` and ``limpet verify``: read manifests and files, and send or compare them over HTTP."""
