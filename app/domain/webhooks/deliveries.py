"""
Messages on their way: claimed by one worker, tried a few times, written down.

A claim is a compare-and-set on the number of tries, which also moves the next try past the longest that a try
takes: what a dead worker had claimed is due again then. So a message arrives at least once, under the same
id with every try.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, delete, select

from app.domain.columns import utc_now
from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.queue import enqueue
from app.domain.texts import storable
from app.domain.webhooks.models import TEST, Delivery, DeliveryProblem, DeliveryState, Webhook, WebhookKind
from app.domain.webhooks.outbox import TASK, new_message_id
from app.domain.webhooks.payloads import payload_of
from app.domain.webhooks.sending import Outcome

DELAYS = tuple(timedelta(seconds=each) for each in (5, 30, 120, 600, 1_800, 7_200, 21_600))
"""Before each try but the first: eight in all, over some nine hours, so that a night's outage loses nothing."""
MOST_TRIES = len(DELAYS) + 1
JITTER = 0.2  # of a delay, up or down: receivers that were away must not get everything in one second
CLAIM = timedelta(seconds=90)  # longer than any try takes, notifications included
KEPT = timedelta(days=30)

_random = SystemRandom()


@dataclass(frozen=True)
class Claimed:
    """A message that one worker sends now."""

    delivery_id: int
    tries: int
    kind: WebhookKind
    address: str
    secret: str
    language: str
    message_id: str
    body: str


def due_id(session: Session) -> int | None:
    """Return the id of a message that is due, one that was tried less before others; None when none is."""
    statement = select(Delivery.id).join(Webhook).where(*_due(utc_now()), col(Webhook.is_enabled))
    return session.exec(
        statement.order_by(col(Delivery.tries), col(Delivery.next_try_at), col(Delivery.id)).limit(1)
    ).first()


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    # What is further off than the longest delay was written by a clock that has jumped since.
    furthest = now + DELAYS[-1] * (1 + JITTER) + CLAIM
    moment = or_(col(Delivery.next_try_at) <= now, col(Delivery.next_try_at) > furthest)
    return col(Delivery.state) == DeliveryState.WAITING, moment


def claim(session: Session, delivery_id: int) -> Claimed | None:
    """Take a message that is due; None when somebody else has it."""
    now = utc_now()
    taken = session.exec(
        update(Delivery)
        .where(col(Delivery.id) == delivery_id, *_due(now))
        .values(tries=Delivery.tries + 1, next_try_at=now + CLAIM, tried_at=now)
    )
    if taken.rowcount != 1:
        return None
    delivery = session.get_one(Delivery, delivery_id, populate_existing=True)
    webhook = session.get_one(Webhook, delivery.webhook_id)
    if not delivery.body:
        delivery.body = payload_of(session, delivery).model_dump_json()
        session.add(delivery)
    return claimed_of(webhook, delivery)


def claimed_of(webhook: Webhook, delivery: Delivery) -> Claimed:
    """Return what is needed to send a message."""
    return Claimed(
        delivery.id or 0,
        delivery.tries,
        webhook.kind,
        webhook.address,
        webhook.secret,
        webhook.language,
        delivery.message_id,
        delivery.body,
    )


def record(session: Session, claimed: Claimed, outcome: Outcome) -> None:
    """Write down what became of a try, unless another worker has the message by now."""
    delivery = session.get(Delivery, claimed.delivery_id, populate_existing=True)
    if delivery is None or delivery.tries != claimed.tries or delivery.state is not DeliveryState.WAITING:
        return
    _note(delivery, outcome)
    is_over = outcome.problem is DeliveryProblem.GONE or delivery.tries >= MOST_TRIES
    if outcome.problem is None:
        delivery.state, delivery.next_try_at = DeliveryState.DELIVERED, None
    elif is_over:
        delivery.state, delivery.next_try_at = DeliveryState.FAILED, None
    else:
        delivery.next_try_at = utc_now() + _delay_after(delivery.tries)
    session.add(delivery)
    if outcome.problem is DeliveryProblem.GONE:
        webhook = session.get_one(Webhook, delivery.webhook_id)
        webhook.is_enabled = False
        session.add(webhook)
        give_up(session, delivery.webhook_id)


def _note(delivery: Delivery, outcome: Outcome) -> None:
    delivery.problem, delivery.problem_detail = outcome.problem, storable(outcome.detail)
    delivery.status_code, delivery.milliseconds = outcome.status_code, outcome.milliseconds
    delivery.reply = storable(outcome.reply)


def _delay_after(tries: int) -> timedelta:
    return DELAYS[min(tries, len(DELAYS)) - 1] * _random.uniform(1 - JITTER, 1 + JITTER)


def give_up(session: Session, webhook_id: int) -> None:
    """End what waits for a webhook that was switched off or changed."""
    waiting = (col(Delivery.webhook_id) == webhook_id, col(Delivery.state) == DeliveryState.WAITING)
    ended = {"state": DeliveryState.FAILED, "next_try_at": None, "problem": DeliveryProblem.SWITCHED_OFF}
    session.exec(update(Delivery).where(*waiting).values(**ended))


# ── What is there, and what people do with it ──────────────────────────────


def list_deliveries(session: Session, webhook_id: int, *, limit: int) -> Sequence[Delivery]:
    """Return the newest messages to a webhook, the newest first."""
    statement = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(col(Delivery.id).desc())
    return session.exec(statement.limit(limit)).all()


def send_again(session: Session, webhook: Webhook, delivery_id: int) -> Delivery:
    """
    Let a message be tried anew from the first try on, under its old id.

    Raises:
        NotFoundError: the webhook has no such message.
        ConflictError: it waits, or the webhook is switched off.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook.id:
        raise NotFoundError(message("There is no delivery {id} of this webhook.", id=delivery_id))
    if delivery.state is DeliveryState.WAITING:
        raise ConflictError(message("Delivery {id} is on its way already.", id=delivery_id))
    if not webhook.is_enabled:
        raise ConflictError(message("Webhook {id} is switched off. Switch it on first.", id=webhook.id))
    delivery.state, delivery.tries, delivery.next_try_at = DeliveryState.WAITING, 0, utc_now()
    session.add(delivery)
    enqueue(TASK, delivery_id=delivery_id)
    return delivery


def new_test(session: Session, webhook: Webhook) -> Delivery:
    """Return a test message to a webhook, not stored yet."""
    now = utc_now()
    test = Delivery(webhook_id=webhook.id or 0, message_id=new_message_id(), event=TEST, data={}, tries=1, tried_at=now)
    test.body = payload_of(session, test).model_dump_json()
    return test


def store_test(session: Session, test: Delivery, outcome: Outcome) -> Delivery:
    """Write down what became of a test; it is not tried again by itself."""
    _note(test, outcome)
    test.state = DeliveryState.FAILED if outcome.problem else DeliveryState.DELIVERED
    session.add(test)
    session.flush()  # its id is shown
    return test


def forget_old(session: Session) -> None:
    """Delete the messages that are older than 30 days and are not on their way."""
    is_old = (col(Delivery.created_at) < utc_now() - KEPT, col(Delivery.state) != DeliveryState.WAITING)
    session.exec(delete(Delivery).where(*is_old))
