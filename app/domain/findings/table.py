"""The turns of rows as columns, wherever the rows are: what the searches of `hits` look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from app.domain.findings.keys import Keys, chained, context_keys
from app.domain.findings.kinds import Field

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A text that may be wrong by itself."""

    row: int
    turn: int
    field: Field
    text: str


@dataclass(frozen=True)
class Table:
    """Turns in order of row; rows and turns are counted from 0, and each row has at least one turn."""

    row: Numbers
    turn: Numbers
    has_loss: Numbers
    system: Keys
    """Key of the row's system text, for each turn."""
    question: Keys
    answer: Keys
    questions_at: Callable[[Numbers], list[str]]
    """Returns the normalised questions of some turns."""
    suspects: Sequence[Suspect] = ()
    """Texts that may be blank, damaged or odd; no other one is."""

    @cached_property
    def first(self) -> Numbers:
        """Place of the first turn of each row."""
        return np.flatnonzero(self.turn == 0)

    @cached_property
    def last(self) -> Numbers:
        """Place of the last turn of each row."""
        return np.append(self.first, len(self.turn))[1:] - 1

    @cached_property
    def _contexts(self) -> tuple[Keys, Keys]:
        return context_keys(self.system, self.question, self.answer, self.turn)

    @cached_property
    def asked(self) -> Keys:
        """Key of each turn's question in its context."""
        return chained(self._contexts[0], self.question)

    @cached_property
    def whole(self) -> Keys:
        """Key of each whole row."""
        return self._contexts[1][self.last]
