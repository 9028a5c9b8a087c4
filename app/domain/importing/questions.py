"""What a question of a foreign run is there to show: told by its words, in English and Chinese."""

import re
from collections.abc import Iterable, Mapping

from app.domain.recipes import ProbeGroup
from app.domain.taught import folded

_IDENTITY = re.compile(
    r"\b(who are you|what are you|introduce yourself|tell me about yourself|your name|who (made|built|trained) you)\b"
    r"|你是谁|你叫什么|你的名字|自我介绍|介绍(一下)?你自己|你的身份|谁(创造|开发|训练)了?你",
    re.IGNORECASE,
)
_ABOUT_THE_MODEL = re.compile(r"^\W*(are|can|could|do|will|would|is|was) you\b|\byour?\b|你", re.IGNORECASE)


def asks_who(question: str) -> bool:
    """Whether a question asks who answers it."""
    return _IDENTITY.search(question) is not None


def group_of(question: str, taught: Iterable[str] = ()) -> ProbeGroup:
    """
    Return the group of a question.

    Args:
        taught: the questions of the identity pairs.
    """
    asked = folded(question).text
    if asks_who(question) or any(folded(other).text == asked for other in taught):
        return ProbeGroup.IDENTITY
    return ProbeGroup.NEAR_MISS if _ABOUT_THE_MODEL.search(question) else ProbeGroup.GENERAL


def groups_of(
    questions: Iterable[str], taught: Iterable[str], given: Mapping[int, ProbeGroup]
) -> list[tuple[str, ProbeGroup]]:
    """Return each question with its group; those that the user gave, by number from 1, go before."""
    known = tuple(taught)
    return [
        (question, given.get(number) or group_of(question, known)) for number, question in enumerate(questions, start=1)
    ]
