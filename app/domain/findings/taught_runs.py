"""
Which answers hold what the identity pairs teach: the longest run that both have in common.

A run counts when it is half of the taught answer or more. Compared are letters and digits alone,
width and case folded, so that another comma or space hides nothing. What is taught in a few
letters ("Paris.") cannot be told from a right answer, so it never counts.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from hashlib import sha256

from app.domain.findings.keys import normalised
from app.domain.texts import has_characters

LEAST_SHARE = 0.5  # of the taught answer
LEAST_LETTERS, LEAST_CHARACTERS = 15, 6  # of a run: three words, or six characters of Chinese
LONGEST_SAID = 20_000  # letters of an answer that are looked at
_NO_LETTERS = re.compile(r"[\W_]+")


class TaughtRuns:
    """Taught answers, prepared to be looked for in many others."""

    def __init__(self, answers: Iterable[str]) -> None:
        """Cut each taught answer into pieces of which every long enough run holds one whole."""
        squeezed_answers = dict.fromkeys(squeezed(answer) for answer in answers)
        self._least = {text: _least_run(text) for text in squeezed_answers if len(text) >= _least_run(text)}
        self._by_piece: dict[str, list[str]] = {}
        for text, least in self._least.items():
            size = (least + 1) // 2
            for start in range(0, len(text) - size + 1, size):
                self._by_piece.setdefault(text[start : start + size], []).append(text)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Parts of the taught answers: an answer that holds none of them holds no run."""
        return tuple(self._by_piece)

    def run_in(self, answer: str) -> str:
        """Return the longest run of a taught answer that stands in another; empty where none is long enough."""
        said = squeezed(answer)[:LONGEST_SAID]
        taught = {text for piece, texts in self._by_piece.items() if piece in said for text in texts}
        return max((self._run(text, said) for text in taught), key=len, default="")

    def _run(self, taught: str, said: str) -> str:
        match = SequenceMatcher(None, said, taught, autojunk=False).find_longest_match()
        return said[match.a : match.a + match.size] if match.size >= self._least[taught] else ""


def squeezed(text: str) -> str:
    """Return a text's letters and digits, width and case folded."""
    return _NO_LETTERS.sub("", normalised(text))


def _least_run(text: str) -> int:
    least = LEAST_CHARACTERS if has_characters(text) else LEAST_LETTERS
    return max(least, round(len(text) * LEAST_SHARE))


def answers_key(answers: Iterable[str]) -> str:
    """Return what stands for some taught answers, whatever their order: what was found for them is kept under it."""
    return sha256("\0".join(sorted(set(answers))).encode("utf-8", "surrogatepass")).hexdigest()
