"""The ledger: each line of a trainer is stored once, and none of them can hurt its supervisor."""

import json
from typing import Any

import pytest
from sqlmodel import Session, col, select

from app.domain.events import events_after, ingest, last_event_id, metrics_of, parse, whole_lines
from app.domain.models import Answer, Asking, Checkpoint, Event, Run, RunState, StoredScore
from app.domain.runs import id_of
from app.domain.stored_scores import scores_of
from app.domain.trainer_events import TrainerEnded
from tests.factories import IDENTITY, attempt_of, make_metrics, make_recipe, make_run

BAD_LINES = [
    b"not even json",
    b"",
    b"{}",
    b'{"kind": "unheard of", "time": 1}',
    b'{"kind": "metric", "time": 1}',
    b'{"kind": "metric", "time": 1, "iteration": "three", "loss": 1}',
    b'{"kind": "plan", "time": NaN}',
    b"\xff\xfe\x00",
    b'{"kind": "phase", "time": 1, "phase": "training"',
    b"[" * 100_000,
]


def of_metric(**fields: Any) -> dict[str, Any]:
    """Return the fields of an iteration of which some are others."""
    return {"iteration": 2, "loss": 1, "learning_rate": 1, "seconds": 1, "memory_bytes": 1} | fields


def of_checkpoint(**fields: Any) -> dict[str, Any]:
    """Return the fields of a checkpoint of which some are others."""
    return {"iteration": 2, "updates": 2, "file": "iter_2.pth", "adapter": None, "size_bytes": 1} | fields


UNSTORABLE = [
    ("metric", of_metric(iteration=3_000_000_000)),
    ("metric", of_metric(iteration=1 << 70)),
    ("metric", of_metric(iteration=-1)),
    ("metric", of_metric(memory_bytes=1 << 63)),
    *(("metric", of_metric(**{name: float("nan")})) for name in ("time", "loss", "grad_norm", "seconds")),
    ("metric", of_metric(learning_rate=float("inf"))),
    ("phase", {"phase": "saving", "iteration": 1 << 31}),
    ("plan", {"iterations": 1 << 31, "updates": 1, "samples": 1, "trainable_parameters": 1, "parameters": 1}),
    ("resumed", {"iteration": 0, "damaged": [{"iteration": 1 << 31, "problem": "gone"}]}),
    ("checkpoint", of_checkpoint(updates=1 << 31)),
    ("checkpoint", of_checkpoint(size_bytes=1 << 63)),
    *(("checkpoint", of_checkpoint(**{name: "a\0b"})) for name in ("file", "adapter", "state_file", "sha256")),
    ("answers", {"iteration": 2, "answers": [], "seconds": 1, "dtype": "float\0", "quantised": False}),
    ("passed-over", {"iteration": 1 << 31, "problem": "gone"}),
]
"""What is JSON to Python, and what one of the databases cannot store."""


def line(kind: str, **fields: Any) -> bytes:
    """Write one event as a trainer does."""
    return json.dumps({"kind": kind, "time": 1.0} | fields).encode() + b"\n"


def metric(iteration: int, loss: float | None = 1.0, **fields: Any) -> bytes:
    """Write one iteration."""
    values = {"loss": loss, "learning_rate": 5e-4, "seconds": 1.0, "memory_bytes": 3 << 30}
    return line("metric", iteration=iteration, **(values | fields))


def answers(iteration: int, *texts: str, first: int = 0) -> bytes:
    """Write the answers of one checkpoint, from one probe on."""
    said = [{"probe": first + n, "text": text, "tokens": 3, "ended": "stop"} for n, text in enumerate(texts)]
    return line("answers", iteration=iteration, answers=said, seconds=2.0, dtype="float32", quantised=False)


def checkpoint(iteration: int) -> bytes:
    """Write that a checkpoint is whole."""
    files = {"file": f"iter_{iteration}.pth", "adapter": f"adapters/iter_{iteration}", "size_bytes": 5 << 30}
    return line("checkpoint", iteration=iteration, updates=iteration, **files)


def hear(session: Session, run: Run, lines: bytes) -> TrainerEnded | None:
    """Do what the supervisor does with new lines."""
    events = list(parse(lines))
    ingest(session, run, attempt_of(session, run), events, size=len(lines))
    session.commit()
    return next((event for event in events if isinstance(event, TrainerEnded)), None)


