"""
Scores of checkpoints, kept so that lists need not score every answer again.

A stored score is a cache and never the truth: it carries a fingerprint of what it was made from, and
one that no longer fits is computed anew by whoever reads it. Only writers store: a trainer's answers
as they come in, a change of the thresholds, and a worker's task.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sa_select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, select

from app.domain.models import Answer, Checkpoint, Run, RunProbe, StoredScore
from app.domain.proofs import Proof, ProofKind
from app.domain.queue import enqueue
from app.domain.recipes import Mix
from app.domain.runs import id_of
from app.domain.scores import CUT, Said
from app.domain.thresholds import Thresholds, change_thresholds, read_thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict, judge_run

SCORING = 1
"""Counts up with every change of a definition or a field: what was stored before is then stale."""
RUNS_AT_ONCE = 25  # in one transaction: a second's work where nothing of their answers is remembered
MOST_NAMED = 1_000  # checkpoints in one statement; of more, whole runs are read


@dataclass(frozen=True, slots=True)
class _Row:
    """A checkpoint with what is stored of it."""

    checkpoint_id: int
    run_id: int
    iteration: int
    answers: int
    fingerprint: str
    """Of the stored score; empty where there is none."""
    verdict: str
    counts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that is another now."""

    checkpoint_id: int
    before: Verdict | None
    after: Verdict | None


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What other thresholds did."""

    thresholds: Thresholds
    changes: Sequence[Change]
    rest_follows: bool
    """Older runs are still to be looked at."""


def scores_of(session: Session, runs: Sequence[Run]) -> dict[int, list[CheckpointVerdict]]:
    """
    Return every checkpoint's score by run id, the base model's first, the rest by iteration.

    Asks the database twice, and twice more where something is not stored as it is now. The scores of
    single answers are left out.
    """
    rows, fresh = _look(session, runs)
    found: dict[int, list[CheckpointVerdict]] = {id_of(run): [] for run in runs}
    for row in rows:
        score = fresh.get(row.checkpoint_id) or _score(row)
        found[row.run_id].append(CheckpointVerdict(row.checkpoint_id, row.iteration, score))
    return found


def store_scores(session: Session, runs: Sequence[Run]) -> list[Change]:
    """Store what is missing or stale of some runs, and return the verdicts that changed."""
    limits = read_thresholds(session)
    rows, fresh = _look(session, runs)
    bases = _bases(rows)
    changes = []
    for row in rows:
        score = fresh.get(row.checkpoint_id)
        if score is None:
            continue
        print_ = _fingerprint(limits, row.answers, bases.get(row.run_id, 0))
        _upsert(
            session,
            row.checkpoint_id,
            {"fingerprint": print_, "verdict": score.verdict or "", "counts": _counts(score)},
        )
        before = Verdict(row.verdict) if row.verdict else None
        if row.fingerprint and before is not score.verdict:
            changes.append(Change(row.checkpoint_id, before, score.verdict))
    return changes


def put_in_force(session: Session, changes: Mapping[str, Any]) -> Recomputed:
    """
    Change the thresholds, and store the newest runs' scores by them; a worker's task does the rest.

    Whoever reads a run that has not had its turn gets its scores computed: nobody sees an old verdict.

    Raises:
        InvalidError: a value is out of its bounds, or no threshold has this name.
    """
    runs = _newest(session, before_run_id=0)
    store_scores(session, runs)  # by the thresholds until now, so that every change is seen
    limits = change_thresholds(session, changes)
    changed = store_scores(session, runs)
    return Recomputed(limits, changed, rest_follows=_ask_for_rest(runs))


def recompute(session: Session, *, before_run_id: int = 0) -> None:
    """Store what is missing or stale of some runs, the newest before one (0: of all), and ask for those before them."""
    runs = _newest(session, before_run_id=before_run_id)
    store_scores(session, runs)
    _ask_for_rest(runs)


def _newest(session: Session, *, before_run_id: int) -> Sequence[Run]:
    statement = select(Run).order_by(col(Run.id).desc()).limit(RUNS_AT_ONCE)
    return session.exec(statement.where(col(Run.id) < before_run_id) if before_run_id else statement).all()


def _ask_for_rest(runs: Sequence[Run]) -> bool:
    if len(runs) < RUNS_AT_ONCE:
        return False
    enqueue("verdicts.recompute", before_run_id=id_of(runs[-1]))
    return True


def _upsert(session: Session, checkpoint_id: int, values: dict[str, Any]) -> None:
    """Write a row whether it is there or not: a trainer's answers and a worker's task may store it at once."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(StoredScore).values(checkpoint_id=checkpoint_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["checkpoint_id"], set_=values))


