"""Rows of a mix as a person reads them and as the model does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.domain.datasets.rows import Row, read_rows
from app.domain.datasets.store import dataset_file
from app.domain.mixes import count_rows, general_of, identity_of, row_of
from app.domain.models import Model
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import MAX_ROWS, Recipe
from app.domain.token_counts import RowAsRead, read_row
from app.domain.token_forecasts import order_of
from app.domain.tokenising import load_tokenizer

MOST_READ = 100  # rows at once


@dataclass(frozen=True)
class ReadRow:
    """One row of a mix."""

    number: int
    """Its place among all rows, from 0."""
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
    tokenizer, template = load_tokenizer(Path(model.path)), prompt_template(model.template)
    return tuple(
        ReadRow(
            number,
            source,
            place,
            row,
            read_row(row, tokenizer=tokenizer, template=template, max_length=recipe.training.max_length),
        )
        for number, source, place, row in _rows(recipe, offset, min(limit, MOST_READ))
    )


def _rows(recipe: Recipe, offset: int, limit: int) -> Iterator[tuple[int, str, int, Row]]:
    """Yield rows with their number, their source and their place in it."""
    mix, sources = recipe.mix, count_rows(recipe.mix).sources
    if sum(source.rows for source in sources) > MAX_ROWS:
        return
    pairs = {0: identity_of(mix), 1: general_of(mix)}
    for number, at in enumerate(order_of(sources)[offset : offset + limit].tolist(), start=offset):
        which, place = 0, at
        while place >= sources[which].distinct:
            place -= sources[which].distinct
            which += 1
        if which in pairs:
            row = row_of(pairs[which][place], mix.system)
        else:
            row = next(read_rows(dataset_file(mix.files[which - 2].sha256), start=place))
        yield number, sources[which].key, place, row
