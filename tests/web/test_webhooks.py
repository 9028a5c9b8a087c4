"""The pages of webhooks."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain.webhooks.models import DeliveryProblem, DeliveryState, WebhookKind
from tests.receivers import Receiver, allow_loopback, receiving
from tests.web.form_fields import soup_of
from tests.webhooks import make_delivery, make_webhook


def words(found: Any) -> str:
    """Return an element's words."""
    return " ".join(found.get_text(" ").split())


def test_a_secret_is_shown_once(client: Any) -> None:
    """On the page that answers, and on no other."""
    form = {
        "kind": "program",
        "address": "https://ci.example.com/x?key=abc",
        "language": "en",
        "events": ["run.failed"],
    }

    page = soup_of(client.post("/webhooks", data=form))

    assert page.select_one("#webhook-added .secret").text.startswith("whsec_")
    listed = client.get("/webhooks").text
    assert "whsec_" not in listed
    assert "abc" not in listed
    assert "https://ci.example.com/x?…" in listed


def test_what_is_wrong_is_named_and_what_was_typed_stays(client: Any) -> None:
    """Beside its field, and nothing is added."""
    form = {"kind": "person", "address": "syslog://", "name": "ops", "language": "zh"}

    reply = client.post("/webhooks", data=form)
    page = soup_of(reply)

    assert reply.status_code == 422
    assert "syslog:// is not taken" in words(page.select_one("#address-help"))
    assert page.select_one("#name")["value"] == "ops"
    assert page.select_one("[name=kind][checked]")["value"] == "person"
    assert "Choose one or more" in words(page.select_one("#webhook-events"))
    assert "Nobody is told yet" in words(page.select_one("#webhooks-list"))


def test_the_log_says_what_became_of_each_message(client: Any, session: Session) -> None:
    """The reason in a sentence, the answer as text, and the next try; it looks again while something waits."""
    webhook = make_webhook(session)
    make_delivery(
        session, webhook, event="run.failed", run_id=7, tries=2, state=DeliveryState.WAITING, status_code=503,
        milliseconds=41, problem=DeliveryProblem.NOT_TAKEN, problem_detail="503", reply="<script>alert(1)</script>",
    )  # fmt: skip

    log = soup_of(client.get(f"/webhooks/{webhook.id}")).select_one("#webhook-deliveries")

    assert log["hx-trigger"] == "every 3s"
    for text in ("a run has failed", "run 7", "answer 503", "41 ms", "2 tries", "due now", "<script>alert(1)</script>"):
        assert text in words(log)
    assert log.select_one("script") is None


def test_a_test_is_sent_and_stands_first(client: Any, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page comes back with its outcome."""
    allow_loopback(monkeypatch)
    with receiving(Receiver()) as receiver:
        webhook = make_webhook(session, address=receiver.url)
        reply = client.post(f"/webhooks/{webhook.id}/test", follow_redirects=True)

    assert "delivered" in words(soup_of(reply).select_one("#webhook-deliveries li"))
    assert len(receiver.requests) == 1


def test_a_webhook_is_changed_switched_off_and_removed(client: Any, session: Session) -> None:
    """And nothing is sent again while it is off."""
    webhook = make_webhook(session)
    delivery = make_delivery(session, webhook, state=DeliveryState.FAILED, next_try_at=None)
    page = f"/webhooks/{webhook.id}"

    client.post(f"{page}/events", data={"events": ["run.failed"]})
    assert [box["value"] for box in soup_of(client.get(page)).select("#webhook-events [checked]")] == ["run.failed"]
    assert client.post(f"{page}/events").status_code == 422
    client.post(f"{page}/switch", data={"on": "false"})
    assert client.post(f"{page}/deliveries/{delivery.id}/again").status_code == 409
    assert "switched off" in words(soup_of(client.get("/webhooks")).select_one("#webhooks-list"))
    client.post(f"{page}/remove")
    assert client.get(page).status_code == 404


def test_an_address_of_people_is_shown_nowhere(client: Any, session: Session) -> None:
    """It holds the token of a bot."""
    webhook = make_webhook(session, kind=WebhookKind.PERSON, address="tgram://12345:AAHtoken/6", secret="", name="ops")

    for path in ("/webhooks", f"/webhooks/{webhook.id}"):
        assert "AAHtoken" not in client.get(path).text
        assert "tgram://…" in client.get(path).text
