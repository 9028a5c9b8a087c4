"""Webhooks: the list with a form that adds one, and one webhook with what was sent to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.domain.catalogues import LANGUAGES
from app.domain.columns import utc_now
from app.domain.errors import AppError, ConflictError, InvalidError
from app.domain.messages import N_, Message
from app.domain.webhooks import courier, deliveries, store
from app.domain.webhooks.models import TEST, Delivery, DeliveryState, Webhook, WebhookEvent, WebhookKind
from app.domain.webhooks.problems import problem_text
from app.web.deps import Id, ReadSession, WriteSession
from app.web.i18n import language
from app.web.render import render

router = APIRouter(include_in_schema=False)

SHOWN = 50  # deliveries on the page; the API gives more
EVENT_WORDS = {
    WebhookEvent.RUN_FINISHED: N_("a run has finished"),
    WebhookEvent.RUN_FAILED: N_("a run has failed"),
    WebhookEvent.RUN_STOPPED: N_("a run was stopped"),
    WebhookEvent.VERDICT_REACHED: N_("a run has its first good checkpoint"),
    WebhookEvent.SWEEP_FINISHED: N_("a sweep has ended"),
    TEST: N_("test"),
}


class TypedWebhook(BaseModel):
    """The form's fields as they were sent."""

    kind: WebhookKind = WebhookKind.PROGRAM
    address: Annotated[str, Field(max_length=4_096)] = ""
    name: Annotated[str, Field(max_length=1_000)] = ""
    language: Annotated[str, Field(max_length=20)] = ""
    events: Annotated[list[str], Field(max_length=20)] = []


@dataclass(frozen=True)
class WebhookForm:
    """The form as it stands: what was typed, and what is wrong with it."""

    kind: WebhookKind = WebhookKind.PROGRAM
    address: str = ""
    name: str = ""
    language: str = ""
    events: Sequence[str] = tuple(WebhookEvent)
    errors: Mapping[str, Message] = field(default_factory=dict)


@dataclass(frozen=True)
class ListedWebhook:
    """A webhook of the list, and its newest message."""

    webhook: Webhook
    address: str
    newest: Delivery | None


@dataclass(frozen=True)
class WebhooksPage:
    """Every webhook, and the form."""

    rows: Sequence[ListedWebhook]
    form: WebhookForm
    added: Webhook | None = None
    """The one that was added just now: its secret is shown this once."""
    event_words: Mapping[str, str] = field(default_factory=lambda: EVENT_WORDS)
    events: Sequence[WebhookEvent] = tuple(WebhookEvent)
    spoken: Mapping[str, str] = field(default_factory=lambda: LANGUAGES)


@dataclass(frozen=True)
class ListedDelivery:
    """A message of the log."""

    delivery: Delivery
    problem: Message | None
    seconds_left: float
    """Until its next try; below zero when it is due."""


@dataclass(frozen=True)
class WebhookPage:
    """One webhook and its log."""

    webhook: Webhook
    address: str
    rows: Sequence[ListedDelivery]
    trouble: Message | None = None
    event_words: Mapping[str, str] = field(default_factory=lambda: EVENT_WORDS)
    events: Sequence[WebhookEvent] = tuple(WebhookEvent)
    spoken: Mapping[str, str] = field(default_factory=lambda: LANGUAGES)

    @property
    def is_waiting(self) -> bool:
        """Whether a message is on its way: the log looks again by itself."""
        return any(row.delivery.state is DeliveryState.WAITING for row in self.rows)


# ── The list ───────────────────────────────────────────────────────────────


@router.get("/webhooks", name="webhooks.index")
def show_webhooks(request: Request, session: ReadSession) -> Response:
    """Show the webhooks."""
    return _show_list(request, session, WebhookForm(language=language()))


def _show_list(
    request: Request,
    session: Session,
    form: WebhookForm,
    *,
    added: Webhook | None = None,
    status: int = HTTPStatus.OK,
) -> Response:
    rows = [
        ListedWebhook(
            webhook,
            store.shown_address(webhook.kind, webhook.address),
            next(iter(deliveries.list_deliveries(session, webhook.id or 0, limit=1)), None),
        )
        for webhook in store.list_webhooks(session)
    ]
    return render(request, "webhooks/index.html", WebhooksPage(rows, form, added), status)


