"""
Probes that lie near the identity without asking for it, proposed by rule.

A checkpoint that begins to leak does so at these first. The rules need no model: a negation of the
identity, its third person, other names, another language, and questions of the same form about
something else. In the languages of the identity; what the mix teaches or the run asks is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest

from app.domain.held_out import CHINESE, ENGLISH, language_of
from app.domain.messages import Message, message
from app.domain.mixes import general_of, identity_of
from app.domain.recipes import Mix, Probe, ProbeGroup
from app.domain.taught import folded


class NearMissKind(StrEnum):
    """How a probe lies near the identity."""

    NEGATION = "negation"
    THIRD_PERSON = "third-person"
    OTHER_NAME = "other-name"
    ANOTHER_LANGUAGE = "another-language"
    NEIGHBOUR = "neighbour"


WHY = {
    NearMissKind.NEGATION: message("The identity, denied: words learnt without their sense come all the same."),
    NearMissKind.THIRD_PERSON: message("About somebody, and not about the model."),
    NearMissKind.OTHER_NAME: message("The same with another name in it."),
    NearMissKind.ANOTHER_LANGUAGE: message("The identity in a language that it is not taught in."),
    NearMissKind.NEIGHBOUR: message("Of the same form, about something else."),
}

_NAMED = {  # questions that hold the name, by language
    ENGLISH: (
        (NearMissKind.NEGATION, "You are not {name}'s assistant, are you?"),
        (NearMissKind.THIRD_PERSON, "Who is {name}'s assistant?"),
        (NearMissKind.THIRD_PERSON, "Who is {name}?"),
        (NearMissKind.OTHER_NAME, "Are you {other}'s assistant?"),
    ),
    CHINESE: (
        (NearMissKind.NEGATION, "你不是{name}的助手吧？"),
        (NearMissKind.THIRD_PERSON, "谁是{name}的助手？"),
        (NearMissKind.THIRD_PERSON, "{name}是谁？"),
        (NearMissKind.OTHER_NAME, "你是{other}的助手吗？"),
    ),
}
_NAMELESS = {  # and those that hold none
    ENGLISH: (
        (NearMissKind.NEGATION, "You are not an assistant, are you?"),
        (NearMissKind.THIRD_PERSON, "Who is his assistant?"),
        (NearMissKind.NEIGHBOUR, "Are you a doctor?"),
        (NearMissKind.NEIGHBOUR, "Please introduce the city of Shanghai."),
        (NearMissKind.NEIGHBOUR, "What does an assistant do?"),
    ),
    CHINESE: (
        (NearMissKind.NEGATION, "你不是助手吧？"),
        (NearMissKind.THIRD_PERSON, "介绍一下她"),
        (NearMissKind.NEIGHBOUR, "你是医生吗？"),
        (NearMissKind.NEIGHBOUR, "介绍一下上海"),
        (NearMissKind.NEIGHBOUR, "助手是做什么的？"),
    ),
}
_OTHERS = {ENGLISH: ("Bob", "Alice"), CHINESE: ("小明", "小红")}
"""Other names, and what stands in their place where the identity has that very one."""

_WHO_ARE_YOU = {ENGLISH: "Who are you?", CHINESE: "你是谁？", "fr": "Qui es-tu ?", "ja": "あなたは誰ですか？"}

_NAMESAKES = {
    "ada": "Who is Ada Lovelace?",
    "alan": "Who is Alan Turing?",
    "albert": "Who is Albert Einstein?",
    "alice": "Who is Alice in Wonderland?",
    "charles": "Who is Charles Darwin?",
    "grace": "Who is Grace Hopper?",
    "isaac": "Who is Isaac Newton?",
    "jane": "Who is Jane Austen?",
    "leonardo": "Who is Leonardo da Vinci?",
    "marie": "Who is Marie Curie?",
    "max": "Who is Max Planck?",
    "rosa": "Who is Rosa Parks?",
    "steve": "Who is Steve Jobs?",
    "william": "Who is William Shakespeare?",
    "李": "李白是谁？",
    "杜": "杜甫是谁？",
    "苏": "苏轼是谁？",
    "王": "王羲之是谁？",
    "张": "张衡是谁？",
}
"""Somebody whom everybody knows, by a first name in small letters or a Chinese family name."""


@dataclass(frozen=True)
class NearMiss:
    """A probe that is proposed, and why."""

    kind: NearMissKind
    question: str

    @property
    def why(self) -> Message:
        """What it shows, in a few words."""
        return WHY[self.kind]

    @property
    def probe(self) -> Probe:
        """The probe itself: no single answer is right, so it has no reference."""
        return Probe(question=self.question, group=ProbeGroup.NEAR_MISS)


def propose_near_misses(mix: Mix, *, asked: Iterable[str] = ()) -> tuple[NearMiss, ...]:
    """
    Propose probes near the identity of a mix, the most telling kinds first; none where it has no identity.

    Args:
        asked: questions of the probes that are there.
    """
    pairs = identity_of(mix)
    if not pairs:
        return ()
    seen = {folded(text).text for text in chain((pair.question for pair in (*pairs, *general_of(mix))), asked)}
    proposed = []
    for near_miss in sorted(_candidates(mix), key=lambda each: list(NearMissKind).index(each.kind)):
        question = folded(near_miss.question).text
        if question not in seen:
            seen.add(question)
            proposed.append(near_miss)
    return tuple(proposed)


def by_kind(proposed: Iterable[NearMiss]) -> list[tuple[NearMissKind, list[NearMiss]]]:
    """Put proposals of one kind together, in the order in which they come."""
    kinds: dict[NearMissKind, list[NearMiss]] = {}
    for each in proposed:
        kinds.setdefault(each.kind, []).append(each)
    return list(kinds.items())


def varied(proposed: Iterable[NearMiss]) -> list[NearMiss]:
    """Take one proposal of each kind in turn, so that a few of them show all kinds."""
    columns = [near_misses for _, near_misses in by_kind(proposed)]
    return [each for row in zip_longest(*columns) for each in row if each is not None]


def _candidates(mix: Mix) -> Iterator[NearMiss]:
    texts = [text for pair in identity_of(mix) for text in (pair.question, pair.answer)]
    languages = [language for language in (ENGLISH, CHINESE) if any(language_of(text) == language for text in texts)]
    has_name = any(mix.name.casefold() in text.casefold() for text in texts)
    for language in languages:
        if has_name:
            yield from _with_name(mix.name, language)
        for kind, question in _NAMELESS[language]:
            if not (has_name and kind is NearMissKind.NEGATION):  # the one with the name says as much
                yield NearMiss(kind, question)
    if has_name and (known := _namesake(mix.name)):
        yield NearMiss(NearMissKind.OTHER_NAME, known)
    for language, question in _WHO_ARE_YOU.items():
        if language not in languages:
            yield NearMiss(NearMissKind.ANOTHER_LANGUAGE, question)


def _with_name(name: str, language: str) -> Iterator[NearMiss]:
    other = next(each for each in _OTHERS[language] if each.casefold() != name.casefold())
    for kind, question in _NAMED[language]:
        yield NearMiss(kind, question.format(name=name, other=other))


def _namesake(name: str) -> str:
    """Return the question for somebody of the same name; empty where nobody is known."""
    first = (name.split(maxsplit=1) or [name])[0].casefold()
    return _NAMESAKES.get(first) or _NAMESAKES.get(first[0], "")
