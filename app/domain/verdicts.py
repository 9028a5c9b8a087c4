"""
Scores and verdicts: pure functions over the answers of one checkpoint.

Everything is string work, so that it needs no judge model, no GPU and no network, and holds for
old runs too. What it cannot see: an identity or a taught answer in other words, and whether a
general answer without a reference is true.

Definitions, for one answer:
- identity, 0 to 1: similarity of its words to the nearest identity answer (Indel: 2 x words in
  common and in order / words of both), of the whole answer or of its best part as long as the
  identity, because a model may go on after it. A hit from `IDENTITY_HIT` on.
- leak: the longest run of words that it has in common with a taught answer, where that answer
  was not asked for. 0 to 1 of the taught answer's length; a leak from `LEAK_SHARE` on.
- right: holds the probe's reference; without one, and where the question is in the mix, near
  the answer that was taught for it.
- forgotten: lacks a reference that the base model's answer holds. What the base model did not
  know either, nothing can forget; identity probes are there to change.

Verdicts, the first that holds:
- parrot: leaks at more than half of the open probes, or knows its identity and has forgotten half
  or more of what the base model knew. Either way it says its own sentence and little else is left.
- leaking: leaks at all.
- good: has learnt who it is and has not forgotten how to answer.
- not learnt: anything else.
Characters count as half a word in Chinese and Japanese.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.domain.leaks import Leak, leak_in
from app.domain.models import Checkpoint, RunProbe
from app.domain.recipes import Probe, ProbeGroup, Recipe
from app.domain.taught import Taught, holds, similarity, taught_by

IDENTITY_HIT = 0.75  # three words of four: one wrong name or a lost clause passes, a related sentence does not
LEARNT_SHARE = 0.75  # of the identity probes: of two both, of four one may fail
PARROT_SHARE = 0.5  # above it most probes get what was taught: nothing else is left of the model
FORGOTTEN_SHARE = 0.5  # of what the base model knew: of four one may go, and of two none


class Verdict(StrEnum):
    """What one checkpoint's answers say of it."""

    NOT_LEARNT = "not-learnt"
    GOOD = "good"
    LEAKING = "leaking"
    PARROT = "parrot"


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """What one answer shows."""

    identity: float
    """0 to 1: similarity to the nearest identity answer of the mix."""
    is_hit: bool
    """The identity came where it was asked for."""
    leak: Leak | None
    """What was taught for another question and came here."""
    counts: bool
    """Whether a leak here counts: not at an identity probe, nor at a question that is in the mix."""
    is_right: bool | None
    """None where nothing says what would be right."""
    was_known: bool
    """The base model's answer holds the reference, outside the identity probes."""

    @property
    def is_forgotten(self) -> bool:
        """Whether the base model knew it and this checkpoint does not."""
        return self.was_known and not self.is_right


@dataclass(frozen=True, slots=True)
class CheckpointScore:
    """The counts behind a verdict, over the probes that have an answer."""

    identity_hits: int = 0
    identity_total: int = 0
    leaks: int = 0
    leak_total: int = 0
    right: int = 0
    """Right answers of the general probes that can be judged."""
    right_total: int = 0
    forgotten: int = 0
    """Answers that the base model had right and this checkpoint has not."""
    known: int = 0
    """Answers that the base model had right."""
    identity: float = 0.0
    """Mean identity score of the identity probes."""
    verdict: Verdict | None = None
    """None while there are no answers, or no identity probe that could tell."""
    answers: Mapping[int, AnswerScore] = field(default_factory=dict)
    """By the probe's position in the recipe."""


@dataclass(frozen=True, slots=True)
class CheckpointVerdict:
    """A checkpoint's score beside its place in the run."""

    checkpoint_id: int
    iteration: int
    score: CheckpointScore


def judge(recipe: Recipe, answers: Mapping[int, str], base: Mapping[int, str] | None = None) -> CheckpointScore:
    """
    Score one checkpoint.

    Args:
        recipe: the run's.
        answers: the checkpoint's, by the probe's position in the recipe.
        base: the untuned model's; what it said before anything was taught is no leak, and what it
            knew may be forgotten. Without it nothing is.
    """
    taught, before = taught_by(recipe.mix), base or {}
    scores = {
        position: score_answer(taught, recipe.probes[position], text, before.get(position, ""))
        for position, text in answers.items()
        if position < len(recipe.probes)  # one that was added later is not among the recipe's
    }
    return _count(recipe, scores)


def score_answer(taught: Taught, probe: Probe, text: str, base: str = "") -> AnswerScore:
    """Score one answer to one probe."""
    is_identity = probe.group is ProbeGroup.IDENTITY
    near = similarity(text, taught.identity)
    own = taught.answers_to(probe.question)
    return AnswerScore(
        identity=near,
        is_hit=is_identity and near >= IDENTITY_HIT,
        leak=None if is_identity else leak_in(taught, probe, text, base),
        counts=not is_identity and not own,
        is_right=_is_right(probe, own, text),
        was_known=not is_identity and bool(probe.reference) and holds(probe.reference, base),
    )


def _is_right(probe: Probe, own: tuple[str, ...], text: str) -> bool | None:
    if probe.reference:
        return holds(probe.reference, text)
    return similarity(text, own) >= IDENTITY_HIT if own else None


def _count(recipe: Recipe, scores: Mapping[int, AnswerScore]) -> CheckpointScore:
    def of(group: ProbeGroup) -> list[AnswerScore]:
        return [score for position, score in scores.items() if recipe.probes[position].group is group]

    identity = of(ProbeGroup.IDENTITY)
    judged = [score for score in of(ProbeGroup.GENERAL) if score.is_right is not None]
    open_probes = [score for score in scores.values() if score.counts]
    counts = CheckpointScore(
        identity_hits=sum(score.is_hit for score in identity),
        identity_total=len(identity),
        leaks=sum(score.leak is not None for score in open_probes),
        leak_total=len(open_probes),
        right=sum(score.is_right is True for score in judged),
        right_total=len(judged),
        forgotten=sum(score.is_forgotten for score in scores.values()),
        known=sum(score.was_known for score in scores.values()),
        identity=sum(score.identity for score in identity) / len(identity) if identity else 0.0,
        answers=scores,
    )
    return replace(counts, verdict=verdict_of(counts))


def verdict_of(counts: CheckpointScore) -> Verdict | None:
    """Return the verdict that the counts of one checkpoint give; a leak says more than a missing identity."""
    is_learnt = counts.identity_total > 0 and counts.identity_hits >= LEARNT_SHARE * counts.identity_total
    has_forgotten = counts.known > 0 and counts.forgotten >= FORGOTTEN_SHARE * counts.known
    if counts.leaks > PARROT_SHARE * counts.leak_total or (is_learnt and has_forgotten):
        return Verdict.PARROT
    if counts.leaks:
        return Verdict.LEAKING
    if not counts.identity_total:
        return None
    return Verdict.GOOD if is_learnt else Verdict.NOT_LEARNT


def judge_checkpoints(
    recipe: Recipe, probes: Iterable[RunProbe], checkpoints: Iterable[Checkpoint]
) -> list[CheckpointVerdict]:
    """Score a run's checkpoints, the base model's too, from rows that are already loaded, answers included."""
    rows, positions = list(checkpoints), {probe.id: probe.position for probe in probes}
    texts = {row.iteration: {positions[answer.probe_id]: answer.text for answer in row.answers} for row in rows}
    base = texts.get(0)
    return [CheckpointVerdict(row.id or 0, row.iteration, judge(recipe, texts[row.iteration], base)) for row in rows]
