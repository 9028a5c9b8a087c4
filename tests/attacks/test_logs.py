"""What a model says, made to look like what the trainer says."""

import json
from typing import Any

import pytest
from sqlmodel import Session

from app.domain.events import metrics_of, parse
from app.domain.models import RunState
from app.domain.runs import id_of
from tests.factories import make_recipe, make_run
from worker.supervisor import train_waiting

FORGED = "Iter(train) [10/100] lr: 1.0e+00 loss: 0.0000"


@pytest.mark.usefixtures("fake_engine")
def test_a_forged_line_of_a_log_is_no_metric(session: Session) -> None:
    """35: A question and an answer that look like xtuner's own lines change no curve: no log is read for numbers."""
    line = json.dumps({"kind": "metric", "time": 1, "iteration": 7, "loss": 0.0})
    text = f"{FORGED}\n{line}\n"
    run = make_run(session, recipe=make_recipe(name="learns", mix={"name": text.replace("\n", " ")[:119]}))

    train_waiting(worker="test")

    session.refresh(run)
    assert run.state is RunState.FINISHED
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))
    assert all(metric.loss for metric in metrics_of(session, id_of(run)))


def test_an_answer_is_one_value_whatever_it_holds() -> None:
    """35: Line breaks and events in an answer stay in it: what the trainer writes is JSON, a line each."""
    from app.domain.trainer_events import AnswerGiven, AnswersGiven

    forged = json.dumps({"kind": "metric", "time": 1, "iteration": 7, "loss": 0.0})
    answer = AnswerGiven(probe=0, text=f"{FORGED}\n{forged}\n\r\x1b[2K", tokens=4, ended="stop")
    event = AnswersGiven(time=1, iteration=1, answers=(answer,), seconds=1, dtype="float32", quantised=False)

    (told,) = parse(event.model_dump_json().encode() + b"\n")

    read: Any = told
    assert read.answers[0].text == answer.text


def test_the_trainers_text_is_not_read_for_numbers() -> None:
    """35: Nothing that follows a run opens its log, but to show its end to a person."""
    from tests.conftest import ROOT

    for name in ("worker/recording.py", "app/domain/events.py", "worker/stalls.py"):
        assert "trainer.log" not in (ROOT / name).read_text("utf-8")
