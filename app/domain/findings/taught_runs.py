"""
Which answers hold what the identity pairs teach: the longest run that both have in common.

A run counts when it is half of the taught answer or more. Compared are letters and digits alone,
width and case folded, so that another comma or space hides nothing. What is taught in a few
letters ("Paris.") cannot be told from a right answer, so it never counts.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

from app.domain.findings.keys import normalised
from app.domain.findings.work import PER_CHARACTER_SOUGHT, Work
from app.domain.texts import has_characters

LEAST_SHARE = 0.5  # of the taught answer
LEAST_LETTERS, LEAST_CHARACTERS = 15, 6  # of a run: three words, or six characters of Chinese
LONGEST_SAID = 20_000  # letters of an answer that are looked at
MOST_PLACES = 100  # of a piece in an answer: what repeats itself more often is looked at there alone
_NO_LETTERS = re.compile(r"[\W_]+")


class TaughtRuns:
    """Taught answers, prepared to be looked for in many others."""

    def __init__(self, answers: Iterable[str]) -> None:
        """Cut each taught answer into pieces of which every long enough run holds one whole."""
        squeezed_answers = dict.fromkeys(squeezed(answer) for answer in answers)
        self._least = {text: _least_run(text) for text in squeezed_answers if len(text) >= _least_run(text)}
        self._by_piece: dict[str, list[tuple[str, int]]] = {}
        for text, least in self._least.items():
            size = (least + 1) // 2
            for start in range(0, len(text) - size + 1, size):
                self._by_piece.setdefault(text[start : start + size], []).append((text, start))

    @property
    def pieces(self) -> tuple[str, ...]:
        """Parts of the taught answers: an answer that holds none of them holds no run."""
        return tuple(self._by_piece)

    def run_in(self, answer: str, work: Work | None = None) -> str:
        """Return the longest run of a taught answer that stands in another; empty where none is long enough."""
        said = squeezed(answer)[:LONGEST_SAID]
        if not _may(work, len(said) * len(self._by_piece)):
            return ""
        return max(self._runs(said, work), key=len, default="")

    def _runs(self, said: str, work: Work | None) -> Iterator[str]:
        for piece, stands_in in self._by_piece.items():
            for place in islice(_places(piece, said), MOST_PLACES):
                for taught, start in stands_in:
                    if not _may(work, len(said) + len(taught)):
                        return
                    run = _run_around(said, place, taught, start)
                    if len(run) >= self._least[taught]:
                        yield run


def _may(work: Work | None, characters: int) -> bool:
    return work is None or work.take(characters * PER_CHARACTER_SOUGHT)


def _places(piece: str, said: str) -> Iterator[int]:
    place = said.find(piece)
    while place >= 0:
        yield place
        place = said.find(piece, place + 1)


def _run_around(said: str, place: int, taught: str, start: int) -> str:
    """Return all that two texts have in common around one place of each."""
    before = _alike(said[:place][::-1], taught[:start][::-1])
    return said[place - before : place + _alike(said[place:], taught[start:])]


def _alike(one: str, other: str) -> int:
    """Count the characters that two texts begin with alike."""
    most = min(len(one), len(other))
    return bisect_left(range(most), x=True, key=lambda count: one[: count + 1] != other[: count + 1])


def squeezed(text: str) -> str:
    """Return a text's letters and digits, width and case folded."""
    return _NO_LETTERS.sub("", normalised(text))


def _least_run(text: str) -> int:
    least = LEAST_CHARACTERS if has_characters(text) else LEAST_LETTERS
    return max(least, round(len(text) * LEAST_SHARE))


def answers_key(answers: Iterable[str]) -> str:
    """Return what stands for some taught answers, whatever their order: what was found for them is kept under it."""
    return sha256("\0".join(sorted(set(answers))).encode("utf-8", "surrogatepass")).hexdigest()
