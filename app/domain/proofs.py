"""
The words that prove a verdict: of one answer, the part that a reader would point at.

Each function looks through the scores of one checkpoint for the strongest case of one kind; which
kind proves a verdict, the verdict says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.domain.recipes import Probe, ProbeGroup
from app.domain.scores import AnswerScore, Said
from app.domain.taught import Taught, part_like, similarity


class ProofKind(StrEnum):
    """What the words show."""

    IDENTITY = "identity"
    """The identity, where it was asked for."""
    MISSING = "missing"
    """Something else, where the identity was asked for."""
    LEAK = "leak"
    """What was taught, where it was not asked for."""
    FORGOTTEN = "forgotten"
    """No reference, where the base model's answer held it."""
    BROKEN = "broken"
    """A loop, or nothing at all, where the base model answered."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The part of one answer that proves a verdict."""

    kind: ProofKind
    probe: int
    """Position of the probe."""
    start: int
    end: int
    """The words stand at these characters of the answer."""
    words: str
    """The answer's, as they stand there."""
    wanted: str = ""
    """The taught answer that came or is missing, or the reference; empty where neither is meant."""


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a proof is looked for in: one checkpoint's answers and their scores, by the probe's position."""

    taught: Taught
    probes: Mapping[int, Probe]
    answers: Mapping[int, Said]
    scores: Mapping[int, AnswerScore]

    def proof(self, kind: ProofKind, probe: int, span: tuple[int, int] | None = None, wanted: str = "") -> Proof:
        """Cut the words out of an answer: the whole of it where no part is named."""
        text = self.answers[probe].text
        start, end = span or (0, len(text))
        return Proof(kind, probe, start, end, text[start:end], wanted)


def proof_of_leak(case: Case) -> Proof | None:
    """Return the leak that has most of what was taught; of equals the first."""
    leaks = [(score.leak, place) for place, score in sorted(case.scores.items()) if score.leak and score.counts]
    if not leaks:
        return None
    leak, place = max(leaks, key=lambda each: each[0].share)
    return case.proof(ProofKind.LEAK, place, (leak.start, leak.end), leak.answer.text)


def proof_of_forgetting(case: Case) -> Proof | None:
    """Return the first answer that lacks what the base model knew."""
    place = min((place for place, score in case.scores.items() if score.is_forgotten), default=None)
    return None if place is None else case.proof(ProofKind.FORGOTTEN, place, wanted=case.probes[place].reference)


def proof_of_breaking(case: Case) -> Proof | None:
    """Return the broken answer that repeats most; of equals the first."""
    broken = [place for place, score in sorted(case.scores.items()) if score.is_broken and score.counts]
    if not broken:
        return None
    place = max(broken, key=lambda each: case.scores[each].repetition)
    loop = case.scores[place].loop
    return case.proof(ProofKind.BROKEN, place, (loop.start, loop.end) if loop else None)


def proof_of_identity(case: Case, *, is_learnt: bool) -> Proof | None:
    """Return the identity answer nearest to what was taught; where it is not learnt, the one furthest from it."""
    places = [place for place, probe in sorted(case.probes.items()) if probe.group is ProbeGroup.IDENTITY]
    asked = [place for place in places if place in case.scores and case.scores[place].is_hit is is_learnt]
    if not asked:
        return None
    place = (max if is_learnt else min)(asked, key=lambda each: case.scores[each].identity)
    wanted = _nearest(case, place)
    if not is_learnt:
        return case.proof(ProofKind.MISSING, place, wanted=wanted)
    return case.proof(ProofKind.IDENTITY, place, part_like(wanted, case.answers[place].text), wanted)


def _nearest(case: Case, place: int) -> str:
    text, taught = case.answers[place].text, case.taught.identities_for(case.probes[place].question)
    return max(taught, key=lambda each: similarity(text, (each,)), default="")
