"""
Scores of checkpoints, kept so that lists need not score every answer again.

A stored score is a cache and never the truth: it carries a fingerprint of what it was made from, and
one that no longer fits is computed anew by whoever reads it. Only writers store: a trainer's answers
as they come in, and a worker's task (`app.domain.rescoring`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from app.domain.db import upsert
from app.domain.models import Answer, Checkpoint, Run, RunProbe, StoredScore
from app.domain.proofs import Proof, ProofKind
from app.domain.recipes import Mix
from app.domain.runs import id_of
from app.domain.scores import CUT, Said
from app.domain.thresholds import Thresholds, read_thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict, judge_run
from app.domain.webhooks import outbox
from app.domain.webhooks.facts import checkpoint_facts

SCORING = 3
"""Counts up with every change of a definition or a field: what was stored before is then stale."""
SCORING_SOURCES = "a1cc06deb46b2f56"
"""Of the modules that score, as they were when `SCORING` was last thought about; a test holds them to it."""
MOST_NAMED = 1_000  # checkpoints in one statement; of more, whole runs are read


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A checkpoint with what is stored of it."""

    checkpoint_id: int
    run_id: int
    iteration: int
    answers: int
    state: str
    """Of its answers and the base model's: another one once either has given an answer more, or another."""
    fingerprint: str
    """Of the stored score; empty where there is none."""
    verdict: str
    counts: Mapping[str, Any]
    held_out: float | None

    def is_stale(self, limits: Thresholds) -> bool:
        """Whether its answers have no stored score by these thresholds."""
        return self.answers > 0 and self.fingerprint != fingerprint_of(self, limits)


@dataclass(frozen=True, slots=True)
class FreshScore:
    """A score that is not stored yet."""

    row: ScoreRow
    fingerprint: str
    score: CheckpointScore


def scores_of(session: Session, runs: Sequence[Run]) -> dict[int, list[CheckpointVerdict]]:
    """
    Return every checkpoint's score by run id, the base model's first, the rest by iteration.

    Asks the database twice, and twice more where something is not stored as it is now. The scores of
    single answers are left out.
    """
    limits, rows = read_thresholds(session), score_rows(session, [id_of(run) for run in runs])
    fresh = judge_rows(session, runs, [row for row in rows if row.is_stale(limits)], limits)
    found: dict[int, list[CheckpointVerdict]] = {id_of(run): [] for run in runs}
    for row in rows:
        score = fresh.get(row.checkpoint_id) or stored_score(row)
        found[row.run_id].append(CheckpointVerdict(row.checkpoint_id, row.iteration, score, row.held_out))
    return found


# ── Storing ────────────────────────────────────────────────────────────────


def score_stale(session: Session, run: Run) -> list[FreshScore]:
    """Score what is missing or stale of a run; reads only, and stores nothing."""
    limits = read_thresholds(session)
    stale = [row for row in score_rows(session, [id_of(run)]) if row.is_stale(limits)]
    return _fresh(session, run, stale, limits)


def store_fresh(session: Session, fresh: Sequence[FreshScore]) -> None:
    """
    Store scores that were computed outside this transaction.

    What is no longer stale has been stored since, and of newer answers: a fingerprint alone does not tell them
    apart where SQLite gives the ids of deleted answers again.
    """
    limits = read_thresholds(session)
    rows = score_rows(session, sorted({each.row.run_id for each in fresh}))
    wanted = {row.checkpoint_id: fingerprint_of(row, limits) for row in rows if row.is_stale(limits)}
    _write(session, [each for each in fresh if wanted.get(each.row.checkpoint_id) == each.fingerprint])


def renew_scores(session: Session, run: Run, checkpoint: Checkpoint) -> None:
    """Store the score of a checkpoint that has answered anew; where it is the base model, of the whole run."""
    rows = [row for row in score_rows(session, [id_of(run)]) if row.answers]
    if checkpoint.iteration:
        rows = [row for row in rows if row.checkpoint_id == checkpoint.id]
    fresh = _fresh(session, run, rows, read_thresholds(session))
    _tell_first_good(session, run, fresh)
    _write(session, fresh)


