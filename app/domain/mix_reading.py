"""Rows of a mix as a person reads them and as the model does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.domain.datasets.rows import Row, read_rows
from app.domain.datasets.store import dataset_file
from app.domain.mixes import IDENTITY, count_rows, general_of, identity_of, row_of
from app.domain.models import Model
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import MAX_ROWS, Mix, Recipe
from app.domain.token_counts import RowAsRead, read_row
from app.domain.token_forecasts import order_of
from app.domain.tokenising import load_tokenizer

MOST_READ = 100  # rows at once


@dataclass(frozen=True)
class ReadRow:
    """One row of a mix."""

    number: int
    """Its place among all rows, from 0; among those of its source where only these are read."""
    source: str
    """`identity`, `general`, or `files.0` and so on."""
    place: int
    """Its place among the rows that the source holds, from 0."""
    row: Row
    as_read: RowAsRead


def rows_as_read(recipe: Recipe, model: Model, *, offset: int = 0, limit: int = 10) -> tuple[ReadRow, ...]:
    """
    Return some rows of a mix in the order of the file: at first each row of each source once.

    Args:
        limit: `MOST_READ` at most.

    Raises:
        UnavailableError: the model's tokenizer or template is not read here, or xtuner would fail on the rows.
    """
    return _read(recipe, model, _rows(recipe, offset, min(limit, MOST_READ)))


def source_as_read(
    recipe: Recipe, model: Model, source: str, *, offset: int = 0, limit: int = 10
) -> tuple[ReadRow, ...]:
    """Return some rows of one source, as it holds them; fails as `rows_as_read` does."""
    rows = islice(_rows_from(recipe.mix, source, offset), min(limit, MOST_READ))
    return _read(recipe, model, ((place, source, place, row) for place, row in enumerate(rows, offset)))


_Placed = tuple[int, str, int, Row]


def _read(recipe: Recipe, model: Model, rows: Iterable[_Placed]) -> tuple[ReadRow, ...]:
    tokenizer, template = load_tokenizer(Path(model.path)), prompt_template(model.template)
    length = recipe.training.max_length
    return tuple(
        ReadRow(*placed, read_row(placed[-1], tokenizer=tokenizer, template=template, max_length=length))
        for placed in rows
    )


def _rows_from(mix: Mix, source: str, offset: int) -> Iterator[Row]:
    if source.startswith("files."):
        return read_rows(dataset_file(mix.files[int(source.removeprefix("files."))].sha256), start=offset)
    pairs = identity_of(mix) if source == IDENTITY else general_of(mix)
    return (row_of(pair, mix.system) for pair in pairs[offset:])


def _rows(recipe: Recipe, offset: int, limit: int) -> Iterator[_Placed]:
    """Yield rows with their number, their source and their place in it."""
    sources = count_rows(recipe.mix).sources
    if sum(source.rows for source in sources) > MAX_ROWS:
        return
    for number, at in enumerate(order_of(sources)[offset : offset + limit].tolist(), start=offset):
        which, place = 0, at
        while place >= sources[which].distinct:
            place -= sources[which].distinct
            which += 1
        key = sources[which].key
        yield number, key, place, next(_rows_from(recipe.mix, key, place))
