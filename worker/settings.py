"""The settings that Limpet reads from the environment."""

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


def _host_and_port(endpoint: str) -> str:
    return endpoint.removeprefix("http://").removeprefix("https://").rstrip("/")


def _seconds(value: object) -> object:
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


def _not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise PydanticCustomError("duration", "must not be negative")
    return duration


def _not_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise PydanticCustomError("duration", "must not be 0")
    return duration


def _with_driver(url: SecretStr) -> SecretStr:
    # The message never quotes the URL, which holds a password. SQLAlchemy treats both prefixes alike.
    if not url.get_secret_value().startswith(("postgresql+psycopg://", "postgresql://")):
        raise PydanticCustomError("database_url", "must begin with postgresql+psycopg://")
    return url


# Part of object keys and messages, which must stay below a kilobyte.
DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
# Seconds as a plain number, or ISO 8601 (PT25S).
Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_not_negative)]
Period = Annotated[Duration, AfterValidator(_not_zero)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_with_driver)]
Endpoint = Annotated[str, AfterValidator(_host_and_port)]


class Settings(BaseSettings):
    """Settings of the servers' side, each read from ``LIMPET_<NAME>``.

    Sizes are bytes; a duration without a unit is in seconds.
    A secret may also be in a file named like its variable below ``/run/secrets``.
    """

    model_config = SettingsConfigDict(
        env_prefix="LIMPET_",
        extra="ignore",
        frozen=True,
        secrets_dir="/run/secrets" if Path("/run/secrets").is_dir() else None,
    )

    databases: dict[DatabaseName, DatabaseUrl] = Field(default={}, description="JSON map of name to SQLAlchemy URL")
    broker_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), description="any Celery broker")

    s3_endpoint: Endpoint = Field(default="127.0.0.1:9000", description="host:port")
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    s3_bucket: str = "limpet"
    s3_region: str = "us-east-1"
    s3_public_endpoint: Endpoint = Field(default="", description="host:port for clients, if another")
    s3_secure: bool = Field(default=False, description="TLS to the object store")

    require: Literal["both", "api-key", "bearer", "either"] = Field(
        default="both", description="which credentials a case-attachments request must have"
    )
    jwt_secret: SecretStr = Field(default=SecretStr(""), description="HS256 secret, at least 32 bytes")
    credentials: Path = Field(default=Path("credentials.json"), description="file of hashed API keys")

    max_items: PositiveInt = Field(default=10_000, description="maximum items of one batch")
    max_body: PositiveInt = Field(default=512 * 2**20, description="maximum bytes of one request body")
    max_content: PositiveInt = Field(default=256 * 2**20, description="maximum decoded bytes of one content")
    most_open_items: NonNegativeInt = Field(
        default=1_000_000, description="new work is refused while so many items are open"
    )
    spool_free: NonNegativeInt = Field(default=2**30, description="bytes that must stay free on the spool's disk")
    inline_content: NonNegativeInt = Field(default=2**20, description="content up to this is stored in the ledger")
    public_url: str = Field(default="", description="base URL for clients, for absolute links")

    wait: Duration = Field(default=timedelta(seconds=25), description="how long a request waits for the end")
    longest_wait: Duration = Field(default=timedelta(seconds=60), description="maximum of Prefer: wait=N")

    list_contents: NonNegativeInt = Field(default=50 * 2**20, description="maximum decoded content in a list")
    include_file_limit: NonNegativeInt = Field(
        default=50 * 2**20, description="maximum decoded content in an answer about files"
    )

    chunk_items: PositiveInt = Field(
        default=1000, description="maximum items of one chunk; with 1 each task has one item"
    )
    chunk_bytes: PositiveInt = Field(default=8 * 2**20, description="maximum inline content of one chunk")
    small_batch: NonNegativeInt = Field(default=25, description="batches up to this size have chunks of one item")
    import_chunks_ahead: NonNegativeInt = Field(
        default=40, description="open chunks of an import above which it must wait"
    )
    import_folders: dict[str, Path] = Field(
        default={}, description="JSON map of names to folders that imports may read"
    )
    worker_processes: PositiveInt = Field(default=4, description="worker processes in all; chunk sizes depend on it")
    task_seconds: PositiveInt = Field(
        default=600, description="a task that takes longer is killed, which counts as a death"
    )
    worker_memory: NonNegativeInt = Field(default=2**30, description="bytes that a worker process may allocate; 0: any")
    ring_after: Period = Field(default=timedelta(seconds=5), description="first pause before the relay publishes again")
    lease: Period = Field(default=timedelta(seconds=10), description="how long a claim is valid until it is renewed")
    upload_lifetime: Period = Field(default=timedelta(hours=1), description="how long a presigned upload is open")
    max_upload: PositiveInt = Field(
        default=5 * 2**30, description="maximum bytes of one presigned upload; S3 copies no more"
    )
    keep_batches: int = Field(
        default=90, ge=0, le=36_500, description="days after its end that a batch is deleted; 0: never"
    )
    collect_after: Duration = Field(default=timedelta(hours=1), description="age at which unused content is removed")


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SystemExit: a variable is malformed; the message names it, without its value.

    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [("LIMPET_" + str(e["loc"][0]).upper(), *e["loc"][1:], e["msg"]) for e in error.errors()]
        raise SystemExit("\n".join(": ".join(map(str, line)) for line in lines)) from None
    except SettingsError as error:
        raise SystemExit(f"LIMPET_*: {error}: {error.__cause__}") from None
