"""``limpet import`` and ``limpet verify``: manifests and files in, over HTTP, resumable."""
