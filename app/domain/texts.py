"""
Where words begin and end, in any language.

Languages written without spaces (Chinese, Japanese) are taken by characters, all others by
words. Not a linguistic segmenter: Thai and Khmer count as one word between two spaces.
"""

import re
import unicodedata
from dataclasses import dataclass

CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Han, each a word of its own."""
CHARACTER_TAILS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u3099\u309a"
"""Variation selectors and voicing marks: never cut from the character before them."""
PUNCTUATION = (
    "!-/:-@\\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e"
    "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
NUMBER = "0"  # stands for any
CHARACTER_WEIGHT = 0.5  # of a word: a Chinese word has two characters more often than any other number

_LETTERS = rf"[^\s{CHARACTERS}{PUNCTUATION}]+"  # emoji and their joiners too, so that none is ever cut in two
_CHARACTER = rf"[{CHARACTERS}][{CHARACTER_TAILS}]*"
_PIECE = re.compile(rf"{_CHARACTER}|{_LETTERS}(?:['\u2019\-]{_LETTERS})*|\s+|.", re.DOTALL)
_WORD = re.compile(rf"{_CHARACTER}|{_LETTERS}")
_HAS_CHARACTERS = re.compile(f"[{CHARACTERS}]")


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words without case and punctuation, and where each stands in the text."""

    text: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    def weight(self, start: int = 0, end: int | None = None) -> float:
        """Count words, a character of Chinese or Japanese as half of one."""
        return sum(map(word_weight, self.text[start:end]))


def words(text: str) -> Words:
    """Split a text into words that compare equal whatever their case, width and punctuation."""
    found = list(_WORD.finditer(text))
    return Words(tuple(plain(match.group()) for match in found), tuple(match.span() for match in found))


def without_numbers(said: Words) -> Words:
    """Return words in which every number is the same: a taught sentence with a wrong number is still that sentence."""
    return Words(tuple(NUMBER if word.isdecimal() else word for word in said.text), said.spans)


def numbers(said: Words) -> frozenset[str]:
    """Return the words that are numbers in digits."""
    return frozenset(word for word in said.text if word.isdecimal())


def plain(word: str) -> str:
    """Fold case and width: a full-width capital and a small letter are the same."""
    return unicodedata.normalize("NFKC", word).casefold()


def word_weight(word: str) -> float:
    """Weigh a word: 1, or half when it is a character of a language without spaces."""
    return CHARACTER_WEIGHT if _HAS_CHARACTERS.match(word) else 1.0


def pieces(text: str) -> list[str]:
    """Split a text into words, characters, spaces and marks; joined again they are the text."""
    return _PIECE.findall(text)


def has_words(text: str) -> bool:
    """Whether a text holds more than spaces and punctuation."""
    return _WORD.search(text) is not None


def comparable(text: str) -> tuple[str, ...] | str:
    """Return what two texts share that a reader calls the same: their words, or the text where it has none."""
    return words(text).text or text.strip()


def has_characters(text: str) -> bool:
    """Whether a text holds Han or Kana, so that a page gives it the leading they need."""
    return _HAS_CHARACTERS.search(text) is not None


def storable(text: str) -> str:
    """Return a program's text without zero characters, which Postgres cannot store."""
    return text.replace("\x00", "")
