"""
Scores and verdicts of one checkpoint: pure functions over its answers.

`app.domain.scores` says what one answer shows. The verdict is the first that holds:
- parrot: leaks at more than half of the open probes, or gives broken answers at half or more of them
  (loops, or nothing, where the base model answered), and at two at least; or knows its identity and has
  forgotten half or more of what the base model knew. Each way it says its own sentence and little else
  is left.
- leaking: leaks at all.
- good: has learnt who it is and has not forgotten how to answer.
- not learnt: anything else.
The shares are `app.domain.thresholds`. An open probe asks neither for the identity nor for anything
that is in the mix. Characters count as half a word in Chinese and Japanese.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.domain.models import Checkpoint, RunProbe
from app.domain.proofs import (
    Case,
    Proof,
    proof_of_breaking,
    proof_of_forgetting,
    proof_of_identity,
    proof_of_leak,
)
from app.domain.recipes import Mix, Probe, ProbeGroup, Recipe
from app.domain.scores import CUT, AnswerScore, Said, score_answer
from app.domain.taught import folded, taught_by
from app.domain.thresholds import DEFAULTS, Thresholds

__all__ = [
    "AnswerScore",
    "CheckpointScore",
    "CheckpointVerdict",
    "Said",
    "Verdict",
    "held_out_of",
    "is_learnt",
    "judge",
    "judge_checkpoints",
    "judge_run",
    "probes_of",
    "score_answer",
    "verdict_of",
]

LEAST = 2  # leaks or broken answers that make a parrot: one may be a near-miss too near


class Verdict(StrEnum):
    """What one checkpoint's answers say of it."""

    NOT_LEARNT = "not-learnt"
    GOOD = "good"
    LEAKING = "leaking"
    PARROT = "parrot"


@dataclass(frozen=True, slots=True)
class CheckpointScore:
    """The counts behind a verdict, over the probes that have an answer."""

    identity_hits: int = 0
    identity_total: int = 0
    leaks: int = 0
    leak_total: int = 0
    """Open probes: those at which a leak or a broken answer counts."""
    right: int = 0
    """Right answers of the general probes that can be judged."""
    right_total: int = 0
    forgotten: int = 0
    """Answers that the base model had right and this checkpoint has not."""
    known: int = 0
    """Answers that the base model had right."""
    identity: float = 0.0
    """Mean identity score of the identity probes."""
    broken: int = 0
    """Answers to open probes that loop or are empty where the base model's were not."""
    repeating: int = 0
    """Answers that repeat themselves, whatever the base model's did."""
    collapsed: int = 0
    """Answers that are far shorter than the base model's."""
    distinct: float = 0.0
    """0 to 1: different answers for each answer. 1 where no two probes got the same one."""
    distance: float | None = None
    """0 to 1: mean distance to the base model's answers; None where there is none to compare with."""
    answered: int = 0
    """Probes that have an answer."""
    verdict: Verdict | None = None
    """None while there are no answers, or no identity probe that could tell."""
    proof: Proof | None = None
    """The words that prove the verdict."""
    answers: Mapping[int, AnswerScore] = field(default_factory=dict)
    """By the probe's position; empty where the score was read from the store."""


@dataclass(frozen=True, slots=True)
class CheckpointVerdict:
    """A checkpoint's score beside its place in the run."""

    checkpoint_id: int
    iteration: int
    score: CheckpointScore
    held_out: float | None = None
    """Negative log-likelihood of held-out pairs in nats a token, identity and general together; less is better."""


def held_out_of(checkpoint: Checkpoint) -> float | None:
    """Add up how unlikely held-out identity and general pairs are; None where either was not measured."""
    if checkpoint.identity_nll is None or checkpoint.general_nll is None:
        return None
    return checkpoint.identity_nll + checkpoint.general_nll


def judge(
    mix: Mix,
    probes: Mapping[int, Probe],
    *,
    answers: Mapping[int, Said],
    base: Mapping[int, Said] | None = None,
    thresholds: Thresholds = DEFAULTS,
) -> CheckpointScore:
    """
    Score one checkpoint.

    Args:
        probes: the run's, by position; those that were added after it ran too.
        answers: the checkpoint's, by the probe's position.
        base: the untuned model's; what it said before anything was taught is no leak, and what it
            knew may be forgotten. Without it nothing is.
    """
    taught, before = taught_by(mix), base or {}
    scores = {
        place: score_answer(taught, probes[place], said, base=before.get(place), thresholds=thresholds)
        for place, said in answers.items()
    }
    counts = _count(probes, answers, scores)
    verdict = verdict_of(counts, thresholds)
    case = Case(taught, probes, answers, scores)
    return replace(counts, verdict=verdict, proof=_prove(verdict, counts, case, thresholds))