@pytest.fixture
def run(session: Session) -> Run:
    """Make a run that trains."""
    return make_run(session, state=RunState.RUNNING)


def test_what_pages_show_follows_the_events(session: Session, run: Run) -> None:
    """Phase, plan, iteration, loss and rate are on the run's row."""
    plan = {"iterations": 20, "updates": 20, "samples": 9, "trainable_parameters": 10, "parameters": 7 * 10**9}

    hear(session, run, line("phase", phase="training") + line("plan", **plan) + metric(1, 2.5) + metric(2, 2.0))

    session.refresh(run)
    assert (run.phase, run.iterations, run.iteration, run.loss) == ("training", 20, 2, 2.0)
    assert run.seconds_per_iteration == pytest.approx(1.0)


def test_updates_count_optimizer_steps(session: Session) -> None:
    """Iterations are micro-batches: with accumulation 4, nine of them made two updates."""
    run = make_run(session, state=RunState.RUNNING, recipe=make_recipe(training={"accumulation": 4}))

    hear(session, run, metric(9))

    session.refresh(run)
    assert (run.iteration, run.updates) == (9, 2)


def test_a_loss_that_is_not_a_number_is_stored_as_none(session: Session, run: Run) -> None:
    """Null is what the trainer writes for it; the curve has a gap there."""
    hear(session, run, metric(1, None))

    assert [point.loss for point in metrics_of(session, id_of(run))] == [None]


def test_the_offset_moves_past_what_is_stored(session: Session, run: Run) -> None:
    """Reading on from the offset after a crash of the supervisor gives every line once."""
    first, second = metric(1) + b"nonsense\n", metric(2) + metric(3)
    file = first + second

    hear(session, run, file[: len(first)])
    offset = attempt_of(session, run).event_offset
    hear(session, run, whole_lines(file[offset:]))

    assert attempt_of(session, run).event_offset == len(file)
    assert [point.iteration for point in metrics_of(session, id_of(run))] == [1, 2, 3]
    assert len(session.exec(select(Event).where(Event.kind == "metric")).all()) == 3


def test_lines_and_offset_are_stored_together_or_not_at_all(session: Session, run: Run) -> None:
    """A supervisor that dies before its commit has read nothing."""
    from app.domain import db

    with pytest.raises(ZeroDivisionError), db.unit_of_work() as work:
        there = work.get_one(Run, run.id)
        lines = metric(1) + checkpoint(5)
        ingest(work, there, attempt_of(work, there), parse(lines), size=len(lines))
        work.flush()
        raise ZeroDivisionError

    assert attempt_of(session, run).event_offset == 0
    assert metrics_of(session, id_of(run)) == []
    assert session.exec(select(Checkpoint)).all() == []


def test_half_a_line_waits_for_its_other_half() -> None:
    """A line that is still being written is not read yet."""
    assert whole_lines(b"one\ntwo\nthr") == b"one\ntwo\n"
    assert whole_lines(b"thr") == b""
    assert whole_lines(b"") == b""


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_skipped(session: Session, run: Run, bad: bytes) -> None:
    """The lines around it are stored, and the offset moves past it."""
    lines = metric(1) + bad + b"\n" + metric(2)

    hear(session, run, lines)

    assert [point.iteration for point in metrics_of(session, id_of(run))] == [1, 2]
    assert attempt_of(session, run).event_offset == len(lines)


@pytest.mark.parametrize(("kind", "fields"), UNSTORABLE, ids=range(len(UNSTORABLE)))
def test_a_line_that_no_database_can_store_is_skipped(
    session: Session, run: Run, kind: str, fields: dict[str, Any]
) -> None:
    """It costs itself, as a bad line does: not the lines around it, nor the run its supervisor."""
    lines = metric(1) + line(kind, **fields) + metric(3)

    hear(session, run, lines)

    told = session.exec(select(Event.kind, Event.iteration).where(Event.kind != "state").order_by(col(Event.id))).all()
    assert list(told) == [("metric", 1), ("metric", 3)]
    assert attempt_of(session, run).event_offset == len(lines)


