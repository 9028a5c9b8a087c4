"""What a button of the mix does to the data of the form: a set added or taken out, the tutorial's mix."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from app.domain.datasets import store
from app.domain.errors import NotFoundError
from app.domain.models import Dataset
from app.domain.presets import PRESETS, TUTORIAL
from app.web.deps import LARGEST_ID
from app.web.form_fields import as_text, value_at
from app.web.mix_fields import variable_rows

FILES = "files"
REPLACE, REPLACE_ANYWAY = "tutorial", "tutorial-anyway"
PRESET_PAIRS = frozenset(
    (pair.question, pair.answer)
    for preset in PRESETS
    for pair in (*preset.recipe.mix.identity, *preset.recipe.mix.general)
)


def change_mix(session: Session, data: dict[str, Any], change: str) -> dict[str, Any]:
    """
    Return the data of a form with one change made.

    Args:
        change: `add:3` adds a saved set by its id, `drop:0` takes one out by its place, `newest:0` takes its newest
            version, `tutorial` puts the tutorial's mix in the place of all but the name, as does `tutorial-anyway`;
            what cannot be done changes nothing.
    """
    verb, _, argument = change.partition(":")
    number = int(argument) if argument.isdecimal() and len(argument) < len(str(LARGEST_ID)) else -1
    if verb == "add":
        return _with_added(session, data, number)
    if verb in {REPLACE, REPLACE_ANYWAY}:
        return with_mix(data, TUTORIAL.recipe.mix.model_dump(mode="json") | {"name": value_at(data, "mix.name") or ""})
    if verb == "drop":
        return with_files(data, [file for place, file in enumerate(files_of(data)) if place != number])
    if verb == "newest":
        return with_files(data, [_newest(session, file) if place == number else file
                                 for place, file in enumerate(files_of(data))])  # fmt: skip
    return data


def loses_own(data: Mapping[str, Any], change: str) -> bool:
    """Whether a change that nobody said yes to would lose what somebody made of the mix."""
    if change != REPLACE:
        return False
    values = [row.get("value") for row in variable_rows(value_at(data, "mix.variables"))]
    texts = [value_at(data, "mix.system"), *values]
    pairs = [*_rows_of(data, "mix.identity"), *_rows_of(data, "mix.general")]
    written = {(as_text(pair.get("question")), as_text(pair.get("answer"))) for pair in pairs}
    own = [pair for pair in written - PRESET_PAIRS if "".join(pair).strip()]
    return bool(files_of(data) or own or any(as_text(text).strip() for text in texts))


def _rows_of(data: Mapping[str, Any], path: str) -> Sequence[Mapping[str, Any]]:
    rows = value_at(data, path)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []


def files_of(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the saved sets of a form's data."""
    return _rows_of(data, "mix.files")


def with_mix(data: dict[str, Any], mix: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with another mix."""
    return {**data, "mix": dict(mix)}


def with_files(data: dict[str, Any], files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the data with other saved sets."""
    mix = data.get("mix")
    return with_mix(data, {**(mix if isinstance(mix, Mapping) else {}), FILES: list(files)})


def add_file(data: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Return the data with a saved set added, each of its rows once."""
    added = {"dataset": dataset.name, "sha256": dataset.sha256, "count": 0, "share": None}
    return with_files(data, [*files_of(data), added])


def _with_added(session: Session, data: dict[str, Any], dataset_id: int) -> dict[str, Any]:
    try:
        return add_file(data, store.get_dataset(session, dataset_id))
    except NotFoundError:
        return data


def _newest(session: Session, file: Mapping[str, Any]) -> Mapping[str, Any]:
    newest = store.newest_version(session, name=str(file.get("dataset", "")))
    return {**file, "sha256": newest.sha256} if newest else file
