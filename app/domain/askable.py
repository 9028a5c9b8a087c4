"""What checkpoints of runs that have ended can still be asked, and what they have no answer to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from app.domain.checkpoints import is_in_passing
from app.domain.models import Answer, Checkpoint, Run, RunProbe
from app.domain.runs import id_of, recipe_of


@dataclass(frozen=True)
class Unanswered:
    """A checkpoint that can be asked, and the probes that it has no answer to."""

    checkpoint: Checkpoint
    probes: tuple[RunProbe, ...]


@dataclass(frozen=True)
class Askable:
    """What of one run can be asked."""

    probes: Sequence[RunProbe]
    """In their order, those that were added last."""
    checkpoints: Sequence[Checkpoint]
    """The base model, and each that has what answers and was not saved in passing, by iteration."""
    given: Mapping[int, set[int]]
    """Probes that each checkpoint has answered."""

    @property
    def unanswered(self) -> list[Unanswered]:
        """What is left to ask, by iteration."""
        found = []
        for checkpoint in self.checkpoints:
            missing = tuple(probe for probe in self.probes if probe.id not in self.given.get(id_of(checkpoint), ()))
            if missing:
                found.append(Unanswered(checkpoint, missing))
        return found


def read_askable(session: Session, runs: Sequence[Run], *, anew: bool = False) -> dict[int, Askable]:
    """
    Read what of each run can be asked, by its id, in three statements however many there are.

    Args:
        anew: read checkpoints again that the session has already: a worker may have changed them since.
    """
    run_ids = [id_of(run) for run in runs]
    probes: dict[int, list[RunProbe]] = defaultdict(list)
    of_runs = col(RunProbe.run_id).in_(run_ids)
    for probe in session.exec(select(RunProbe).where(of_runs).order_by(col(RunProbe.position))):
        probes[probe.run_id].append(probe)
    given: dict[int, set[int]] = defaultdict(set)
    of_runs = col(Checkpoint.run_id).in_(run_ids)
    answered = sa_select(col(Answer.checkpoint_id), col(Answer.probe_id)).join(Checkpoint).where(of_runs)
    for checkpoint_id, probe_id in session.execute(answered):
        given[checkpoint_id].add(probe_id)
    statement = select(Checkpoint).where(of_runs, col(Checkpoint.deleted_at).is_(None))
    rows: dict[int, list[Checkpoint]] = defaultdict(list)
    statement = statement.order_by(col(Checkpoint.iteration)).execution_options(populate_existing=anew)
    for row in session.exec(statement):
        rows[row.run_id].append(row)
    return {
        run_id: Askable(probes[run_id], _that_answer(run, rows[run_id], given), given)
        for run_id, run in zip(run_ids, runs, strict=True)
    }


def _that_answer(run: Run, rows: Sequence[Checkpoint], given: Mapping[int, set[int]]) -> list[Checkpoint]:
    every = recipe_of(run).checkpoints.every
    return [
        row
        for row in rows
        if row.iteration == 0
        or ((row.adapter or row.file) and not is_in_passing(row, run, every=every, is_answered=id_of(row) in given))
    ]


def unanswered(session: Session, run: Run) -> list[Unanswered]:
    """Return what is left to ask of one run, by iteration."""
    return read_askable(session, [run], anew=True)[id_of(run)].unanswered


def probes_of(session: Session, run_id: int) -> Sequence[RunProbe]:
    """Return a run's probes in their order, those that were added last."""
    return session.exec(select(RunProbe).where(RunProbe.run_id == run_id).order_by(col(RunProbe.position))).all()
