"""Messages on their way: claimed, tried again later and later, given up."""

from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain.columns import utc_now
from app.domain.errors import ConflictError, NotFoundError
from app.domain.webhooks import deliveries as queue
from app.domain.webhooks.deliveries import (
    CLAIM,
    DELAYS,
    JITTER,
    MOST_TRIES,
    claim,
    due_id,
    forget_old,
    list_deliveries,
    record,
    send_again,
)
from app.domain.webhooks.models import Delivery, DeliveryProblem, DeliveryState, Webhook
from app.domain.webhooks.sending import Outcome
from app.domain.webhooks.store import change_webhook, remove_webhook
from tests.webhooks import deliveries, make_delivery, make_webhook

TAKEN = Outcome(None, status_code=200, milliseconds=12, reply="ok")
NOT_TAKEN = Outcome(DeliveryProblem.NOT_TAKEN, "500", status_code=500, milliseconds=9, reply="no \x00")


def make_due(session: Session, delivery: Delivery) -> None:
    """Let the time of a message's next try come."""
    session.refresh(delivery)
    delivery.next_try_at = utc_now() - timedelta(seconds=1)
    session.add(delivery)
    session.flush()


def attempt(session: Session, delivery: Delivery, outcome: Outcome) -> Delivery:
    """Try a message once."""
    make_due(session, delivery)
    claimed = claim(session, delivery.id or 0)
    assert claimed is not None
    record(session, claimed, outcome)
    session.flush()
    return delivery


def test_one_worker_has_a_message(session: Session) -> None:
    """Nobody else finds it due, until whoever took it must have died."""
    delivery = make_delivery(session, make_webhook(session))

    assert due_id(session) == delivery.id
    assert claim(session, delivery.id or 0) is not None
    assert (claim(session, delivery.id or 0), due_id(session)) == (None, None)
    make_due(session, delivery)
    assert due_id(session) == delivery.id


def test_a_late_worker_writes_nothing(session: Session) -> None:
    """What it was sending has been taken over by another one."""
    delivery = make_delivery(session, make_webhook(session))
    late = claim(session, delivery.id or 0)
    make_due(session, delivery)
    claim(session, delivery.id or 0)
    assert late is not None

    record(session, late, NOT_TAKEN)
    session.flush()

    assert deliveries(session)[0].problem is None


def test_what_is_taken_is_done(session: Session) -> None:
    """With its status, its time and the answer; it is not due again."""
    delivery = attempt(session, make_delivery(session, make_webhook(session)), TAKEN)

    assert (delivery.state, delivery.status_code, delivery.milliseconds, delivery.reply) == ("delivered", 200, 12, "ok")
    assert due_id(session) is None


def test_a_body_is_the_same_at_every_try(session: Session) -> None:
    """A receiver must be able to tell that it has had it."""
    delivery = make_delivery(session, make_webhook(session))

    attempt(session, delivery, NOT_TAKEN)
    first = delivery.body
    attempt(session, delivery, NOT_TAKEN)

    assert first
    assert delivery.body == first


def test_tries_are_further_and_further_apart_and_end(session: Session) -> None:
    """Eight of them, five seconds to six hours apart, none at the very same distance as another message's."""
    delivery = make_delivery(session, make_webhook(session))

    for delay in DELAYS:
        before = utc_now()
        attempt(session, delivery, NOT_TAKEN)
        assert delivery.next_try_at is not None
        waited = (delivery.next_try_at - before) / delay
        assert 1 - JITTER <= waited <= 1 + JITTER + 0.3
    attempt(session, delivery, NOT_TAKEN)

    assert (delivery.tries, delivery.state, delivery.next_try_at) == (MOST_TRIES, DeliveryState.FAILED, None)
    assert "\x00" not in delivery.reply
    assert (MOST_TRIES, DELAYS[0], DELAYS[-1]) == (8, timedelta(seconds=5), timedelta(hours=6))


def test_a_clock_that_jumped_does_not_hold_a_message_up(session: Session) -> None:
    """A next try that no delay can have meant is due now."""
    next_try_at = utc_now() + DELAYS[-1] * 2 + CLAIM
    delivery = make_delivery(session, make_webhook(session), next_try_at=next_try_at)

    assert due_id(session) == delivery.id


def test_gone_switches_a_webhook_off(session: Session) -> None:
    """And gives up what else waits for it."""
    webhook = make_webhook(session)
    delivery, other = make_delivery(session, webhook), make_delivery(session, webhook)

    attempt(session, delivery, Outcome(DeliveryProblem.GONE, "410", status_code=410))

    assert [each.state for each in deliveries(session)] == [DeliveryState.FAILED] * 2
    assert (delivery.problem, other.problem) == (DeliveryProblem.GONE, DeliveryProblem.SWITCHED_OFF)
    assert session.get_one(Webhook, webhook.id).is_enabled is False


def test_a_failed_message_is_sent_again_from_the_first_try(session: Session, enqueued: list[object]) -> None:
    """Under its old id; one that is on its way, or belongs to another webhook, is not."""
    webhook, other = make_webhook(session), make_webhook(session)
    delivery = make_delivery(session, webhook, state=DeliveryState.FAILED, tries=8, next_try_at=None)

    with pytest.raises(NotFoundError):
        send_again(session, other, delivery.id or 0)
    send_again(session, webhook, delivery.id or 0)
    session.flush()

    assert due_id(session) == delivery.id
    assert (delivery.tries, delivery.message_id, len(enqueued)) == (0, "msg_0", 1)
    with pytest.raises(ConflictError):
        send_again(session, webhook, delivery.id or 0)


def test_a_webhook_that_is_off_gets_nothing(session: Session) -> None:
    """What waited is given up, and nothing is sent again until it is on."""
    webhook = make_webhook(session)
    delivery = make_delivery(session, webhook)
    change_webhook(session, webhook.id or 0, is_enabled=False)
    session.flush()

    assert due_id(session) is None
    session.refresh(delivery)
    assert delivery.problem is DeliveryProblem.SWITCHED_OFF
    with pytest.raises(ConflictError):
        send_again(session, webhook, delivery.id or 0)


def test_old_messages_are_forgotten_unless_they_wait(session: Session) -> None:
    """After thirty days; the newest are listed first."""
    webhook, old = make_webhook(session), utc_now() - timedelta(days=31)
    make_delivery(session, webhook, state=DeliveryState.DELIVERED, created_at=old)
    kept = [
        make_delivery(session, webhook, created_at=old),
        make_delivery(session, webhook, state=DeliveryState.FAILED),
    ]

    forget_old(session)

    assert list_deliveries(session, webhook.id or 0, limit=10) == kept[::-1]
    assert list_deliveries(session, webhook.id or 0, limit=1) == kept[1:]


def test_a_removed_webhook_takes_its_messages_along(session: Session) -> None:
    """Nothing is left that could be sent, and others keep theirs."""
    webhook, other = make_webhook(session), make_webhook(session)
    make_delivery(session, webhook)
    kept = make_delivery(session, other)

    remove_webhook(session, webhook.id or 0)
    session.flush()

    assert [each.id for each in deliveries(session)] == [kept.id]
    assert queue.due_id(session) == kept.id
