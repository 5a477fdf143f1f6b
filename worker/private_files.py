"""Files that only their owner may read, replaced as a whole."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Put ``text`` at ``path``, mode 0600: a reader sees the old file or the new one, never a half."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink()
        raise
