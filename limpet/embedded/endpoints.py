"""Where database, broker and object store are, and how to sign in there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from limpet.embedded.errors import StartRefusedError


@dataclass(frozen=True, repr=False)
class Bucket:
    """One bucket of an S3 endpoint (``host:port``)."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str = "limpet"
    region: str = "us-east-1"
    secure: bool = False


@dataclass(frozen=True, repr=False)
class Stores:
    """The three servers below ours; URLs carry their passwords."""

    databases: Mapping[str, str]
    broker: str
    bucket: Bucket


def environment_of(stores: Stores) -> dict[str, str]:
    """Return the variables by which our processes find the stores."""
    return {
        "LIMPET_DATABASES": json.dumps(dict(stores.databases)),
        "LIMPET_BROKER_URL": stores.broker,
        "LIMPET_S3_ENDPOINT": stores.bucket.endpoint,
        "LIMPET_S3_ACCESS_KEY": stores.bucket.access_key,
        "LIMPET_S3_SECRET_KEY": stores.bucket.secret_key,
        "LIMPET_S3_BUCKET": stores.bucket.name,
        "LIMPET_S3_REGION": stores.bucket.region,
        "LIMPET_S3_SECURE": str(stores.bucket.secure).lower(),
    }


_NEEDED = (
    "LIMPET_DATABASES",
    "LIMPET_BROKER_URL",
    "LIMPET_S3_ENDPOINT",
    "LIMPET_S3_ACCESS_KEY",
    "LIMPET_S3_SECRET_KEY",
)


def external_stores(environment: Mapping[str, str]) -> Stores:
    """Return the stores that the environment names.

    Raises:
        RefusedError: a variable is missing or malformed; the text names each.

    """
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise StartRefusedError(
            f"--external takes the servers from the environment, but there is no {', '.join(missing)}."
        )
    return Stores(
        databases=_databases(environment["LIMPET_DATABASES"]),
        broker=environment["LIMPET_BROKER_URL"],
        bucket=Bucket(
            endpoint=environment["LIMPET_S3_ENDPOINT"].removeprefix("http://").removeprefix("https://").rstrip("/"),
            access_key=environment["LIMPET_S3_ACCESS_KEY"],
            secret_key=environment["LIMPET_S3_SECRET_KEY"],
            name=environment.get("LIMPET_S3_BUCKET") or "limpet",
            region=environment.get("LIMPET_S3_REGION") or "us-east-1",
            secure=environment.get("LIMPET_S3_SECURE", "").lower() in {"1", "true", "yes", "on"},
        ),
    )


def _databases(text: str) -> dict[str, str]:
    try:
        databases = json.loads(text)
    except ValueError as problem:
        # The text holds passwords: neither it nor the parser's excerpt may be shown.
        raise StartRefusedError("LIMPET_DATABASES is not JSON.") from problem
    if not isinstance(databases, dict) or not databases or not all(isinstance(u, str) for u in databases.values()):
        raise StartRefusedError("LIMPET_DATABASES must be a JSON object of database name to SQLAlchemy URL.")
    return databases