@router.post("/webhooks", name="webhooks.add")
def add_webhook(request: Request, session: WriteSession, typed: Annotated[TypedWebhook, Form()]) -> Response:
    """Add a webhook and show its secret once; or show the form again with every bad field named."""
    form = WebhookForm(typed.kind, typed.address, typed.name, typed.language, typed.events)
    try:
        added = store.add_webhook(session, **typed.model_dump())
    except InvalidError as error:
        errors = {problem.field: problem.message for problem in reversed(error.fields)}
        return _show_list(request, session, replace(form, errors=errors), status=error.status_code)
    except ConflictError as error:
        refused = replace(form, errors={"address": error.message})
        return _show_list(request, session, refused, status=error.status_code)
    return _show_list(request, session, WebhookForm(language=language()), added=added, status=HTTPStatus.CREATED)


# ── One webhook ────────────────────────────────────────────────────────────


@router.get("/webhooks/{webhook_id}", name="webhooks.show")
def show_webhook(request: Request, webhook_id: Id, session: ReadSession) -> Response:
    """Show a webhook and its log; for htmx the log alone."""
    return _show(request, session, store.get_webhook(session, webhook_id))


def _show(request: Request, session: Session, webhook: Webhook, trouble: AppError | None = None) -> Response:
    now = utc_now()
    rows = [
        ListedDelivery(
            each,
            problem_text(each.problem, each.problem_detail) if each.problem else None,
            (each.next_try_at - now).total_seconds() if each.next_try_at else 0,
        )
        for each in deliveries.list_deliveries(session, webhook.id or 0, limit=SHOWN)
    ]
    address = store.shown_address(webhook.kind, webhook.address)
    page = WebhookPage(webhook, address, rows, trouble.message if trouble else None)
    status = trouble.status_code if trouble else HTTPStatus.OK
    return render(request, "webhooks/show.html", page, status, partial="webhooks/_deliveries.html")


@router.post("/webhooks/{webhook_id}/events", name="webhooks.change")
def change_events(
    request: Request,
    webhook_id: Id,
    session: WriteSession,
    events: Annotated[list[str], Form()] = [],  # noqa: B006
) -> Response:
    """Choose other events."""
    try:
        store.change_webhook(session, webhook_id, events=events)
    except InvalidError as error:
        return _show(request, session, store.get_webhook(session, webhook_id), error)
    return _back_to(webhook_id)


@router.post("/webhooks/{webhook_id}/switch", name="webhooks.switch")
def switch_webhook(webhook_id: Id, session: WriteSession, *, on: Annotated[bool, Form()]) -> Response:
    """Switch a webhook on or off."""
    store.change_webhook(session, webhook_id, is_enabled=on)
    return _back_to(webhook_id)


@router.post("/webhooks/{webhook_id}/test", name="webhooks.test")
def test_webhook(webhook_id: Id, reading: ReadSession, session: WriteSession) -> Response:
    """Send a test; its outcome is the first line of the log."""
    courier.send_test(session, webhook_id, reading=reading)
    return _back_to(webhook_id)


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/again", name="webhooks.again")
def send_again(request: Request, webhook_id: Id, delivery_id: Id, session: WriteSession) -> Response:
    """Let a message be sent again; or say why not."""
    webhook = store.get_webhook(session, webhook_id)
    try:
        deliveries.send_again(session, webhook, delivery_id)
    except ConflictError as error:
        return _show(request, session, webhook, error)
    return _back_to(webhook_id)


@router.post("/webhooks/{webhook_id}/remove", name="webhooks.remove")
def remove_webhook(webhook_id: Id, session: WriteSession) -> Response:
    """Forget a webhook."""
    store.remove_webhook(session, webhook_id)
    return RedirectResponse("/webhooks", status_code=HTTPStatus.SEE_OTHER)


def _back_to(webhook_id: int) -> Response:
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=HTTPStatus.SEE_OTHER)
