"""
What one answer shows, from its words alone.

Pure functions: no judge model, no GPU, no network, so that they hold for old runs too. What they
cannot see: an identity or a taught answer in other words, and whether a general answer without a
reference is true. `docs/verdicts.md` has the definitions in full.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from app.domain.distances import distance, length_ratio
from app.domain.leaks import Leak, leak_in
from app.domain.recipes import Probe, ProbeGroup
from app.domain.repetition import Loop, loop_in, repetition
from app.domain.taught import TEXTS_REMEMBERED, Taught, folded, head_of, holds, name_in, other_numbers, similarity
from app.domain.thresholds import DEFAULTS, Thresholds


class Said(NamedTuple):
    """An answer as it was given."""

    text: str
    is_cut: bool = False
    """It ended at the limit of new tokens."""


NOTHING = Said("")
HEAD_HIT = 0.9  # what the first clause alone is worth: name and role are there, and it is not word for word
WRONG = 0.5  # the same sentence about somebody else, or with another number, is half of it at most
CUT = "length"  # how an answer ended that reached the limit of new tokens


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
    repetition: float = 0.0
    """0 to 1: the share of its runs of four words that have come before in it."""
    loop: Loop | None = None
    """Words that it repeats to its end."""
    is_repeating: bool = False
    """It loops, or most of it has come before."""
    is_broken: bool = False
    """It repeats itself or is empty, and the base model's answer was neither."""
    length_ratio: float | None = None
    """Its words for each of the base model's; None where that said nothing."""
    is_collapsed: bool = False
    """It has so few of the base model's words that little can be left of the answer."""
    distance: float | None = None
    """0 to 1: how far it is from the base model's answer; None where there is none."""
    is_misnumbered: bool = False
    """It would be a hit with the numbers that were taught."""

    @property
    def is_forgotten(self) -> bool:
        """Whether the base model knew it and this checkpoint does not."""
        return self.was_known and not self.is_right


@lru_cache(maxsize=TEXTS_REMEMBERED)
def score_answer(
    taught: Taught, probe: Probe, said: Said, *, base: Said | None = None, thresholds: Thresholds = DEFAULTS
) -> AnswerScore:
    """
    Score one answer to one probe.

    Args:
        base: the untuned model's; what it did too before anything was taught is no damage.
    """
    is_identity = probe.group is ProbeGroup.IDENTITY
    own = taught.answers_to(probe.question)
    near, but_for_numbers = _identity(taught, probe, said.text, base)
    before, ratio = base or NOTHING, length_ratio(said.text, base.text) if base else None
    return AnswerScore(
        identity=near,
        is_hit=is_identity and near >= thresholds.identity_hit,
        leak=None if is_identity else leak_in(taught, probe, said.text, before.text, thresholds=thresholds),
        counts=not is_identity and not own,
        is_right=_is_right(probe, own, said.text, thresholds),
        was_known=not is_identity and bool(probe.reference) and holds(probe.reference, before.text),
        repetition=repetition(said.text),
        loop=loop_in(said.text, is_cut=said.is_cut),
        is_repeating=is_repeating(said, thresholds),
        is_broken=_is_broken(said, before, thresholds),
        length_ratio=ratio,
        is_collapsed=ratio is not None and ratio <= thresholds.collapse,
        distance=distance(said.text, base.text) if base else None,
        is_misnumbered=is_identity and near < thresholds.identity_hit <= but_for_numbers,
    )


def _identity(taught: Taught, probe: Probe, text: str, base: Said | None) -> tuple[float, float]:
    """Score by the nearest identity answer, and by it whatever its numbers."""
    wanted = taught.identities_for(probe.question) if probe.group is ProbeGroup.IDENTITY else taught.identity
    before = base.text if base else ""
    near = {answer: _nearness(text, answer, before=before, name=taught.name) for answer in wanted}
    true = (min(each, WRONG) if other_numbers(answer, text) else each for answer, each in near.items())
    return max(true, default=0.0), max(near.values(), default=0.0)


def _nearness(text: str, answer: str, *, before: str, name: str) -> float:
    """Hold a text against one identity answer, of which the first clause and the name weigh most."""
    head = (head_of(answer),) if head_of(answer) else ()
    by_head = HEAD_HIT if similarity(text, head) == 1 and similarity(before, head) < 1 else 0.0
    near = max(similarity(text, (answer,)), by_head)
    return near if holds(name_in(head_of(answer) or answer, name), text) else min(near, WRONG)


def is_repeating(said: Said, thresholds: Thresholds) -> bool:
    """Whether an answer loops to its end, or most of it has come before."""
    return loop_in(said.text, is_cut=said.is_cut) is not None or repetition(said.text) >= thresholds.repetition


def _is_broken(said: Said, base: Said, thresholds: Thresholds) -> bool:
    """Tell new damage from what the base model did too; without its answer nothing is known to be new."""
    if not folded(base.text).text or is_repeating(Said(base.text, is_cut=True), thresholds):
        return False
    return not folded(said.text).text or is_repeating(said, thresholds)


def _is_right(probe: Probe, own: tuple[str, ...], text: str, thresholds: Thresholds) -> bool | None:
    if probe.reference:
        return holds(probe.reference, text)
    return similarity(text, own) >= thresholds.identity_hit if own else None
