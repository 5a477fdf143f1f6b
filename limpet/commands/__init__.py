"""The commands of ``limpet``, one module for each group."""
