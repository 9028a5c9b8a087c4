"""The tables of webhooks: who is told, and every message to them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from app.domain.columns import UtcDateTime, utc_now, words_of


class WebhookKind(StrEnum):
    """Who listens at an address."""

    PROGRAM = "program"
    """A program: it gets signed JSON by POST."""
    PERSON = "person"
    """People in a chat or at a mailbox: they get a sentence, through apprise."""


class WebhookEvent(StrEnum):
    """What webhooks are told of."""

    RUN_FINISHED = "run.finished"
    RUN_FAILED = "run.failed"
    RUN_STOPPED = "run.stopped"
    VERDICT_REACHED = "verdict.reached"
    """A run has its first good checkpoint."""
    SWEEP_FINISHED = "sweep.finished"
    """Every run of a sweep has ended, in whatever way."""


TEST = "test"
"""What a message is called that somebody asked for to see whether it arrives."""


class DeliveryState(StrEnum):
    """Where a message to a webhook is; the last two are final unless it is sent again."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryProblem(StrEnum):
    """Why the last try did not arrive; each has its sentence in `problems.py`."""

    BAD_ADDRESS = "bad-address"
    NO_ANSWER = "no-answer"
    TOO_SLOW = "too-slow"
    NOT_TAKEN = "not-taken"
    GONE = "gone"
    SWITCHED_OFF = "switched-off"


class Webhook(SQLModel, table=True):
    """An address that is told of some events."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    kind: WebhookKind = Field(sa_type=words_of(WebhookKind))
    address: str
    """A URL; of people, one of apprise's, which may hold passwords and is shown nowhere."""
    events: list[str] = Field(sa_column=Column(JSON, nullable=False))
    language: str = "en"
    """Of the sentence that people get."""
    secret: str = ""
    """`whsec_…`, which signs; kept as it is, since a hash of it could not sign. Empty where people listen."""
    is_enabled: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Delivery(SQLModel, table=True):
    """One message to one webhook, written with what it tells of; deleted when it is old."""

    __tablename__ = "webhook_delivery"
    id: int | None = Field(default=None, primary_key=True)
    webhook_id: int = Field(foreign_key="webhook.id", index=True)
    message_id: str = Field(unique=True)
    """Stays the same with every try: by it a receiver knows what it has had before."""
    event: str
    run_id: int | None = None
    sweep_id: int | None = None
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """What happened, as it was then."""
    body: str = ""
    """What is sent, made at the first try and the same at every later one."""
    state: DeliveryState = Field(default=DeliveryState.WAITING, index=True, sa_type=words_of(DeliveryState))
    tries: int = 0
    """Begun so far; fences late writers."""
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it is due; while a worker sends it, when that worker counts as lost. Empty once nothing is left to do."""
    tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    problem: DeliveryProblem | None = Field(default=None, sa_type=words_of(DeliveryProblem))
    problem_detail: str = ""
    status_code: int | None = None
    milliseconds: int | None = None
    reply: str = ""
    """The beginning of what the address answered, as text."""
    created_at: datetime = Field(default_factory=utc_now, index=True, sa_type=UtcDateTime)
