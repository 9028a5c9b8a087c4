"""Messages as they arrive: signed for programs, in words for people."""

import json
from datetime import UTC, datetime

import pytest
from sqlmodel import Session
from standardwebhooks import Webhook as Signer

from app.domain import db
from app.domain.attempts import Ending, end_attempt
from app.domain.models import RunState
from app.domain.runs import id_of
from app.domain.webhooks.courier import headers_of
from app.domain.webhooks.deliveries import Claimed
from app.domain.webhooks.models import Delivery, WebhookKind
from app.domain.webhooks.outbox import run_facts
from app.domain.webhooks.payloads import payload_of
from app.domain.webhooks.sentences import sentence_of
from tests.conftest import forget_settings
from tests.factories import make_checkpoint, make_run
from tests.receivers import Receiver, allow_loopback, receiving
from tests.stories import make_story
from tests.webhooks import SECRET, deliveries, make_webhook
from worker.courier import deliver_due


def finish(session: Session, name: str = "ada") -> None:
    """End a run that has a good checkpoint."""
    run = make_story(session, name=name, state=RunState.RUNNING)
    with db.unit_of_work() as work:
        end_attempt(work, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))


def test_what_arrives_is_signed_and_typed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference verifier takes it; it names the run, the checkpoint to keep, and where to look."""
    monkeypatch.setenv("TEMPER_URL", "https://temper.example/")
    allow_loopback(monkeypatch)
    with receiving(Receiver()) as receiver:
        make_webhook(session, address=receiver.url)
        finish(session)
        deliver_due()
        deliver_due()

    ((_, headers, body),) = receiver.requests
    message = Signer(SECRET).verify(body, headers)
    assert (message["version"], message["type"]) == (1, "run.finished")
    data = message["data"]
    assert data["run"]["url"] == f"https://temper.example/runs/{data['run']['id']}"
    assert (data["run"]["state"], data["checkpoint"]["iteration"], data["checkpoint"]["verdict"]) == (
        "finished",
        20,
        "good",
    )
    assert deliveries(session)[0].state == "delivered"
    assert headers["content-type"] == "application/json"


def test_what_cannot_be_sent_waits_for_its_next_try(session: Session) -> None:
    """A worker goes on with the others, and says why in the log of deliveries."""
    make_webhook(session, address="http://127.0.0.1:9/")
    finish(session)

    deliver_due()

    (waiting,) = deliveries(session)
    assert (waiting.state, waiting.tries, waiting.problem, waiting.problem_detail) == (
        "waiting", 1, "bad-address", "127.0.0.1",
    )  # fmt: skip


def test_a_signature_covers_id_time_and_body() -> None:
    """As the specification's own example has it."""
    body = '{"test": 2432232314}'
    claimed = Claimed(1, 1, WebhookKind.PROGRAM, "", SECRET, "en", "msg_p5jXN8AQM9LWM0D4loKWxJek", body)

    headers = headers_of(claimed, at=datetime.fromtimestamp(1614265330, UTC))

    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_people_read_a_sentence_in_their_language(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened, the verdict, and a link on a line of its own."""
    monkeypatch.setenv("TEMPER_URL", "https://temper.example")
    forget_settings()
    make_webhook(session)
    finish(session, name="Ada {name} %s")

    with db.reading() as reading:
        payload = payload_of(reading, reading.get_one(Delivery, deliveries(session)[0].id))
    english, chinese = sentence_of(payload, "en"), sentence_of(payload, "zh")

    assert english.startswith("Run 1, Ada {name} %s, has finished. Iteration 20 is good: identity 2/2, leak 0/")
    assert english.endswith("\nhttps://temper.example/runs/1")
    assert "好" in chinese
    assert "Ada {name} %s" in chinese


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_every_event_has_its_payload_and_its_sentence(session: Session, state: RunState) -> None:
    """Also where there is no checkpoint, and nothing to keep."""
    run = make_run(session, state=state, name="mine")
    make_checkpoint(session, run, iteration=0, texts=["A.", "B.", "C."])
    facts = run_facts(run)
    sweep = {"id": 4, "name": "s", "by_state": {"finished": 2, "failed": 1}, "ended_at": "2026-11-26T00:00:00Z"}
    checkpoint = {
        "id": 9,
        "iteration": 5,
        "verdict": "good",
        "identity_hits": 1,
        "identity_total": 1,
        "leaks": 0,
        "leak_total": 2,
    }
    told = [
        Delivery(webhook_id=1, message_id="a", event=f"run.{state}", run_id=run.id, data=facts),
        Delivery(webhook_id=1, message_id="b", event="sweep.finished", sweep_id=4, data=sweep),
        Delivery(
            webhook_id=1,
            message_id="c",
            event="verdict.reached",
            run_id=run.id,
            data=facts | {"checkpoint": checkpoint},
        ),
        Delivery(webhook_id=1, message_id="d", event="test", data={}),
    ]
    told[0].event = {"failed": "run.failed", "cancelled": "run.stopped"}[state]

    payloads = [payload_of(session, each) for each in told]

    assert [json.loads(each.model_dump_json())["type"] for each in payloads] == [each.event for each in told]
    assert "2 of 3 runs finished" in sentence_of(payloads[1], "en")
    assert "has its first good checkpoint. Iteration 5 is good" in sentence_of(payloads[2], "en")
    assert all(sentence_of(each, "zh") for each in payloads)
