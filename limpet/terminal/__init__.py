"""Output, interrupts and exit codes of commands."""
