"""Everything Limpet takes from the environment, in one place."""

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
    # Never quoted: it holds a password. SQLAlchemy means the same by both.
    if not url.get_secret_value().startswith(("postgresql+psycopg://", "postgresql://")):
        raise PydanticCustomError("database_url", "must begin with postgresql+psycopg://")
    return url


# Part of object keys and of messages, which stay below a kilobyte.
DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
# Seconds as a plain number, or ISO 8601 (PT25S).
Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_not_negative)]
Period = Annotated[Duration, AfterValidator(_not_zero)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_with_driver)]
Endpoint = Annotated[str, AfterValidator(_host_and_port)]


class Settings(BaseSettings):
    """Settings of the servers' side, each read from ``LIMPET_<NAME>``.

    Sizes are bytes, durations are seconds where a number is given.
    A secret may also lie in a file named like its variable below ``/run/secrets``.
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
    s3_public_endpoint: Endpoint = Field(default="", description="host:port by which clients reach it, if another")
    s3_secure: bool = Field(default=False, description="TLS to the object store")

    require: Literal["both", "api-key", "bearer", "either"] = Field(
        default="both", description="which credentials a case-attachments request must bring"
    )
    jwt_secret: SecretStr = Field(default=SecretStr(""), description="HS256 secret, at least 32 bytes")
    credentials: Path = Field(default=Path("credentials.json"), description="file of hashed API keys")

    max_items: PositiveInt = Field(default=10_000, description="items in one batch")
    max_body: PositiveInt = Field(default=512 * 2**20, description="bytes of one request body")
    max_content: PositiveInt = Field(default=256 * 2**20, description="decoded bytes of one content")
    most_open_items: NonNegativeInt = Field(
        default=1_000_000, description="new work is refused while so many items are open"
    )
    spool_free: NonNegativeInt = Field(default=2**30, description="bytes that must be free on the disk of the spool")
    inline_content: NonNegativeInt = Field(default=2**20, description="content up to this rides in the ledger")
    public_url: str = Field(default="", description="base URL that clients reach us by, for absolute links")

    wait: Duration = Field(default=timedelta(seconds=25), description="how long a request waits for the end")
    longest_wait: Duration = Field(default=timedelta(seconds=60), description="bound of Prefer: wait=N")

    list_contents: NonNegativeInt = Field(default=50 * 2**20, description="most decoded content in a list")
    include_file_limit: NonNegativeInt = Field(
        default=50 * 2**20, description="most decoded content in an answer of family B"
    )

    chunk_items: PositiveInt = Field(
        default=1000, description="most items of one chunk; 1 keeps one item per task always"
    )
    chunk_bytes: PositiveInt = Field(default=8 * 2**20, description="most inline content of one chunk")
    small_batch: NonNegativeInt = Field(default=25, description="batches up to this size are cut into chunks of one")
    import_chunks_ahead: NonNegativeInt = Field(
        default=40, description="chunks of an import that may wait before it is held back"
    )
    import_folders: dict[str, Path] = Field(
        default={}, description="JSON map of names to folders that imports may read"
    )
    worker_processes: PositiveInt = Field(default=4, description="worker processes in all; the cut adapts to them")
    task_seconds: PositiveInt = Field(
        default=600, description="a task that takes longer is killed, which counts as a death"
    )
    worker_memory: NonNegativeInt = Field(default=2**30, description="bytes that a worker process may allocate; 0: any")
    ring_after: Period = Field(default=timedelta(seconds=5), description="the relay rings again after this")
    lease: Period = Field(default=timedelta(seconds=10), description="how long a claim holds without a sign of life")
    upload_lifetime: Period = Field(default=timedelta(hours=1), description="how long a presigned upload is open")
    max_upload: PositiveInt = Field(
        default=5 * 2**30, description="bytes of one presigned upload; S3 copies no more at once"
    )
    keep_batches: int = Field(
        default=90, ge=0, le=36_500, description="days after its end that a batch is forgotten; 0: never"
    )
    collect_after: Duration = Field(default=timedelta(hours=1), description="age at which unnamed content is removed")


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SystemExit: a variable is malformed; all that the process prints names it, without its value.

    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [("LIMPET_" + str(e["loc"][0]).upper(), *e["loc"][1:], e["msg"]) for e in error.errors()]
        raise SystemExit("\n".join(": ".join(map(str, line)) for line in lines)) from None
    except SettingsError as error:
        raise SystemExit(f"LIMPET_*: {error}: {error.__cause__}") from None
