"""The secrets of one data folder, generated once."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from worker.private_files import write_private


def _make_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Keyring:
    """Every password and key of the embedded stack; ``secrets.json`` is their only copy."""

    postgres: str = field(default_factory=_make_secret)
    valkey: str = field(default_factory=_make_secret)
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = field(default_factory=_make_secret)
    jwt: str = field(default_factory=_make_secret)
    user: str = "limpet"
    password: str = field(default_factory=_make_secret)
    api_key: str = ""

    def __repr__(self) -> str:
        """Hide the secrets in logs and tracebacks."""
        return "Keyring(...)"


def read_keyring(path: Path) -> Keyring:
    """Return the secrets kept at ``path``."""
    return Keyring(**json.loads(path.read_text()))


def write_keyring(path: Path, keyring: Keyring) -> None:
    """Write the secrets to ``path``, readable by the owner only."""
    write_private(path, json.dumps(asdict(keyring), indent=1) + "\n")