def _tell_first_good(session: Session, run: Run, fresh: Sequence[FreshScore]) -> None:
    """Tell webhooks of a run's first good checkpoint; not of one more, nor of what another threshold makes good."""
    good = next((each for each in fresh if each.row.iteration and each.score.verdict is Verdict.GOOD), None)
    if good is None:
        return
    found = select(StoredScore.checkpoint_id).join(Checkpoint).where(Checkpoint.run_id == run.id)
    had = found.where(StoredScore.verdict == Verdict.GOOD, col(Checkpoint.iteration) > 0)
    if session.exec(had.limit(1)).first() is None:
        judged = CheckpointVerdict(good.row.checkpoint_id, good.row.iteration, good.score)
        outbox.tell_verdict(session, run, checkpoint_facts(judged))


def _fresh(session: Session, run: Run, rows: Sequence[ScoreRow], limits: Thresholds) -> list[FreshScore]:
    scores = judge_rows(session, [run], rows, limits)
    return [FreshScore(row, fingerprint_of(row, limits), scores[row.checkpoint_id]) for row in rows]


def _write(session: Session, fresh: Iterable[FreshScore]) -> None:
    # By id: two writers that lock rows in the same order never wait for each other in a circle.
    for each in sorted(fresh, key=lambda each: each.row.checkpoint_id):
        score = each.score
        values = {"fingerprint": each.fingerprint, "verdict": score.verdict or "", "counts": _counts(score)}
        upsert(session, StoredScore, key={"checkpoint_id": each.row.checkpoint_id}, values=values)


# ── What is stored, and what is not ────────────────────────────────────────


def score_rows(session: Session, run_ids: Sequence[int]) -> list[ScoreRow]:
    """Return all checkpoints of some runs with what is stored of them, by run and iteration."""
    own = col(Answer.checkpoint_id) == col(Checkpoint.id)
    statement = (
        sa_select(
            *map(col, (Checkpoint.id, Checkpoint.run_id, Checkpoint.iteration)),
            sa_select(func.count()).where(own).scalar_subquery(),
            sa_select(func.max(col(Answer.id))).where(own).scalar_subquery(),
            *map(col, (StoredScore.fingerprint, StoredScore.verdict, StoredScore.counts)),
            col(Checkpoint.identity_nll) + col(Checkpoint.general_nll),
        )
        .outerjoin(StoredScore, col(StoredScore.checkpoint_id) == col(Checkpoint.id))
        .where(col(Checkpoint.run_id).in_(run_ids))
        .order_by(col(Checkpoint.run_id), col(Checkpoint.iteration))
    )
    found = session.execute(statement).all()
    bases = {run_id: f"{given}.{newest or 0}" for _, run_id, iteration, given, newest, *_ in found if iteration == 0}
    return [
        ScoreRow(
            checkpoint_id,
            run_id,
            iteration,
            answers=given,
            state=f"{given}.{newest or 0}.{bases.get(run_id, '0.0')}",
            fingerprint=fingerprint or "",
            verdict=verdict or "",
            counts=counts or {},
            held_out=held_out,
        )
        for checkpoint_id, run_id, iteration, given, newest, fingerprint, verdict, counts, held_out in found
    ]


def fingerprint_of(row: ScoreRow, limits: Thresholds) -> str:
    """
    Return what a score of a checkpoint is made from, in short.

    An answer of another text is another row, with a higher id; of one that stays nothing changes, not how it ended.
    """
    return f"{SCORING}.{_short_hash(limits.model_dump_json())}.{row.state}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def judge_rows(
    session: Session, runs: Sequence[Run], rows: Sequence[ScoreRow], limits: Thresholds
) -> dict[int, CheckpointScore]:
    """
    Score checkpoints that have answers, from their answers; each run's base model is read with them.

    Returns:
        Scores by checkpoint id, those of single answers left out.
    """
    if not rows:
        return {}
    wanted, run_ids = {row.checkpoint_id for row in rows}, {row.run_id for row in rows}
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
    return {row.checkpoint_id: replace(scores[row.run_id][row.iteration], answers={}) for row in rows}


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


def stored_score(row: ScoreRow) -> CheckpointScore:
    """Return the score that is stored of a checkpoint."""
    if not row.answers:
        return CheckpointScore()
    kept = dict(row.counts)
    proof = kept.pop("proof")
    return CheckpointScore(
        **kept,
        verdict=Verdict(row.verdict) if row.verdict else None,
        proof=Proof(**proof | {"kind": ProofKind(proof["kind"])}) if proof else None,
    )
