"""
What a webhook sends: one JSON object, of a version, as Standard Webhooks has it (`type`, `timestamp`, `data`).

Fields are added and never renamed within a version.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from app.config import settings
from app.domain.advice import advise
from app.domain.models import ReasonKind, Run, RunState, StopCause
from app.domain.stored_scores import scores_of
from app.domain.verdicts import Verdict
from app.domain.webhooks.facts import checkpoint_facts
from app.domain.webhooks.models import TEST, Delivery, WebhookEvent

VERSION: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ReasonFacts(_Part):
    """Why a run failed."""

    kind: ReasonKind
    message: str
    """In English."""
    detail: str


class RunFacts(_Part):
    """A run as it was when this happened."""

    id: int
    name: str
    model: str
    state: RunState
    stopped_by: StopCause | None
    reason: ReasonFacts | None
    attempt: int
    iteration: int
    iterations: int
    updates: int
    loss: float | None
    sweep_id: int | None
    started_at: datetime | None
    ended_at: datetime | None
    url: str
    """Its page."""


class CheckpointFacts(_Part):
    """A checkpoint and its verdict."""

    id: int
    iteration: int
    verdict: Verdict | None
    identity_hits: int
    identity_total: int
    leaks: int
    leak_total: int


class SweepFacts(_Part):
    """A sweep all of whose runs have ended."""

    id: int
    name: str
    by_state: dict[RunState, int]
    ended_at: datetime
    url: str


class RunData(_Part):
    """Of everything that happens to a run."""

    run: RunFacts
    checkpoint: CheckpointFacts | None
    """Of `verdict.reached` the good one; else the one to keep, null where there is none."""
    advice: str
    """Which checkpoint to keep and why, in English; empty of `verdict.reached`."""


class SweepData(_Part):
    """Of `sweep.finished`."""

    sweep: SweepFacts


class TestData(_Part):
    """Of a test."""

    text: str = "Temper was asked whether messages arrive here."


class Payload(_Part):
    """The body of a webhook."""

    version: int = VERSION
    type: WebhookEvent | Literal["test"]
    timestamp: datetime
    """When it happened."""
    data: RunData | SweepData | TestData


def payload_of(session: Session, delivery: Delivery) -> Payload:
    """Return what a message says: what was written down with it, and which checkpoint to keep."""
    return Payload.model_validate(
        {"type": delivery.event, "timestamp": delivery.created_at, "data": _data(session, delivery)}
    )


def _data(session: Session, delivery: Delivery) -> dict[str, Any]:
    if delivery.event == TEST:
        return {}
    facts = dict(delivery.data)
    if delivery.event == WebhookEvent.SWEEP_FINISHED:
        return {"sweep": facts | {"url": f"{server_url()}/sweeps/{delivery.sweep_id}"}}
    facts["url"] = f"{server_url()}/runs/{delivery.run_id}"
    if delivery.event == WebhookEvent.VERDICT_REACHED:
        return {"run": facts, "checkpoint": facts.pop("checkpoint"), "advice": ""}
    checkpoint, advice = _advised(session, delivery.run_id or 0)
    return {"run": facts, "checkpoint": checkpoint, "advice": advice}


def _advised(session: Session, run_id: int) -> tuple[dict[str, Any] | None, str]:
    run = session.get(Run, run_id)
    if run is None:
        return None, ""
    judged = scores_of(session, [run])[run_id]
    advice = advise(judged)
    kept = next((each for each in judged if each.checkpoint_id == advice.checkpoint_id), None)
    return checkpoint_facts(kept) if kept else None, str(advice.reason)


def server_url() -> str:
    """Return the address that links lead to: `TEMPER_URL`, or what `temper up` left in its home."""
    left = settings().home / "url"
    found = settings().url or (left.read_text("utf-8").strip() if left.exists() else "")
    return (found or f"http://127.0.0.1:{settings().port}").rstrip("/")
