"""Webhooks as their admins keep them: added, listed, changed, removed."""

import base64
import secrets
from collections.abc import Collection, Sequence

from sqlmodel import Session, col, delete, select

from app.config import settings
from app.domain import audit, db
from app.domain.catalogues import LANGUAGES
from app.domain.errors import ConflictError, FieldError, InvalidError, NotFoundError
from app.domain.messages import Message, message
from app.domain.webhooks.addresses import RefusedAddressError, checked_addresses, system_addresses, target_of
from app.domain.webhooks.deliveries import give_up
from app.domain.webhooks.models import Delivery, Webhook, WebhookEvent, WebhookKind
from app.domain.webhooks.people import check_person_address, hidden

SECRET_PREFIX, SECRET_BYTES = "whsec_", 32
ADDING = 7_352_004  # of `db.take_turns`: who adds one counts those that are there
MOST_WEBHOOKS = 50  # each gets a row of its own in the transaction that ends a run
LONGEST_NAME = 100


def list_webhooks(session: Session) -> Sequence[Webhook]:
    """Return all webhooks, the oldest first."""
    return session.exec(select(Webhook).order_by(col(Webhook.id))).all()


def get_webhook(session: Session, webhook_id: int) -> Webhook:
    """Return a webhook; NotFoundError when there is none."""
    webhook = session.get(Webhook, webhook_id)
    if webhook is None:
        raise NotFoundError(message("There is no webhook {id}.", id=webhook_id))
    return webhook


def add_webhook(
    session: Session, *, kind: WebhookKind, address: str, events: Collection[str], name: str = "", language: str = "en"
) -> Webhook:
    """
    Add a webhook; that of a program gets a secret, which is shown this once.

    Raises:
        InvalidError: the address is none, or leads where nothing may be sent; or another field cannot be used.
        ConflictError: there are as many as fit.
    """
    address, name = address.strip(), " ".join(name.split())
    problems = [*_address_problems(kind, address), *_event_problems(events), *_name_problems(name, language)]
    if problems:
        raise InvalidError(problems)
    db.take_turns(session, ADDING)
    if len(list_webhooks(session)) >= MOST_WEBHOOKS:
        raise ConflictError(message("There are {most} webhooks, and no more fit.", most=MOST_WEBHOOKS))
    webhook = Webhook(
        name=name or shown_address(kind, address),
        kind=kind,
        address=address,
        events=in_order(events),
        language=language,
        secret=_new_secret() if kind is WebhookKind.PROGRAM else "",
    )
    session.add(webhook)
    session.flush()  # its id is shown
    audit.note("webhook", webhook.id, name=name or None, address=shown_address(kind, webhook.address))
    return webhook


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def _address_problems(kind: WebhookKind, address: str) -> Sequence[FieldError]:
    try:
        if kind is WebhookKind.PERSON:
            check_person_address(address)
        else:
            _check_program_address(address)
    except InvalidError as error:
        return error.fields
    return ()


def _check_program_address(address: str) -> None:
    """See that an address leads to the public internet as names stand now; each try looks again."""
    target = target_of(address)
    try:
        checked_addresses(target.host, target.port, allowed=settings().webhook_allow_private, resolve=system_addresses)
    except RefusedAddressError as error:
        raise InvalidError([FieldError("address", _refusal(target.host, str(error)))]) from None
    except OSError:
        return  # a name that does not answer now may do so when it is needed


def _refusal(host: str, address: str) -> Message:
    if host == address:
        return message(
            "{address} is not of the public internet. An admin of this machine may open its network in "
            "TEMPER_WEBHOOK_ALLOW_PRIVATE.",
            address=address,
        )
    return message(
        "{host} is {address}, which is not of the public internet. An admin of this machine may open its network "
        "in TEMPER_WEBHOOK_ALLOW_PRIVATE.",
        host=host,
        address=address,
    )


def _event_problems(events: Collection[str]) -> Sequence[FieldError]:
    known = ", ".join(WebhookEvent)
    if not events or not set(events) <= set(WebhookEvent):
        return [FieldError("events", message("Choose one or more of {events}.", events=known))]
    return ()


def _name_problems(name: str, language: str) -> Sequence[FieldError]:
    problems = []
    if len(name) > LONGEST_NAME or not name.isprintable():
        text = message("Take at most {most} printable characters.", most=LONGEST_NAME)
        problems.append(FieldError("name", text))
    if language not in LANGUAGES:
        problems.append(FieldError("language", message("Choose one of {languages}.", languages=", ".join(LANGUAGES))))
    return problems


def in_order(events: Collection[str]) -> list[str]:
    """Return events in the order in which they are explained, each once."""
    return [event.value for event in WebhookEvent if event in events]


def shown_address(kind: WebhookKind, address: str) -> str:
    """Return what may be shown of an address: nothing of one that holds passwords, no query."""
    if kind is WebhookKind.PERSON:
        return hidden(address)
    base, question, _ = address.partition("?")
    return f"{base}?…" if question else base


# ── Changed and removed ────────────────────────────────────────────────────


def change_webhook(
    session: Session, webhook_id: int, *, events: Collection[str] | None = None, is_enabled: bool | None = None
) -> Webhook:
    """
    Choose other events, or switch a webhook on or off; what waits for one that is switched off is given up.

    Raises:
        InvalidError: there is no such event, or none is chosen.
    """
    webhook = get_webhook(session, webhook_id)
    before = {"events": list(webhook.events), "is_enabled": webhook.is_enabled}
    if events is not None:
        if problems := _event_problems(events):
            raise InvalidError(problems)
        webhook.events = in_order(events)
    if is_enabled is not None:
        webhook.is_enabled = is_enabled
        if not is_enabled:
            give_up(session, webhook_id)
    session.add(webhook)
    after = {"events": list(webhook.events), "is_enabled": webhook.is_enabled}
    audit.note("webhook", webhook_id, name=webhook.name, **audit.changed_values(before, after))
    return webhook


def remove_webhook(session: Session, webhook_id: int) -> None:
    """Forget a webhook, its secret and every message to it."""
    webhook = get_webhook(session, webhook_id)
    audit.note("webhook", webhook_id, name=webhook.name)
    session.exec(delete(Delivery).where(col(Delivery.webhook_id) == webhook_id))
    session.delete(webhook)
