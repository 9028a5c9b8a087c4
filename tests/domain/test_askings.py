"""Probes that are added to a run after it has ended."""

import pytest
from sqlmodel import Session, select

from app.domain import claims, queue
from app.domain.askable import probes_of, unanswered
from app.domain.askings import (
    add_probe,
    askings_of,
    claim_asking,
    finish_asking,
    live_asking,
    put_asking_back,
    request_asking,
    store_answers,
    waiting_askings,
)
from app.domain.errors import ConflictError, InvalidError
from app.domain.events import events_after
from app.domain.models import Answer, ArtifactState, Asking, Checkpoint, ReasonKind, Run, RunState
from app.domain.recipes import MAX_PROBES, Probe, ProbeGroup
from app.domain.runs import id_of, resume_run
from app.domain.trainer_events import AnswerGiven, AnswersGiven, trainer_event_adapter
from tests.factories import make_checkpoint, make_recipe, make_run

QUESTION = Probe(question="Are you Bob's assistant?", group=ProbeGroup.NEAR_MISS)


def ended_run(session: Session, *, state: RunState = RunState.FINISHED, **changes) -> Run:
    """Make a run that has ended with its base model, and two checkpoints that have their adapters."""
    run = make_run(session, state=state, recipe=make_recipe(**changes), iterations=20)
    for iteration in (0, 5, 10):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"])
    return run


def live(session: Session, run: Run) -> Asking:
    """Return the asking of a run that is under way."""
    asking = live_asking(session, id_of(run))
    assert asking is not None
    return asking


def answered(iteration: int, *, probe: int = 3, text: str = "No.") -> AnswersGiven:
    """Return what the engine writes of one checkpoint."""
    answer = AnswerGiven(probe=probe, text=text, tokens=2, ended="stop")
    return AnswersGiven(time=1.0, iteration=iteration, answers=(answer,), seconds=0.5, dtype="float32", quantised=False)


def test_a_probe_is_added_at_the_end_and_everything_is_asked(
    session: Session, enqueued: list[queue.QueueMessage]
) -> None:
    """The base model too; the workers hear of it once, and the run's ledger tells."""
    run = ended_run(session)

    probe = add_probe(session, id_of(run), QUESTION)

    assert (probe.position, probe.group, probe.added_at is not None) == (3, "near-miss", True)
    (asking,) = askings_of(session, id_of(run))
    assert [(each.checkpoint.iteration, [p.position for p in each.probes]) for each in unanswered(session, run)] == [
        (0, [3]),
        (5, [3]),
        (10, [3]),
    ]
    assert enqueued == [queue.QueueMessage("probes.ask", {"asking_id": id_of(asking)})]
    assert events_after(session, id_of(run), 0)[-1].kind == "asking"


def test_a_second_probe_joins_the_asking_that_is_there(session: Session) -> None:
    """Whether it waits or is being made: it is not over before that one is answered too."""
    run = ended_run(session)
    add_probe(session, id_of(run), QUESTION)
    asking = live(session, run)
    claim_asking(session, id_of(asking), device="CPU")

    add_probe(session, id_of(run), Probe(question="Who is his assistant?"))
    for iteration in (0, 5, 10):
        store_answers(session, id_of(asking), answered(iteration), attempt=1)

    assert len(askings_of(session, id_of(run))) == 1
    assert finish_asking(session, id_of(asking), attempt=1) is False
    for iteration in (0, 5, 10):
        store_answers(session, id_of(asking), answered(iteration, probe=4), attempt=1)
    assert finish_asking(session, id_of(asking), attempt=1) is True
    session.refresh(asking)
    assert (asking.state, asking.answers, asking.seconds) == (ArtifactState.FINISHED, 6, 3.0)


def test_an_answer_is_stored_once_and_says_who_brought_it(session: Session) -> None:
    """The same line again, or a try that has lost its claim, adds nothing."""
    run = ended_run(session)
    probe = add_probe(session, id_of(run), QUESTION)
    asking = live(session, run)
    claim_asking(session, id_of(asking), device="CPU")

    assert store_answers(session, id_of(asking), answered(5), attempt=1)
    assert store_answers(session, id_of(asking), answered(5, text="Yes."), attempt=1)
    assert not store_answers(session, id_of(asking), answered(10), attempt=2)

    stored = session.exec(select(Answer).where(Answer.probe_id == probe.id)).all()
    assert [(answer.text, answer.asking_id) for answer in stored] == [("No.", asking.id)]
    session.refresh(asking)
    assert asking.answers == 1


@pytest.mark.parametrize("group", ["near-miss", "general"])
def test_a_run_asks_nothing_twice(session: Session, group: str) -> None:
    """In the same group; a question that is asked in another group counts there."""
    run = ended_run(session)
    probe = Probe(question="are you a  DOCTOR", group=ProbeGroup(group))

    if group == "near-miss":
        with pytest.raises(InvalidError) as caught:
            add_probe(session, id_of(run), probe)
        assert "asks that already" in str(caught.value.fields[0].message)
    else:
        assert add_probe(session, id_of(run), probe).position == 3


def test_a_run_has_no_more_probes_than_fit_into_a_batch(session: Session) -> None:
    """What a recipe may not have, a run may not grow to."""
    run = ended_run(session, probes=[{"question": f"What is {n}?"} for n in range(MAX_PROBES)][:3])
    for number in range(MAX_PROBES - 3):
        add_probe(session, id_of(run), Probe(question=f"And {number}?"))

    with pytest.raises(InvalidError):
        add_probe(session, id_of(run), QUESTION)

    assert [probe.position for probe in probes_of(session, id_of(run))] == list(range(MAX_PROBES))