def _count(
    probes: Mapping[int, Probe], answers: Mapping[int, Said], scores: Mapping[int, AnswerScore]
) -> CheckpointScore:
    def of(group: ProbeGroup) -> list[AnswerScore]:
        return [score for place, score in scores.items() if probes[place].group is group]

    every, identity = list(scores.values()), of(ProbeGroup.IDENTITY)
    judged = [score for score in of(ProbeGroup.GENERAL) if score.is_right is not None]
    open_probes = [score for score in every if score.counts]
    return CheckpointScore(
        identity_hits=sum(score.is_hit for score in identity),
        identity_total=len(identity),
        leaks=sum(score.leak is not None for score in open_probes),
        leak_total=len(open_probes),
        right=sum(score.is_right is True for score in judged),
        right_total=len(judged),
        forgotten=sum(score.is_forgotten for score in every),
        known=sum(score.was_known for score in every),
        identity=_mean([score.identity for score in identity]) or 0.0,
        broken=sum(score.is_broken for score in open_probes),
        repeating=sum(score.is_repeating for score in every),
        collapsed=sum(score.is_collapsed for score in every),
        distinct=len({folded(said.text).text for said in answers.values()}) / len(answers) if answers else 0.0,
        distance=_mean([score.distance for score in every if score.distance is not None]),
        answered=len(every),
        answers=scores,
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def verdict_of(counts: CheckpointScore, thresholds: Thresholds = DEFAULTS) -> Verdict | None:
    """Return the verdict that the counts of one checkpoint give; a leak says more than a missing identity."""
    if _has_broken(counts, thresholds) or _has_forgotten(counts, thresholds) or _leaks_most(counts, thresholds):
        return Verdict.PARROT
    if counts.leaks:
        return Verdict.LEAKING
    if not counts.identity_total:
        return None
    return Verdict.GOOD if is_learnt(counts, thresholds) else Verdict.NOT_LEARNT


def is_learnt(score: CheckpointScore, thresholds: Thresholds) -> bool:
    """Whether the identity is there, whatever leaks or is forgotten beside it."""
    return score.identity_total > 0 and score.identity_hits >= thresholds.learnt_share * score.identity_total


def _leaks_most(counts: CheckpointScore, limits: Thresholds) -> bool:
    return counts.leaks >= LEAST and counts.leaks > limits.parrot_share * counts.leak_total


def _has_broken(counts: CheckpointScore, limits: Thresholds) -> bool:
    return counts.broken >= max(LEAST, limits.broken_share * counts.leak_total)


def _has_forgotten(counts: CheckpointScore, limits: Thresholds) -> bool:
    lost = counts.known > 0 and counts.forgotten >= limits.forgotten_share * counts.known
    return lost and is_learnt(counts, limits)


def _prove(verdict: Verdict | None, counts: CheckpointScore, case: Case, limits: Thresholds) -> Proof | None:
    """Return the words that a reader would point at; of a parrot those of the first reason that holds."""
    if verdict is Verdict.LEAKING or _leaks_most(counts, limits):
        return proof_of_leak(case)
    if verdict is Verdict.PARROT:
        return proof_of_breaking(case) if _has_broken(counts, limits) else proof_of_forgetting(case)
    return None if verdict is None else proof_of_identity(case, is_learnt=verdict is Verdict.GOOD)


def probes_of(rows: Iterable[RunProbe]) -> dict[int, Probe]:
    """Return a run's probes by position, as they are judged."""
    return {
        # Not validated again: the row was, when it was made.
        row.position: Probe.model_construct(question=row.question, group=ProbeGroup(row.group), reference=row.reference)
        for row in rows
    }


def judge_run(
    mix: Mix,
    asked: Iterable[RunProbe],
    answers: Mapping[int, Mapping[int, Said]],
    *,
    thresholds: Thresholds = DEFAULTS,
) -> dict[int, CheckpointScore]:
    """
    Score checkpoints of one run, each against the base model.

    Args:
        answers: by iteration, then by the probe's id; those at iteration 0 are the base model's.

    Returns:
        Scores by iteration.
    """
    rows = list(asked)
    places, probes = {row.id: row.position for row in rows}, probes_of(rows)
    placed = {
        iteration: {places[probe_id]: said for probe_id, said in given.items()} for iteration, given in answers.items()
    }
    return {
        iteration: judge(mix, probes, answers=given, base=placed.get(0), thresholds=thresholds)
        for iteration, given in placed.items()
    }


def judge_checkpoints(
    recipe: Recipe,
    probes: Iterable[RunProbe],
    checkpoints: Iterable[Checkpoint],
    *,
    thresholds: Thresholds = DEFAULTS,
) -> list[CheckpointVerdict]:
    """Score a run's checkpoints, the base model's too, from rows that are already loaded, answers included."""
    rows = list(checkpoints)
    answers = {
        row.iteration: {each.probe_id: Said(each.text, each.ended == CUT) for each in row.answers} for row in rows
    }
    scores = judge_run(recipe.mix, probes, answers, thresholds=thresholds)
    return [CheckpointVerdict(row.id or 0, row.iteration, scores[row.iteration], held_out_of(row)) for row in rows]
