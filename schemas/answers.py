"""What clients read: envelopes, item statuses, batches and problems."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["created", "updated", "deleted", "skipped", "invalid", "failed", "cancelled", "pending"]
Retry = Literal["never", "as-is", "after-fix"]
BatchState = Literal["accepted", "running", "finished", "cancelled"]


class AnswerModel(BaseModel):
    """What every model of an answer shares: fields are filled by their Python names."""

    model_config = ConfigDict(populate_by_name=True)


class IdPair(AnswerModel):
    """One part of the id that an item status speaks of."""

    key: str
    value: int


class FieldError(AnswerModel):
    """What is wrong with one field of an item, and which rule it breaks."""

    field: str
    message: str


class ItemStatus(AnswerModel):
    """How one item ended, or that it has not yet (202, ``pending``); ``line`` is that of its row in an import."""

    id: list[IdPair]
    status: int
    body: str
    position: int
    outcome: Outcome
    retry: Retry
    errors: list[FieldError] | None = Field(default=None, exclude_if=lambda errors: errors is None)
    line: int | None = Field(default=None, exclude_if=lambda line: line is None)


class BatchBrief(AnswerModel):
    """The batch that an answer belongs to, in short."""

    id: UUID
    state: BatchState
    total: int
    counts: dict[Outcome, int]
    href: str


class Batch(BatchBrief):
    """A batch as a whole. ``rate`` is items a second, ``eta`` the seconds that are left at that rate.

    ``paused`` and ``error`` are those of an import.
    """

    kind: str
    caller: str
    accepted_at: datetime = Field(alias="acceptedAt")
    started_at: datetime | None = Field(alias="startedAt")
    finished_at: datetime | None = Field(alias="finishedAt")
    rate: float | None = None
    eta: float | None = None
    parent: UUID | None
    children: list[UUID]
    cancel_requested: bool = Field(alias="cancelRequested")
    paused: bool = False
    error: str | None = None


class BatchList(AnswerModel):
    """Batches, newest first; ``next`` is the ``after`` of the next page, null on the last."""

    batches: list[Batch]
    next: UUID | None


class Attempt(AnswerModel):
    """One attempt at an item's chunk; ``error`` is null for one that goes on or went well."""

    at: datetime
    worker: str | None
    error: str | None


class RetriedAs(AnswerModel):
    """The item of a child batch that repeats an item, and how it stands."""

    batch: UUID
    position: int
    outcome: Outcome


class ItemDetail(ItemStatus):
    """One item with what it asked for (never its content), each attempt at it, and what it waits for.

    ``deaths``: how many workers died while it ran alone. ``retriedAs``: the newest item that repeats it.
    """

    kind: str
    payload: dict[str, Any]
    content_size: int | None = Field(alias="contentSize")
    accepted_at: datetime = Field(alias="acceptedAt")
    attempts: list[Attempt]
    deaths: int
    waits_for: str | None = Field(alias="waitsFor")
    retried_as: RetriedAs | None = Field(default=None, alias="retriedAs")


class Problem(AnswerModel):
    """What is wrong with a request as a whole (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = Field(default=None, exclude_if=lambda errors: errors is None)


class Debug(AnswerModel):
    """``activityID`` finds this answer in the log; it is spelled exactly so."""

    activity_id: str = Field(alias="activityID")


class Envelope(AnswerModel):
    """Every answer of family A that has a body: a record, records or item statuses, or what was wrong."""

    data: Any
    error: Problem | None
    debug: Debug
    batch: BatchBrief | None = Field(default=None, exclude_if=lambda batch: batch is None)


class Upload(AnswerModel):
    """A place to PUT content to, once, before it expires; one item then names it by ``attachment``."""

    id: UUID
    method: Literal["PUT"]
    url: str
    expires_at: datetime = Field(alias="expiresAt")
    attachment: str


class Health(AnswerModel):
    """Whether we are ready, and which part is amiss and why. ``degraded``: ready, but not for everything."""

    status: Literal["live", "ready", "degraded", "not ready"]
    parts: dict[str, str] = {}