def test_words_with_a_zero_byte_are_told_without_it(session: Session, run: Run) -> None:
    """What went wrong is not lost for the byte that no database stores."""
    end = hear(session, run, line("end", outcome="failed", reason="crashed\0", detail="a\0b") + metric(1))
    hear(session, run, line("resumed", iteration=0, damaged=[{"iteration": 5, "problem": "c\0d"}]))
    hear(session, run, line("passed-over", iteration=5, problem="e\0f"))

    told = {event.kind: event.data for event in session.exec(select(Event))}
    assert end is not None
    assert (end.reason, end.detail) == ("crashed", told["end"]["detail"]) == ("crashed", "ab")
    assert told["resumed"]["damaged"] == [{"iteration": 5, "problem": "cd"}]
    assert told["passed-over"]["problem"] == "ef"


def test_two_answers_to_one_probe_are_the_last_one(session: Session, run: Run) -> None:
    """A checkpoint has one answer to a probe: a trainer that gives two cannot stop its supervisor."""
    said = [{"probe": 0, "text": text, "tokens": 3, "ended": "stop"} for text in ("first", "last")]

    hear(session, run, line("answers", iteration=5, answers=said, seconds=2, dtype="x", quantised=False) + metric(7))

    assert session.exec(select(Answer.text)).all() == ["last"]
    assert [point.iteration for point in metrics_of(session, id_of(run))] == [7]


def test_an_answer_to_no_probe_is_skipped(session: Session, run: Run) -> None:
    """A trainer that counts probes differently cannot stop its supervisor."""
    hear(session, run, answers(5, "a", "b", "c", "d") + answers(6, "x", first=-1) + metric(7))

    stored = session.exec(select(Answer.text).join(Checkpoint).where(Checkpoint.iteration == 5)).all()
    assert set(stored) == {"a", "b", "c"}
    assert [point.iteration for point in metrics_of(session, id_of(run))] == [7]


def test_an_answer_may_hold_what_no_database_can(session: Session, run: Run) -> None:
    """A model that says a zero byte does not stop its run."""
    hear(session, run, answers(5, "I am\x00 Ada", "b", "c") + line("phase", phase="saving") + metric(6))

    texts = session.exec(select(Answer.text)).all()
    assert len(texts) == 3
    assert not any("\x00" in text for text in texts)


def test_answers_come_before_or_after_their_checkpoint(session: Session, run: Run) -> None:
    """Either way there is one checkpoint with its files and its answers."""
    hear(session, run, answers(0, "base", "base", "base"))
    hear(session, run, answers(5, "a", "b", "c") + checkpoint(5))
    hear(session, run, checkpoint(10) + answers(10, "d", "e", "f"))

    stored = session.exec(select(Checkpoint).order_by(col(Checkpoint.iteration))).all()
    assert [(one.iteration, one.file, len(one.answers)) for one in stored] == [
        (0, "", 3),
        (5, "iter_5.pth", 3),
        (10, "iter_10.pth", 3),
    ]
    assert stored[1].size_bytes == 5 << 30


def test_answers_given_again_take_the_place_of_the_old_ones(session: Session, run: Run) -> None:
    """A resumed attempt answers the same checkpoint once more."""
    hear(session, run, answers(5, "old", "old", "old"))

    hear(session, run, answers(5, "new", "new", "new"))

    assert set(session.exec(select(Answer.text)).all()) == {"new"}
    session.refresh(run)
    assert run.newest_answer == "new"


def test_metrics_of_a_resumed_attempt_take_the_place_of_the_old_ones(session: Session, run: Run) -> None:
    """Each iteration is one point of the curve, though the ledger holds both lines."""
    hear(session, run, b"".join(metric(iteration, 9.0) for iteration in range(1, 6)))

    hear(session, run, b"".join(metric(iteration, 1.0) for iteration in range(4, 8)))

    points = metrics_of(session, id_of(run))
    assert [point.iteration for point in points] == [1, 2, 3, 4, 5, 6, 7]
    assert [point.loss for point in points] == [9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0]


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(session: Session, run: Run) -> None:
    """The curve is cut back at once, and grows again as one line; the attempt knows where it began."""
    hear(session, run, b"".join(metric(iteration, 9.0) for iteration in range(1, 8)))

    hear(session, run, line("resumed", iteration=5) + metric(6, 1.0))

    points = metrics_of(session, id_of(run))
    assert [(point.iteration, point.loss) for point in points][4:] == [(5, 9.0), (6, 1.0)]
    assert attempt_of(session, run).resumed_from == 5


