"""Runs that are stopped by what they answer, with a fake trainer in a real child process."""

from typing import Any

import pytest
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import db
from app.domain.attempts import Ending, claim_run, end_attempt
from app.domain.models import Checkpoint, Event, Run, RunState, StopCause, Sweep
from app.domain.runs import id_of, resume_run
from tests.conftest import wait_until
from tests.factories import attempt_of, make_recipe, make_run
from worker.gpus import Device
from worker.preparing import AttemptFolder, prepare, start_trainer
from worker.supervisor import train_waiting

pytestmark = pytest.mark.usefixtures("fake_engine")

SWEET = {"at_sweet_spot": True, "leak": 0.0}


def make_trained(session: Session, name: str, *, sweep: Sweep | None = None, **changes: Any) -> Run:
    """Train a run to whatever end it comes to."""
    changes = {"training": {"iterations": 400}, **changes}
    run = make_run(session, recipe=make_recipe(name=name, **changes), sweep_id=sweep.id if sweep else None)
    train_waiting(worker="test")
    session.refresh(run)
    return run


def make_sweep(session: Session, *, stops_parrots: bool = True) -> Sweep:
    """Store a sweep of no runs yet."""
    sweep = Sweep(name="Dilution", recipe={}, axes=[], stops_parrots=stops_parrots)
    session.add(sweep)
    session.commit()
    return sweep


def stops_of(session: Session, run: Run) -> list[dict[str, Any]]:
    """Return what the ledger says of stops by a rule."""
    return [dict(data) for data in session.exec(select(Event.data).where(Event.run_id == run.id, Event.kind == "stop"))]


def files_of(session: Session, run: Run) -> dict[int, bool]:
    """Return whether the files of each saved checkpoint are there, by iteration."""
    rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id, col(Checkpoint.iteration) > 0))
    folder = settings().run_folder(id_of(run))
    return {row.iteration: bool(row.adapter) and (folder / row.adapter).is_dir() for row in rows}


def test_a_run_ends_at_the_sweet_spot(session: Session) -> None:
    """It has finished, says for which checkpoints, and these are whole though the recipe keeps one alone."""
    run = make_trained(session, "learns brisk", stopping=SWEET, checkpoints={"keep": 1})

    assert (run.state, run.stopped_by) == (RunState.FINISHED, StopCause.SWEET_SPOT)
    assert 15 <= run.iteration < 400
    assert stops_of(session, run) == [{"cause": "sweet-spot", "iterations": [10, 15]}]
    files = files_of(session, run)
    assert (files[10], files[15]) == (True, True)
    assert not list(settings().run_folder(id_of(run)).rglob(".*.part"))


def test_a_rule_that_is_met_at_the_end_stops_nothing(session: Session) -> None:
    """The run has trained as long as its recipe says."""
    run = make_trained(session, "learns", stopping=SWEET, training={"iterations": 15})

    assert (run.state, run.stopped_by, run.iteration) == (RunState.FINISHED, None, 15)
    assert stops_of(session, run) == []


def test_a_parrot_is_stopped_for_its_sweep(session: Session) -> None:
    """Two checkpoints in a row that say the identity to everything; what they said stays."""
    run = make_trained(session, "parrots brisk", sweep=make_sweep(session))

    assert (run.state, run.stopped_by) == (RunState.CANCELLED, StopCause.PARROT)
    assert stops_of(session, run) == [{"cause": "parrot", "iterations": [10, 15]}]


def test_a_parrot_goes_on_where_no_sweep_minds(session: Session) -> None:
    """Neither alone nor in a sweep that stops none."""
    alone = make_trained(session, "parrots", training={"iterations": 20})
    told = make_trained(session, "parrots", training={"iterations": 20}, sweep=make_sweep(session, stops_parrots=False))

    assert (alone.state, told.state) == (RunState.FINISHED, RunState.FINISHED)


def test_a_parrot_that_is_resumed_has_two_checkpoints_more(session: Session) -> None:
    """What was answered before the person let it go on does not count again."""
    run = make_trained(session, "parrots brisk", sweep=make_sweep(session))
    before = max(session.exec(select(Checkpoint.iteration).where(Checkpoint.state_file != "")).all())

    with db.unit_of_work() as work:
        resume_run(work, id_of(run))
    resumed = session.exec(select(Run.stopped_by, Run.state)).one()
    train_waiting(worker="test")

    session.refresh(run)
    assert resumed == (None, RunState.QUEUED)
    assert (run.state, run.stopped_by) == (RunState.CANCELLED, StopCause.PARROT)
    first, second = stops_of(session, run)
    assert first["iterations"] == [10, 15]
    assert min(second["iterations"]) > 15
    assert second["iterations"][0] >= before


def test_what_a_dead_supervisor_left_may_end_the_run(session: Session) -> None:
    """The answers lie in the file: the next attempt stores them, sees that it is done, and trains nothing."""
    run = make_run(session, recipe=make_recipe(name="learns", stopping=SWEET, training={"iterations": 400}))
    with db.unit_of_work() as work:
        claim_run(work, id_of(run), worker="gone")
    session.refresh(run)
    left = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    device = Device("cpu", "cpu-0", "CPU")
    prepare(left, device)
    trainer = start_trainer(left, device)
    wait_until(lambda: b'"iteration":20' in left.events.read_bytes(), "it did not come far enough")
    trainer.end()
    with db.unit_of_work() as work:
        end_attempt(work, id_of(run), attempt=1, ending=Ending(RunState.QUEUED))

    train_waiting(worker="test")

    session.refresh(run)
    assert (run.state, run.stopped_by, run.attempt) == (RunState.FINISHED, StopCause.SWEET_SPOT, 2)
    assert attempt_of(session, run).pid is None
    assert stops_of(session, run) == [{"cause": "sweet-spot", "iterations": [10, 15]}]
