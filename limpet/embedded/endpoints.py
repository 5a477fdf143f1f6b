"""Addresses and credentials of database, broker and object store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from limpet.embedded.errors import StartRefusedError
from worker.settings import settings


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
    """Database, broker and object store; the URLs contain passwords."""

    databases: Mapping[str, str]
    broker: str
    bucket: Bucket


def environment_of(stores: Stores) -> dict[str, str]:
    """Return the variables that tell our processes where the stores are."""
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


# Settings without a default, or whose default is a server of this machine.
_REQUIRED = ("databases", "broker_url", "s3_endpoint", "s3_access_key", "s3_secret_key")


def external_stores() -> Stores:
    """Return the stores that the settings of this process name.

    Raises:
        StartRefusedError: a variable is missing or malformed; the text names each, and shows no value.

    """
    try:
        chosen = settings()
    except SystemExit as error:
        raise StartRefusedError(str(error)) from None
    missing = [name for name in _REQUIRED if name not in chosen.model_fields_set or not getattr(chosen, name)]
    if missing:
        names = ", ".join(f"LIMPET_{name.upper()}" for name in missing)
        raise StartRefusedError(f"--external takes the servers from the environment, but there is no {names}.")
    return Stores(
        databases={name: url.get_secret_value() for name, url in chosen.databases.items()},
        broker=chosen.broker_url.get_secret_value(),
        bucket=Bucket(
            endpoint=chosen.s3_endpoint,
            access_key=chosen.s3_access_key,
            secret_key=chosen.s3_secret_key.get_secret_value(),
            name=chosen.s3_bucket or Bucket.name,
            region=chosen.s3_region or Bucket.region,
            secure=chosen.s3_secure,
        ),
    )
