"""
Scoring old answers anew: what other thresholds would change, and the work of a worker that stores it.

Scoring takes seconds and a database has few writers, on SQLite one: answers are read and scored in a
session that only reads, and what came of it is stored one run at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlmodel import Session, col, select

from app.domain.models import Answer, Checkpoint, Run
from app.domain.queue import enqueue
from app.domain.runs import id_of
from app.domain.stored_scores import (
    FreshScore,
    ScoreRow,
    judge_rows,
    score_rows,
    score_stale,
    stored_score,
)
from app.domain.thresholds import Thresholds, change_thresholds, read_thresholds, thresholds_with
from app.domain.verdicts import CheckpointScore, Verdict

TASK = "verdicts.recompute"
MOST_RUNS = 100  # looked at by one task: most have nothing to score
MOST_ANSWERS = 5_000  # scored by one task, some seconds' work; a run that has more is scored whole
COUNTED_RUNS = 5  # while somebody waits for a page
COUNTED_ANSWERS = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that becomes another."""

    checkpoint_id: int
    before: Verdict | None
    after: Verdict | None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What other thresholds would do."""

    thresholds: Thresholds
    changes: Sequence[Change]
    runs: int
    """The newest with answers, over which the changes are counted."""
    is_all: bool
    """No other run has answers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Scores of some runs, to be stored."""

    runs: Sequence[Sequence[FreshScore]]
    next_run_id: int | None
    """The next batch is of the runs before it; None where there are none."""


# ── Other thresholds ───────────────────────────────────────────────────────


def foresee(session: Session, changes: Mapping[str, Any]) -> Foreseen:
    """
    Count what thresholds would change, over the newest runs; reads only.

    Raises:
        InvalidError: a value is out of its bounds, or no threshold has this name.
    """
    wanted, limits = thresholds_with(changes), read_thresholds(session)
    newest = _newest_answered(session)
    rows = [row for row in score_rows(session, [id_of(run) for run in newest]) if row.answers]
    counted = _that_fit(newest[:COUNTED_RUNS], rows, most=COUNTED_ANSWERS)
    run_ids = {id_of(run) for run in counted}
    rows = [row for row in rows if row.run_id in run_ids]
    before = {row.checkpoint_id: stored_score(row) for row in rows if not row.is_stale(limits)}
    before |= judge_rows(session, counted, [row for row in rows if row.is_stale(limits)], limits)
    after = before if wanted == limits else judge_rows(session, counted, rows, wanted)
    return Foreseen(wanted, _changes(before, after), len(counted), is_all=len(counted) == len(newest))


def _newest_answered(session: Session) -> Sequence[Run]:
    """Return the newest runs that have answers: one more than are counted, which tells whether that is all."""
    answered = select(Checkpoint.run_id).join(Answer)
    newest = select(Run).where(col(Run.id).in_(answered)).order_by(col(Run.id).desc())
    return session.exec(newest.limit(COUNTED_RUNS + 1)).all()


def _that_fit(runs: Sequence[Run], rows: Sequence[ScoreRow], *, most: int) -> Sequence[Run]:
    """Return the first runs whose rows have so many answers together at most."""
    totals = accumulate(sum(row.answers for row in rows if row.run_id == run.id) for run in runs)
    return [run for run, total in zip(runs, totals, strict=True) if total <= most]


def _changes(before: Mapping[int, CheckpointScore], after: Mapping[int, CheckpointScore]) -> list[Change]:
    verdicts = ((place, before[place].verdict, score.verdict) for place, score in after.items())
    return [Change(place, old, new) for place, old, new in verdicts if old is not new]


def put_in_force(session: Session, changes: Mapping[str, Any]) -> Thresholds:
    """
    Change the thresholds; a worker stores the scores by them.

    Whoever reads a run that has not had its turn gets its scores computed: nobody sees an old verdict.

    Raises:
        InvalidError: a value is out of its bounds, or no threshold has this name.
    """
    limits = change_thresholds(session, changes)
    ask_for_batch(before_run_id=0)
    return limits


# ── A worker's task ────────────────────────────────────────────────────────


def ask_for_batch(*, before_run_id: int) -> None:
    """Let a worker score what is stale of the newest runs before one (0: of all), a batch at a time."""
    enqueue(TASK, before_run_id=before_run_id)


def score_batch(session: Session, *, before_run_id: int) -> Batch:
    """Score what is stale of the newest runs before one (0: of all), so many as one task takes; reads only."""
    statement = select(Run).order_by(col(Run.id).desc()).limit(MOST_RUNS)
    runs = session.exec(statement.where(col(Run.id) < before_run_id) if before_run_id else statement).all()
    limits = read_thresholds(session)
    stale = [row for row in score_rows(session, [id_of(run) for run in runs]) if row.is_stale(limits)]
    taken = _that_fit(runs, stale, most=MOST_ANSWERS) or runs[:1]
    is_last = len(taken) == len(runs) < MOST_RUNS
    stale_runs = {row.run_id for row in stale}
    return Batch(
        [score_stale(session, run) for run in taken if run.id in stale_runs],
        next_run_id=None if is_last else id_of(taken[-1]),
    )
