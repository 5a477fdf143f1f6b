"""What a person starts: the ``limpet`` command, its client and the embedded stack."""
