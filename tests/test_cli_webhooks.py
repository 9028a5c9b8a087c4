"""`temper webhook` and `temper ask`: against a live server."""

import re

import pytest
import typer
from sqlmodel import Session

from app.cli import MODULES, LazyCommands
from app.cli.examples import EXAMPLES
from app.domain.askings import claim_asking, finish_asking, store_answers
from app.domain.models import RunState
from app.domain.trainer_events import AnswersGiven
from app.domain.webhooks.models import DeliveryState
from tests.factories import make_checkpoint, make_run
from tests.receivers import Receiver, allow_loopback, receiving
from tests.test_cli import read, server, temper
from tests.webhooks import make_delivery, make_webhook

__all__ = ["server"]


@pytest.mark.usefixtures("server")
def test_a_webhook_s_life() -> None:
    """The secret alone is on standard output, once; then it is listed, switched off and removed."""
    made = temper("webhook", "add", "https://ci.example.com/x?token=abc", "--event", "run.failed", "--name", "ci")

    assert re.fullmatch(r"whsec_[\w+/=]{44}\n", made.stdout)
    assert "is told of run.failed" in made.stderr
    listed = temper("webhook", "list").stdout
    assert "https://ci.example.com/x?…" in listed
    assert "whsec_" not in listed
    (hook,) = read("webhook", "list")
    assert read("webhook", "switch", str(hook["id"]), "--off")["is_enabled"] is False
    assert temper("webhook", "remove", str(hook["id"])).exit_code == 0
    assert read("webhook", "list") == []
    assert temper("webhook", "test", "99").exit_code == 1


@pytest.mark.usefixtures("server")
def test_an_address_that_is_refused_is_told() -> None:
    """On standard error, with the field."""
    told = temper("webhook", "add", "http://127.0.0.1/")

    assert (told.exit_code, told.stdout) == (1, "")
    assert "address: 127.0.0.1 is not of the public internet" in told.stderr


@pytest.mark.usefixtures("server")
def test_a_test_and_the_log(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that does not arrive ends with 1 and the reason; the log has it, and sends a message again."""
    allow_loopback(monkeypatch)
    with receiving(Receiver()) as receiver:
        hook = make_webhook(session, address=receiver.url)
        arrived = temper("webhook", "test", str(hook.id))
        receiver.status = 500
        refused = temper("webhook", "test", str(hook.id))
    failed = make_delivery(session, hook, event="run.failed", run_id=3, state=DeliveryState.FAILED, next_try_at=None)

    assert arrived.stdout.startswith("It arrived: 1 try, answer 200, ")
    assert (refused.exit_code, "where a success is" in refused.stderr) == (1, True)
    assert "run 3" in temper("webhook", "log", str(hook.id)).stdout
    assert read("webhook", "again", str(hook.id), str(failed.id))["state"] == "waiting"


@pytest.mark.usefixtures("server")
def test_a_question_is_asked_and_answered(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--wait` it is only asked; with it, what every checkpoint says is shown and is JSON."""
    run = make_run(session, state=RunState.FINISHED)
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=["A.", "No.", "Paris."])
    probe = read("ask", str(run.id), "What is 17 + 4?", "--reference", "21")
    asking = claim_asking(session, probe["asking"]["id"], device="cpu")
    assert asking is not None
    for iteration, text in ((0, "20."), (5, "It is 21.")):
        event = AnswersGiven.model_validate(
            {"time": 0, "kind": "answers", "iteration": iteration, "seconds": 1, "dtype": "float32", "quantised": False,
             "answers": [{"probe": 3, "text": text, "tokens": 3, "ended": "stop"}]}
        )  # fmt: skip
        store_answers(session, asking.id or 0, event, attempt=1)
    finish_asking(session, asking.id or 0, attempt=1)
    session.commit()
    monkeypatch.setattr("app.client.TemperClient.add_probe", lambda *_, **__: probe)

    shown = temper("ask", str(run.id), "What is 17 + 4?", "--wait").stdout
    answers = read("ask", str(run.id), "What is 17 + 4?", "--wait")["answers"]

    assert "✗ 20." in shown
    assert "✓ It is 21." in shown
    assert [(each["iteration"], each["text"], each["is_right"]) for each in answers] == [
        (0, "20.", False),
        (5, "It is 21.", True),
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_command_s_help_ends_with_an_example(name: str) -> None:
    """Also that of each command in a group."""
    helps = temper(name, "--help").stdout
    parts = [each for each in EXAMPLES if each.startswith(f"{name} ")]

    assert "Example:" in helps
    assert EXAMPLES[name].split()[1] == name
    for part in parts:
        assert "Example:" in temper(*part.split(), "--help").stdout
    command = LazyCommands().get_command(typer.Context(LazyCommands()), name)
    assert {f"{name} {sub}" for sub in getattr(command, "commands", {})} == set(parts)
