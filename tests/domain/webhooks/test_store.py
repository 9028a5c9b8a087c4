"""Webhooks as their admins keep them: as many as fit, whoever adds them when."""

import pytest
from sqlmodel import Session

from app.domain.errors import ConflictError
from app.domain.webhooks import store
from app.domain.webhooks.models import WebhookKind
from app.domain.webhooks.store import add_webhook, list_webhooks
from tests.databases import two_at_once


def add(session: Session) -> str:
    """Add a webhook for people, whose address nobody has to look up."""
    address = "ntfys://ntfy.example.com/temper"
    return add_webhook(session, kind=WebhookKind.PERSON, address=address, events=["run.finished"]).name


def test_the_last_place_is_given_once_to_two_who_ask_at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while the first one's transaction is open is told that no more fit."""
    monkeypatch.setattr(store, "MOST_WEBHOOKS", 1)

    _, refused = two_at_once(add, add)

    assert isinstance(refused, ConflictError)
    assert len(list_webhooks(session)) == 1
