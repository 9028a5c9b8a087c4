"""Webhooks by the API: an admin's, with a secret that is shown once."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role
from app.domain.webhooks.models import DeliveryState
from tests.receivers import Receiver, allow_loopback, receiving
from tests.webhooks import deliveries, make_delivery, make_webhook

WEBHOOKS = "/api/v1/webhooks"


def test_a_webhook_s_life(api: TestClient) -> None:
    """Added, listed without its secret and its query, switched off, removed."""
    made = api.post(WEBHOOKS, json={"address": "https://ci.example.com/temper?token=abc", "events": ["run.failed"]})
    address = made.headers["location"]

    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    listed = api.get(WEBHOOKS)
    assert listed.json()["webhooks"] == [api.get(address).json()]
    assert "whsec_" not in listed.text
    assert "abc" not in listed.text
    changed = api.patch(address, json={"is_enabled": False, "events": ["sweep.finished", "run.finished"]}).json()
    assert (changed["is_enabled"], changed["events"]) == (False, ["run.finished", "sweep.finished"])
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


REFUSED = [
    *(
        ({"address": address}, "address")
        for address in (
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "file:///etc/passwd",
            "http://localhost:8321/",
            "http://[::ffff:10.0.0.1]/",
            "https://me:secret@ci.example.com/",
        )
    ),
    ({"address": "https://x.example/", "events": []}, "events"),
    ({"address": "https://x.example/", "events": ["run.started"]}, "events.0"),
    ({"address": "https://x.example/", "language": "fr"}, "language"),
    ({"address": "https://x.example/", "name": "a\u202eb"}, "name"),
    ({"address": "https://x.example/", "secret": "mine"}, "secret"),
    ({"address": "syslog://", "kind": "person"}, "address"),
]


def test_what_cannot_be_used_is_named(api: TestClient) -> None:
    """An address of this machine or its network, though an admin asks; a secret that is the caller's own, and weak."""
    for body, field in REFUSED:
        reply = api.post(WEBHOOKS, json=body)

        assert reply.status_code == 422, body
        assert [each["field"] for each in reply.json()["error"]["fields"]] == [field]
    assert api.get(WEBHOOKS).json()["webhooks"] == []


@pytest.mark.parametrize(("host", "said"), [("127.0.0.1", "127.0.0.1 is not of"), ("localhost", "localhost is ")])
def test_an_address_inside_is_said_once(api: TestClient, host: str, said: str) -> None:
    """With the name that leads there, where it has one."""
    reply = api.post(WEBHOOKS, json={"address": f"http://{host}:8321/"})

    assert reply.json()["error"]["fields"][0]["message"].startswith(said)


def test_a_test_says_what_became_of_it(api: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with the status, the time and the answer; it is in the log, and not tried again."""
    allow_loopback(monkeypatch)
    with receiving(Receiver(status=500, text="<b>no</b>")) as receiver:
        webhook = make_webhook(session, address=receiver.url)
        told = api.post(f"{WEBHOOKS}/{webhook.id}/test").json()

    assert (told["state"], told["status_code"], told["problem"], told["reply"]) == (
        "failed",
        500,
        "not-taken",
        "<b>no</b>",
    )
    assert told["problem_message"] == "The address answers 500, where a success is 200 to 299."
    assert api.get(f"{WEBHOOKS}/{webhook.id}/deliveries").json()["deliveries"] == [told]
    assert told["next_try_at"] is None


def test_a_delivery_is_sent_again(api: TestClient, session: Session) -> None:
    """It waits for a worker; asked for twice, and of another webhook, it is refused."""
    webhook, other = make_webhook(session), make_webhook(session)
    delivery = make_delivery(session, webhook, state=DeliveryState.FAILED, next_try_at=None)

    again = f"{WEBHOOKS}/{webhook.id}/deliveries/{delivery.id}/again"
    assert api.post(f"{WEBHOOKS}/{other.id}/deliveries/{delivery.id}/again").status_code == 404
    assert api.post(again).json()["state"] == "waiting"
    assert api.post(again).status_code == 409
    assert deliveries(session)[0].next_try_at is not None


def test_the_payload_s_schema_is_in_the_description(api: TestClient) -> None:
    """A client that is generated from it has the types of what webhooks get."""
    schemas = api.get("/api/v1/openapi.json").json()["components"]["schemas"]

    assert {"Payload", "RunFacts", "CheckpointFacts", "SweepFacts"} <= set(schemas)
    assert api.get(f"{WEBHOOKS}/payload").json()["type"] == "test"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUNNER])
def test_nobody_else_sees_a_webhook(anonymous: TestClient, session: Session, role: Role) -> None:
    """Neither the list, nor one, nor its log."""
    user = accounts.add_user(session, "x", role=role)
    anonymous.headers["Authorization"] = f"Bearer {accounts.create_token(session, user, name='t')}"
    webhook = make_webhook(session)

    for path in ("", f"/{webhook.id}", f"/{webhook.id}/deliveries"):
        assert anonymous.get(WEBHOOKS + path).status_code == 403
    assert anonymous.post(WEBHOOKS, json={"address": "https://x.example/"}).status_code == 403
