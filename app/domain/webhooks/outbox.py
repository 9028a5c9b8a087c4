"""
The outbox: a message is written in the transaction of what it tells of, so that none is lost and none doubled.

Called where runs change state (`runs.record_state`) and where checkpoints are scored (`stored_scores`). What
happened is written down as it is now; how it is said, and sent, is a worker's business later.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, func, select

from app.domain.columns import utc_now
from app.domain.models import Run, RunState, Sweep
from app.domain.queue import enqueue
from app.domain.reasons import reason_text
from app.domain.webhooks.models import Delivery, Webhook, WebhookEvent

TASK = "webhooks.deliver"
EVENTS = {
    RunState.FINISHED: WebhookEvent.RUN_FINISHED,
    RunState.FAILED: WebhookEvent.RUN_FAILED,
    RunState.CANCELLED: WebhookEvent.RUN_STOPPED,
}


def tell_state(session: Session, run: Run) -> None:
    """Write down that a run has ended, for whoever wants to hear of it; nothing of one that has not."""
    event = EVENTS.get(run.state)
    if event is None:
        return
    listeners = _listeners(session)
    _write(session, listeners, event, run_facts(run), run_id=run.id, sweep_id=run.sweep_id)
    if run.sweep_id is not None and WebhookEvent.SWEEP_FINISHED in _heard(listeners):
        _tell_sweep(session, listeners, run.sweep_id)


def tell_verdict(session: Session, run: Run, checkpoint: Mapping[str, Any]) -> None:
    """Write down that a run has its first good checkpoint."""
    facts = run_facts(run) | {"checkpoint": dict(checkpoint)}
    _write(session, _listeners(session), WebhookEvent.VERDICT_REACHED, facts, run_id=run.id, sweep_id=run.sweep_id)


def _tell_sweep(session: Session, listeners: list[Webhook], sweep_id: int) -> None:
    """Write down that a sweep has ended, if it has; whoever ends one of its runs holds its row, so that one sees it."""
    counted = select(Run.state, func.count()).where(Run.sweep_id == sweep_id).group_by(col(Run.state))
    by_state = {RunState(state): count for state, count in session.exec(counted)}
    if not all(state.is_final for state in by_state):
        return
    sweep = session.get_one(Sweep, sweep_id)
    facts = {"id": sweep_id, "name": sweep.name, "by_state": {state.value: n for state, n in by_state.items()}}
    _write(session, listeners, WebhookEvent.SWEEP_FINISHED, facts | {"ended_at": _now()}, sweep_id=sweep_id)


def run_facts(run: Run) -> dict[str, Any]:
    """Return a run as it is now, as plain data."""
    kept = ("id", "name", "state", "stopped_by", "attempt", "iteration", "iterations", "updates", "loss", "sweep_id")
    reason = None
    if run.reason is not None:
        text = str(reason_text(run.reason, run.reason_detail))
        reason = {"kind": run.reason.value, "message": text, "detail": run.reason_detail}
    times = {
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
    }
    return {name: getattr(run, name) for name in kept} | times | {"model": run.recipe["model"], "reason": reason}


def _now() -> str:
    return utc_now().isoformat()


def _listeners(session: Session) -> list[Webhook]:
    return list(session.exec(select(Webhook).where(col(Webhook.is_enabled)).order_by(col(Webhook.id))))


def _heard(listeners: list[Webhook]) -> set[str]:
    return {event for webhook in listeners for event in webhook.events}


def _write(
    session: Session,
    listeners: list[Webhook],
    event: WebhookEvent,
    facts: Mapping[str, Any],
    *,
    run_id: int | None = None,
    sweep_id: int | None = None,
) -> None:
    written = [
        Delivery(
            webhook_id=webhook.id or 0,
            message_id=new_message_id(),
            event=event,
            run_id=run_id,
            sweep_id=sweep_id,
            data=dict(facts),
            next_try_at=utc_now(),
        )
        for webhook in listeners
        if event in webhook.events
    ]
    session.add_all(written)
    if written:
        session.flush()  # the message to the workers needs an id
        enqueue(TASK, delivery_id=written[0].id or 0)


def new_message_id() -> str:
    """Return a name for a message that nothing else has."""
    return f"msg_{secrets.token_hex(12)}"
