"""Rows of a form's mix, each twice: as a person reads it, and as the model does, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import AppError
from app.domain.messages import N_, Message, message
from app.domain.mix_reading import source_as_read
from app.domain.mixes import GENERAL, IDENTITY, sources_of
from app.domain.models import Model
from app.domain.recipes import Recipe
from app.domain.token_counts import RowAsRead, TokenPiece
from app.web.dataset_pages import ShownRow, shown_row

ROWS_SHOWN = 3
MOST_DIGITS = 19  # of a row that anybody can mean
MOST_PIECES = 400  # of a row: one of many short turns has more, each a mark of its own on the page
TITLES = {IDENTITY: N_("Identity"), GENERAL: N_("General")}


@dataclass(frozen=True)
class ShownTwice:
    """One row, twice."""

    shown: ShownRow
    read: RowAsRead

    @property
    def pieces(self) -> Sequence[TokenPiece]:
        """What is shown of it."""
        return self.read.pieces[:MOST_PIECES]

    @property
    def more_tokens(self) -> int:
        """How many tokens come after what is shown."""
        return self.read.tokens - sum(piece.tokens for piece in self.pieces)


@dataclass(frozen=True)
class ReadSource:
    """One source that rows can be read of."""

    key: str
    title: str
    rows: int


@dataclass(frozen=True)
class ReadingPart:
    """Some rows of one source, and the way to the others."""

    sources: Sequence[ReadSource]
    key: str
    offset: int
    rows: Sequence[ShownTwice]
    max_length: int
    template: str
    trouble: Message | None = None
    """Why no row can be read as the model reads it."""

    @property
    def total(self) -> int:
        """Rows of the source."""
        return next((source.rows for source in self.sources if source.key == self.key), 0)

    @property
    def before(self) -> int | None:
        """Where the rows before begin; None where there are none."""
        return max(0, self.offset - ROWS_SHOWN) if self.offset else None

    @property
    def after(self) -> int | None:
        """Where the rows after begin; None where there are none."""
        return self.offset + ROWS_SHOWN if self.offset + ROWS_SHOWN < self.total else None


def build_reading(recipe: Recipe | None, model: Model | None, wanted: str) -> ReadingPart:
    """
    Read some rows of a recipe's mix.

    Args:
        wanted: a source and the first row, counted from 0, as in `files.0:12`; the first of all where it names none.
    """
    if recipe is None or model is None:
        return _none(message("The marked fields need values first, and the model must be registered."))
    held = [source for source in sources_of(recipe.mix) if source.distinct]
    sources = [ReadSource(source.key, source.title or TITLES[source.key], source.distinct) for source in held]
    if not sources:
        return _none(message("The mix has no rows yet."))
    key, _, number = wanted.partition(":")
    chosen = next((source for source in sources if source.key == key), sources[0])
    last = (chosen.rows - 1) // ROWS_SHOWN * ROWS_SHOWN
    offset = min(int(number), last) if number.isdecimal() and len(number) < MOST_DIGITS else 0
    try:
        read = source_as_read(recipe, model, chosen.key, offset=offset, limit=ROWS_SHOWN)
    except AppError as error:
        return ReadingPart(sources, chosen.key, offset, (), recipe.training.max_length, model.template, error.message)
    rows = [ShownTwice(shown_row(each.row, each.place + 1), each.as_read) for each in read]
    return ReadingPart(sources, chosen.key, offset, rows, recipe.training.max_length, model.template)


def _none(trouble: Message) -> ReadingPart:
    return ReadingPart((), "", 0, (), 0, "", trouble)