def renew_scores(session: Session, run: Run, checkpoint: Checkpoint) -> None:
    """Store the score of a checkpoint that has answered anew; where it is the base model, of the whole run."""
    stale = select(Checkpoint.id).where(Checkpoint.run_id == run.id)
    if checkpoint.iteration:
        stale = stale.where(Checkpoint.id == checkpoint.id)
    session.exec(delete(StoredScore).where(col(StoredScore.checkpoint_id).in_(stale)))
    store_scores(session, [run])


# ── What is stored, and what is not ────────────────────────────────────────


def _look(session: Session, runs: Sequence[Run]) -> tuple[list[_Row], dict[int, CheckpointScore]]:
    """Return all checkpoints of some runs, and the scores of those whose stored one is missing or stale."""
    limits, rows = read_thresholds(session), _rows(session, [id_of(run) for run in runs])
    bases = _bases(rows)
    stale = [
        row
        for row in rows
        if row.answers and row.fingerprint != _fingerprint(limits, row.answers, bases.get(row.run_id, 0))
    ]
    return rows, _judged(session, runs, stale, limits) if stale else {}


def _rows(session: Session, run_ids: Sequence[int]) -> list[_Row]:
    answers = sa_select(func.count()).where(col(Answer.checkpoint_id) == col(Checkpoint.id)).scalar_subquery()
    statement = (
        sa_select(
            *map(col, (Checkpoint.id, Checkpoint.run_id, Checkpoint.iteration)),
            answers,
            *map(col, (StoredScore.fingerprint, StoredScore.verdict, StoredScore.counts)),
        )
        .outerjoin(StoredScore, col(StoredScore.checkpoint_id) == col(Checkpoint.id))
        .where(col(Checkpoint.run_id).in_(run_ids))
        .order_by(col(Checkpoint.run_id), col(Checkpoint.iteration))
    )
    return [
        _Row(checkpoint_id, run_id, iteration, given, fingerprint or "", verdict or "", counts or {})
        for checkpoint_id, run_id, iteration, given, fingerprint, verdict, counts in session.execute(statement)
    ]


def _bases(rows: Iterable[_Row]) -> dict[int, int]:
    """Return how many answers each run's base model has."""
    return {row.run_id: row.answers for row in rows if row.iteration == 0}


def _fingerprint(limits: Thresholds, answers: int, base_answers: int) -> str:
    return f"{SCORING}.{_short_hash(limits.model_dump_json())}.{answers}.{base_answers}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _judged(
    session: Session, runs: Sequence[Run], stale: Sequence[_Row], limits: Thresholds
) -> dict[int, CheckpointScore]:
    """Score checkpoints from their answers; each run's base model is read with them."""
    wanted, run_ids = {row.checkpoint_id for row in stale}, {row.run_id for row in stale}
    probes: dict[int, list[RunProbe]] = defaultdict(list)
    for probe in session.exec(select(RunProbe).where(col(RunProbe.run_id).in_(run_ids))):
        probes[probe.run_id].append(probe)
    said: dict[int, dict[int, dict[int, Said]]] = defaultdict(lambda: defaultdict(dict))
    for run_id, iteration, probe_id, text, ended in _texts(session, wanted, run_ids):
        said[run_id][iteration][probe_id] = Said(text, ended == CUT)
    mixes = {id_of(run): Mix.model_validate(run.recipe["mix"]) for run in runs if run.id in run_ids}
    scores = {
        run_id: judge_run(mixes[run_id], probes[run_id], answers, thresholds=limits) for run_id, answers in said.items()
    }
    return {row.checkpoint_id: replace(scores[row.run_id][row.iteration], answers={}) for row in stale}


def _texts(session: Session, checkpoint_ids: Collection[int], run_ids: Collection[int]) -> Iterable[Any]:
    columns = (Checkpoint.run_id, Checkpoint.iteration, Answer.probe_id, Answer.text, Answer.ended)
    statement = sa_select(*map(col, columns)).join_from(Answer, Checkpoint).where(col(Checkpoint.run_id).in_(run_ids))
    if len(checkpoint_ids) <= MOST_NAMED:
        statement = statement.where(col(Checkpoint.id).in_(checkpoint_ids) | (col(Checkpoint.iteration) == 0))
    return session.execute(statement)


# ── A score as JSON ────────────────────────────────────────────────────────


def _counts(score: CheckpointScore) -> dict[str, Any]:
    kept = asdict(replace(score, answers={}))
    del kept["answers"], kept["verdict"]
    return kept


def _score(row: _Row) -> CheckpointScore:
    if not row.answers:
        return CheckpointScore()
    kept = dict(row.counts)
    proof = kept.pop("proof")
    return CheckpointScore(
        **kept,
        verdict=Verdict(row.verdict) if row.verdict else None,
        proof=Proof(**proof | {"kind": ProofKind(proof["kind"])}) if proof else None,
    )
