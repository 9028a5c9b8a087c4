"""Saved sets in the form: those that the mix has, and those that can be added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from app.domain.datasets import store
from app.domain.models import Dataset
from app.web.form_fields import Amount, RecipeForm, as_text, value_at

SETS_SHOWN = 6


@dataclass(frozen=True)
class FileRow:
    """One saved set of the mix."""

    path: str
    name: str
    sha256: str
    amount: Amount
    version: Dataset | None
    """What is stored under the hash; None where it is gone."""
    newest: Dataset | None
    """The newest version of the name, where that is another one."""


@dataclass(frozen=True)
class FoundSets:
    """Sets that can be added, the newest first."""

    query: str
    sets: Sequence[Dataset]
    total: int


def file_rows(session: Session, form: RecipeForm) -> Sequence[FileRow]:
    """Return the saved sets that a form names."""
    files = value_at(form.data, "mix.files")
    named = files if isinstance(files, list | tuple) else ()
    return [_row(session, form, number, file) for number, file in enumerate(named) if isinstance(file, Mapping)]


def _row(session: Session, form: RecipeForm, number: int, file: Mapping[str, object]) -> FileRow:
    path, name, sha256 = f"mix.files.{number}", as_text(file.get("dataset")), as_text(file.get("sha256"))
    newest = store.newest_version(session, name=name)
    version = next((each for each in store.versions_of(session, name) if each.sha256 == sha256), None)
    return FileRow(
        path=path,
        name=name,
        sha256=sha256,
        amount=form.amount(f"{path}."),
        version=version or store.find_version(session, sha256=sha256),
        newest=newest if newest and version and newest.sha256 != sha256 else None,
    )


def find_sets(session: Session, query: str = "") -> FoundSets:
    """Search the saved sets by name."""
    found = store.list_datasets(session, query=query, limit=SETS_SHOWN)
    return FoundSets(query, found.datasets, found.total)
