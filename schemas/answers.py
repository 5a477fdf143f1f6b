"""What clients read: envelopes, item statuses, batches and problems."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["created", "updated", "deleted", "skipped", "invalid", "failed", "cancelled", "pending"]
Retry = Literal["never", "as-is", "after-fix"]
BatchState = Literal["accepted", "running", "finished", "cancelled"]


class AnswerModel(BaseModel):
    """The base of all answers: code fills fields by their Python names."""

    model_config = ConfigDict(populate_by_name=True)


class IdPair(AnswerModel):
    """One part of the id in an item status."""

    key: str
    value: int


class FieldError(AnswerModel):
    """Which field of an item is invalid, and which rule it breaks."""

    field: str
    message: str


class ItemStatus(AnswerModel):
    """How one item ended, or that it is ``pending`` (202). ``line`` is the line of its row in an import's manifest."""

    id: list[IdPair]
    status: int
    body: str
    position: int
    outcome: Outcome
    retry: Retry
    errors: list[FieldError] | None = Field(default=None, exclude_if=lambda errors: errors is None)
    line: int | None = Field(default=None, exclude_if=lambda line: line is None)


class BatchBrief(AnswerModel):
    """A summary of the batch that an answer belongs to."""

    id: UUID
    state: BatchState
    total: int
    counts: dict[Outcome, int]
    href: str


class Batch(BatchBrief):
    """A batch as a whole. ``rate`` is items per second, ``eta`` the seconds that remain at that rate.

    Only an import can be ``paused`` or have an ``error``.
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
    """One attempt at the chunk of an item; ``error`` is null while it runs and if it succeeded."""

    at: datetime
    worker: str | None
    error: str | None


class RetriedAs(AnswerModel):
    """The item of a child batch that repeats an item, and its outcome."""

    batch: UUID
    position: int
    outcome: Outcome


class ItemDetail(ItemStatus):
    """One item with its payload (never its content), each attempt at it, and what it waits for.

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
    """Why a request as a whole was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = Field(default=None, exclude_if=lambda errors: errors is None)


class Debug(AnswerModel):
    """``activityID`` finds this answer in the log; clients depend on its spelling."""

    activity_id: str = Field(alias="activityID")


class Envelope(AnswerModel):
    """Every answer of case attachments with a body: records or item statuses in ``data``, or an ``error``."""

    data: Any
    error: Problem | None
    debug: Debug
    batch: BatchBrief | None = Field(default=None, exclude_if=lambda batch: batch is None)


class Upload(AnswerModel):
    """A URL that takes one PUT of a content before it expires; one item then names it by ``attachment``."""

    id: UUID
    method: Literal["PUT"]
    url: str
    expires_at: datetime = Field(alias="expiresAt")
    attachment: str


class Health(AnswerModel):
    """Whether the API is ready, and which part fails and why. ``degraded``: ready, but not for everything."""

    status: Literal["live", "ready", "degraded", "not ready"]
    parts: dict[str, str] = {}
