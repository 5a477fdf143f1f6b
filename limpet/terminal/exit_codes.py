"""The exit codes of commands besides 0 (done), 1 (an error) and 2 (wrong usage)."""

SOME_FAILED = 3  # some rows or items failed
REFUSED = 4  # the manifest, or the whole request, was refused
