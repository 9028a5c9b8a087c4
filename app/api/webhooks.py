"""Webhooks: who is told what becomes of runs, and what was sent to them. All of it takes an admin."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.api.errors import documented
from app.api.types import Id, Reply
from app.domain.webhooks import courier, deliveries, store
from app.domain.webhooks.models import Delivery, DeliveryProblem, DeliveryState, Webhook, WebhookEvent, WebhookKind
from app.domain.webhooks.payloads import Payload
from app.domain.webhooks.problems import problem_text
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class WebhookReply(Reply):
    """An address that is told of some events."""

    id: int
    name: str
    kind: WebhookKind
    """`program`: signed JSON by POST. `person`: a sentence, through apprise."""
    address: str
    """Without its query; of people the service alone, since the rest holds passwords."""
    events: list[WebhookEvent]
    language: str
    """Of the sentence that people get."""
    is_enabled: bool
    created_at: datetime


class NewWebhookReply(WebhookReply):
    """A webhook that was added just now."""

    secret: str
    """What signs, `whsec_…`; it is shown this once. Empty where people listen."""


class WebhookList(Reply):
    """All webhooks, the oldest first."""

    webhooks: list[WebhookReply]


class NewWebhook(BaseModel):
    """A webhook to add."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    address: Annotated[str, Field(max_length=2_048, examples=["https://ci.example.com/temper"])]
    """A URL of the public internet; or, for people, an address of apprise's such as `ntfys://ntfy.sh/topic`."""
    kind: WebhookKind = WebhookKind.PROGRAM
    events: Annotated[list[WebhookEvent], Field(max_length=20)] = list(WebhookEvent)
    name: Annotated[str, Field(max_length=100)] = ""
    """What it is called in lists; its address when empty."""
    language: Annotated[str, Field(max_length=10, examples=["en", "zh"])] = "en"
    """Of the sentence that people get."""


class WebhookChange(BaseModel):
    """What to change of a webhook; what is left out stays."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    events: Annotated[list[WebhookEvent], Field(max_length=20)] | None = None
    is_enabled: StrictBool | None = None
    """Switched off, what waits for it is given up."""


class DeliveryReply(Reply):
    """One message to a webhook."""

    id: int
    message_id: str
    """Of the header `webhook-id`; the same with every try."""
    event: WebhookEvent | str
    run_id: int | None
    sweep_id: int | None
    state: DeliveryState
    tries: int
    created_at: datetime
    tried_at: datetime | None
    next_try_at: datetime | None
    problem: DeliveryProblem | None
    problem_message: str
    status_code: int | None
    milliseconds: int | None
    reply: str
    """The first 500 characters of what the address answered, as text."""


class DeliveryList(Reply):
    """The newest messages to a webhook, the newest first."""

    webhook_id: int
    deliveries: list[DeliveryReply]


@router.get("", summary="List webhooks")
def list_webhooks(session: ReadSession) -> WebhookList:
    """Return all webhooks."""
    return WebhookList(webhooks=[webhook_reply(each) for each in store.list_webhooks(session)])


@router.post("", status_code=201, summary="Add a webhook", responses=documented(409))
def add_webhook(webhook: NewWebhook, session: WriteSession, response: Response) -> NewWebhookReply:
    """Add a webhook. The reply holds the secret that verifies what it gets, this once."""
    added = store.add_webhook(session, **webhook.model_dump())
    response.headers["Location"] = f"/api/v1/webhooks/{added.id}"
    return NewWebhookReply(**webhook_reply(added).model_dump(), secret=added.secret)


@router.get("/payload", summary="Look at what a webhook gets")
def get_webhook_payload(session: ReadSession) -> Payload:
    """Return the body of a test, in the form that every message has: its schema names all fields."""
    sample = Webhook(name="", kind=WebhookKind.PROGRAM, address="", events=[])
    return Payload.model_validate_json(deliveries.new_test(session, sample).body)


@router.get("/{webhook_id}", summary="Look at a webhook", responses=documented(404))
def get_webhook(webhook_id: Id, session: ReadSession) -> WebhookReply:
    """Return a webhook."""
    return webhook_reply(store.get_webhook(session, webhook_id))


@router.patch("/{webhook_id}", summary="Change a webhook", responses=documented(404))
def change_webhook(webhook_id: Id, change: WebhookChange, session: WriteSession) -> WebhookReply:
    """Choose other events, or switch it on or off."""
    changed = store.change_webhook(session, webhook_id, events=change.events, is_enabled=change.is_enabled)
    return webhook_reply(changed)


@router.delete("/{webhook_id}", status_code=204, summary="Remove a webhook", responses=documented(404))
def remove_webhook(webhook_id: Id, session: WriteSession) -> None:
    """Forget a webhook, its secret and its deliveries."""
    store.remove_webhook(session, webhook_id)


@router.post("/{webhook_id}/test", summary="Send a test", responses=documented(404))
def send_webhook_test(webhook_id: Id, reading: ReadSession, session: WriteSession) -> DeliveryReply:
    """Send a test now, and return what became of it; it is not tried again."""
    return delivery_reply(courier.send_test(session, webhook_id, reading=reading))


@router.get("/{webhook_id}/deliveries", summary="List deliveries", responses=documented(404))
def list_webhook_deliveries(
    webhook_id: Id,
    session: ReadSession,
    limit: Annotated[int, Query(ge=1, le=200, description="How many to return at most.")] = 50,
) -> DeliveryList:
    """Return the newest messages to a webhook, with what became of them; they are kept for 30 days."""
    store.get_webhook(session, webhook_id)
    found = deliveries.list_deliveries(session, webhook_id, limit=limit)
    return DeliveryList(webhook_id=webhook_id, deliveries=[delivery_reply(each) for each in found])


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/again",
    status_code=202,
    summary="Send a delivery again",
    responses=documented(404, 409),
)
def send_webhook_delivery_again(webhook_id: Id, delivery_id: Id, session: WriteSession) -> DeliveryReply:
    """Let a message that arrived or was given up be sent again, under its old id."""
    webhook = store.get_webhook(session, webhook_id)
    return delivery_reply(deliveries.send_again(session, webhook, delivery_id))


def webhook_reply(webhook: Webhook) -> WebhookReply:
    """Return a webhook as the API shows it."""
    kept = {name: getattr(webhook, name) for name in WebhookReply.model_fields if name != "address"}
    return WebhookReply(**kept, address=store.shown_address(webhook.kind, webhook.address))


def delivery_reply(delivery: Delivery) -> DeliveryReply:
    """Return a delivery as the API shows it."""
    problem = str(problem_text(delivery.problem, delivery.problem_detail)) if delivery.problem else ""
    kept = {name: getattr(delivery, name) for name in DeliveryReply.model_fields if name != "problem_message"}
    return DeliveryReply(**kept, problem_message=problem)
