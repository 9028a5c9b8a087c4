"""
The answers of one source of a mix, found by their question or by the words they share with an answer.

Pairs of a form are few; a saved set may hold two million rows. Of a set the first `MOST_ROWS` rows are
looked at, or as many as have `MOST_CHARACTERS` characters of answers, and the sets used last stay in
memory: about 15 MB each, 60 MB at worst. What stands further down in a set can leak and is not seen.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from app.domain.datasets.rows import read_rows
from app.domain.datasets.store import dataset_file
from app.domain.texts import Words, without_numbers, words

MOST_ROWS = 20_000  # of one saved set: read and indexed within a second
MOST_CHARACTERS = 2_000_000
SETS_REMEMBERED = 8
MOST_LIKELY = 64  # answers that are then compared word for word; the likeliest of a large set are among them
NGRAM = 3  # words: the shortest run that is ever called a leak

Ngram = tuple[str, ...]


class TaughtRows:
    """The different answers of a source, and the rows that teach them."""

    def __init__(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Index rows, each its place in the source, a question and the answer to learn."""
        numbers: dict[str, int] = {}
        self.first: list[int] = []
        """The first place of each answer."""
        self._by_question: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, question, answer in rows:
            number = numbers.setdefault(answer, len(numbers))
            if number == len(self.first):
                self.first.append(place)
            self._by_question[hash(words(question).text)].append((place, number))
        self.answers: tuple[str, ...] = tuple(numbers)
        self._index_words()

    def _index_words(self) -> None:
        hashes: list[int] = []
        lengths, weights = [], []
        for answer in self.answers:
            said = without_numbers(words(answer))
            before = len(hashes)
            hashes.extend(hash(ngram) for ngram in ngrams(said))
            lengths.append(len(hashes) - before)
            weights.append(said.weight())
        unsorted = np.array(hashes, dtype=np.int64)
        order = np.argsort(unsorted, kind="stable")
        self._hashes = unsorted[order]
        self._numbers = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)[order]
        self._weights = np.array(weights, dtype=np.float64)

    def asking(self, question: tuple[str, ...]) -> Sequence[tuple[int, int]]:
        """Return the place and the answer's number of each row that asks these words; 64 bits tell them apart."""
        return self._by_question.get(hash(question), ())

    def sharing(self, said: Words, *, share: float, run: float) -> list[int]:
        """
        Return the numbers of the answers that may stand in a text with this share of their words in one run.

        Args:
            said: with its numbers made the same, as those of the answers are.
            run: words in one run that are enough, whatever their share.
        """
        wanted = np.array(sorted({hash(ngram) for ngram in ngrams(said)}), dtype=np.int64)
        starts, ends = (np.searchsorted(self._hashes, wanted, side) for side in ("left", "right"))
        found = [self._numbers[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
        if not found:
            return []
        counts = np.bincount(np.concatenate(found), minlength=len(self.answers))
        # A run of so many words has two fewer runs of three; each of these is in both texts.
        least = np.maximum(1, np.ceil(np.minimum(share * self._weights, run) - 1e-9) - (NGRAM - 1))
        likely = np.flatnonzero(counts >= least)
        likeliest = likely[np.argsort(-counts[likely] / least[likely], kind="stable")[:MOST_LIKELY]]
        return sorted(likeliest.tolist())


def ngrams(text: Words) -> Iterator[Ngram]:
    """Yield every `NGRAM` words in a row."""
    for start in range(len(text.text) - NGRAM + 1):
        yield text.text[start : start + NGRAM]


def rows_of_set(sha256: str) -> TaughtRows:
    """Return what a saved set teaches; nothing where its file is not here or cannot be read."""
    path = dataset_file(sha256)
    try:
        facts = path.stat()
    except OSError:
        return NO_ROWS
    return _read(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=SETS_REMEMBERED)
def _read(path: Path, size_bytes: int, mtime_ns: int) -> TaughtRows:  # noqa: ARG001 - a changed file is read anew
    try:
        return TaughtRows(_limited(path))
    except (OSError, ValueError, KeyError, TypeError):  # damaged: the page of the set says so
        return NO_ROWS


def _limited(path: Path) -> Iterator[tuple[int, str, str]]:
    left = MOST_CHARACTERS
    for place, row in enumerate(islice(read_rows(path), MOST_ROWS)):
        for turn in row["conversation"]:
            if not turn["output_with_loss"]:
                continue
            left -= len(turn["output"])
            if left < 0:
                return
            yield place, turn["input"], turn["output"]


NO_ROWS = TaughtRows(())
