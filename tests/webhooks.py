"""Webhooks for tests, each valid with no argument at all."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.webhooks.models import Delivery, Webhook, WebhookEvent, WebhookKind

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERYTHING = [event.value for event in WebhookEvent]


def make_webhook(session: Session, *, events: Sequence[str] = EVERYTHING, **fields: Any) -> Webhook:
    """Store a webhook of a program that hears of everything."""
    defaults = {"name": "hook", "kind": WebhookKind.PROGRAM, "address": "http://127.0.0.1:9/", "secret": SECRET}
    webhook = Webhook(**(defaults | {"events": list(events)} | fields))
    session.add(webhook)
    session.commit()
    session.refresh(webhook)
    return webhook


def make_delivery(session: Session, webhook: Webhook, **fields: Any) -> Delivery:
    """Store a message to a webhook that waits."""
    defaults: dict[str, Any] = {
        "message_id": f"msg_{len(deliveries(session))}",
        "event": "test",
        "data": {},
        "next_try_at": utc_now(),
    }
    delivery = Delivery(webhook_id=webhook.id or 0, **(defaults | fields))
    session.add(delivery)
    session.commit()
    session.refresh(delivery)
    return delivery


def deliveries(session: Session) -> list[Delivery]:
    """Return every message there is, as it is now."""
    session.expire_all()
    return list(session.exec(select(Delivery).order_by(col(Delivery.id))))