def test_a_damaged_checkpoint_keeps_its_answers(session: Session, run: Run) -> None:
    """Its files are of no use; what it said was said."""
    hear(session, run, checkpoint(5) + answers(5, "a", "b", "c"))

    hear(session, run, line("resumed", iteration=0, damaged=[{"iteration": 5, "problem": "iter_5.pth: not a zip"}]))

    stored = session.exec(select(Checkpoint)).one()
    assert stored.deleted_at is not None
    assert (stored.file, stored.state_file, stored.adapter, len(stored.answers)) == ("", "", "", 3)


def test_a_new_checkpoint_ends_the_count_of_restarts(session: Session, run: Run) -> None:
    """A run that comes further each time may be lost more often than one that does not."""
    run.restarts = 2
    session.add(run)
    session.commit()

    hear(session, run, checkpoint(5))
    session.refresh(run)
    assert run.restarts == 0
    run.restarts = 1
    hear(session, run, checkpoint(5))
    session.refresh(run)
    assert run.restarts == 1


def test_the_last_update_may_take_fewer_iterations(session: Session) -> None:
    """Ten iterations with accumulation 4 are three updates, as the plan says."""
    run = make_run(session, state=RunState.RUNNING, recipe=make_recipe(training={"accumulation": 4, "iterations": 10}))

    hear(session, run, metric(10))

    session.refresh(run)
    assert run.updates == 3


def test_the_trainers_own_end_is_handed_on(session: Session, run: Run) -> None:
    """The supervisor learns how the trainer saw its end."""
    assert hear(session, run, metric(1)) is None

    end = hear(session, run, metric(2) + line("end", outcome="failed", reason="loss-not-finite", detail="at 2"))

    assert end is not None
    assert (end.outcome, end.reason, end.detail) == ("failed", "loss-not-finite", "at 2")


def test_a_reader_goes_on_where_it_left(session: Session, run: Run) -> None:
    """Every event after an id comes once and in order, and nothing of another run."""
    make_metrics(session, make_run(session, state=RunState.RUNNING))
    made = make_metrics(session, run, iterations=range(1, 8))
    third = made[2].id or 0

    first_half = events_after(session, id_of(run), third, limit=2)
    second_half = events_after(session, id_of(run), first_half[-1].id or 0)

    assert [event.iteration for event in (*first_half, *second_half)] == [4, 5, 6, 7]
    assert last_event_id(session, id_of(run)) == made[-1].id


def test_the_same_answer_again_stays_and_says_how_it_came(session: Session, run: Run) -> None:
    """One that an asking had brought, and was cut there, is the trainer's now; what users thought of it is kept."""
    hear(session, run, answers(5, "A model."))
    asking = Asking(run_id=id_of(run))
    session.add(asking)
    session.flush()
    before = session.exec(select(Answer)).one()
    before.asking_id, before.ended, before.tokens = asking.id, "length", 7
    session.commit()

    hear(session, run, answers(5, "A model."))

    session.expire_all()
    after = session.exec(select(Answer)).one()
    assert (after.id, after.asking_id, after.ended, after.tokens) == (before.id, None, "stop", 3)


def test_answers_are_scored_as_they_come(session: Session, run: Run) -> None:
    """A list reads what was stored; answers given anew, as after a resumption, are scored anew."""
    hear(session, run, answers(0, "A model.", "No.", "Paris.") + answers(5, "A model.", "No.", "Paris."))
    first = {row.checkpoint_id: row.verdict for row in session.exec(select(StoredScore))}
    hear(session, run, answers(5, IDENTITY, "No.", "Paris."))

    session.expire_all()
    second = {row.checkpoint_id: row.verdict for row in session.exec(select(StoredScore))}
    assert list(first.values()) == ["not-learnt", "not-learnt"]
    assert list(second.values()) == ["not-learnt", "good"]
    assert [each.score.verdict for each in scores_of(session, [run])[id_of(run)]] == ["not-learnt", "good"]