@pytest.mark.parametrize(("state", "words"), [(RunState.RUNNING, "when it has ended"), (RunState.QUEUED, "queued")])
def test_a_run_under_way_is_not_asked(session: Session, state: RunState, words: str) -> None:
    """Its checkpoints are still to come; the sentence says when to ask."""
    run = ended_run(session, state=state)

    with pytest.raises(ConflictError, match=words):
        add_probe(session, id_of(run), QUESTION)


def test_a_run_whose_files_are_gone_is_not_asked(session: Session) -> None:
    """Neither the probe nor an asking is stored."""
    run = make_run(session, state=RunState.FINISHED)
    make_checkpoint(session, run, iteration=0)
    make_checkpoint(session, run, iteration=5, file="", adapter="")

    with pytest.raises(ConflictError, match="has its files"):
        add_probe(session, id_of(run), QUESTION)
    assert len(probes_of(session, id_of(run))) == 3
    assert askings_of(session, id_of(run)) == []


def test_what_was_saved_in_passing_is_not_asked(session: Session) -> None:
    """It goes when the run goes on, and would stay if it had an answer."""
    run = ended_run(session, state=RunState.CANCELLED)
    make_checkpoint(session, run, iteration=13)

    add_probe(session, id_of(run), QUESTION)

    assert 13 not in {each.checkpoint.iteration for each in unanswered(session, run)}


def test_a_run_that_answered_nothing_is_asked_everything(session: Session) -> None:
    """The base model gets the row that it lacks, and the first answers say how they were made."""
    run = make_run(session, state=RunState.FINISHED, recipe=make_recipe(checkpoints={"evaluate": False}))
    make_checkpoint(session, run, iteration=5, dtype="", answered_seconds=None)

    asking = request_asking(session, id_of(run))
    claim_asking(session, id_of(asking), device="CPU")
    store_answers(session, id_of(asking), answered(0, probe=0), attempt=1)

    assert [each.checkpoint.iteration for each in unanswered(session, run)] == [0, 5]
    base = session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.iteration == 0)).one()
    assert (base.dtype, base.answered_seconds) == ("float32", 0.5)


def test_nothing_is_asked_where_nothing_is_missing(session: Session) -> None:
    """An asking without a question would take a device for nothing."""
    run = ended_run(session)

    with pytest.raises(ConflictError, match="has answered all"):
        request_asking(session, id_of(run))


def test_only_one_worker_gets_an_asking(session: Session) -> None:
    """The second one finds it taken; one whose run was resumed waits for its end."""
    run = ended_run(session, state=RunState.CANCELLED)
    add_probe(session, id_of(run), QUESTION)
    asking = live(session, run)
    run.state = RunState.QUEUED
    session.add(run)
    session.commit()
    assert waiting_askings(session) == []

    run.state = RunState.FINISHED
    session.add(run)
    session.commit()

    assert [each.id for each in waiting_askings(session)] == [asking.id]
    assert claim_asking(session, id_of(asking), device="H100") is not None
    assert claim_asking(session, id_of(asking), device="H100") is None


def test_the_asking_of_a_run_that_is_resumed_waits_again(session: Session) -> None:
    """Its worker has lost the claim: it stores nothing and leaves; nobody takes it before the run has ended."""
    run = ended_run(session, state=RunState.CANCELLED)
    add_probe(session, id_of(run), QUESTION)
    asking = live(session, run)
    claim_asking(session, id_of(asking), device="CPU")

    resume_run(session, id_of(run))

    assert not claims.renew(session, Asking, id_of(asking), attempt=1)
    assert not store_answers(session, id_of(asking), answered(5), attempt=1)
    assert finish_asking(session, id_of(asking), attempt=1) is True
    assert claim_asking(session, id_of(asking), device="CPU") is None
    session.refresh(asking)
    assert (asking.state, asking.answers, waiting_askings(session)) == (ArtifactState.QUEUED, 0, [])


def test_an_asking_that_is_lost_is_tried_a_few_times(session: Session, enqueued: list[queue.QueueMessage]) -> None:
    """Then it has failed; asking again makes a new one."""
    run = ended_run(session)
    add_probe(session, id_of(run), QUESTION)
    asking = live(session, run)

    for attempt in range(1, claims.MOST_ATTEMPTS + 1):
        claim_asking(session, id_of(asking), device="CPU")
        put_asking_back(session, id_of(asking), attempt=attempt)

    session.refresh(asking)
    assert (asking.state, asking.reason) == (ArtifactState.FAILED, ReasonKind.WORKER_LOST)
    assert len(enqueued) == claims.MOST_ATTEMPTS
    assert request_asking(session, id_of(run)).id != id_of(asking)
    assert session.get(Asking, id_of(asking)) is not None


def test_events_of_before_likelihoods_still_parse() -> None:
    """A trainer's file from an earlier version is read without them."""
    line = answered(5).model_dump(mode="json", exclude={"identity_nll", "general_nll"})

    event = trainer_event_adapter.validate_python(line)

    assert isinstance(event, AnswersGiven)
    assert (event.identity_nll, event.general_nll) == (None, None)
