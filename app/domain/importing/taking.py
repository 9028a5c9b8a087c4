"""
Taking a foreign run in, from its folder to the database: read first, and stored in one short transaction.

What is read may be a gigabyte of log, and rows for a saved set are millions; nothing is held while they are read
and written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlmodel import Session

from app.config import settings
from app.domain.datasets.incoming import incoming_folder
from app.domain.errors import AppError, ForbiddenError
from app.domain.importing.bases import base_name
from app.domain.importing.found import FoundMix, FoundRun
from app.domain.importing.mixes import RowFile, checked_identity, find_rows, mix_of, problem_of, take_rows, write_rest
from app.domain.importing.reading import read_work_folder
from app.domain.importing.storing import Imported, Wishes, asked_in, plan_recipe, store_run
from app.domain.messages import Message, message
from app.domain.recipes import Recipe

REST = "rest.jsonl"


@dataclass(frozen=True)
class Given:
    """What a user gives beside the folder."""

    identity: tuple[str, ...] = ()
    """Answers that are the identity; where there are none, the rows tell."""
    data: Path | None = None
    """The file of rows; the config names it where it is left out."""
    roots: tuple[Path, ...] = ()
    """Folders that everything must be in; none means anywhere, for a user of this machine."""


@dataclass(frozen=True)
class Prepared:
    """A run that was read and is not stored."""

    found: FoundRun
    mix: FoundMix
    rows: RowFile | None

    def planned(self, session: Session, wishes: Wishes) -> tuple[Recipe, tuple[Message, ...]]:
        """Return what would be stored, and what is to be said of it."""
        model = base_name(session, self.found.config, wishes.model)
        return plan_recipe(self.found, self.mix, wishes, model=model)

    def store(self, session: Session, wishes: Wishes) -> Imported:
        """
        Store it, or bring what is stored up to date.

        Args:
            session: used only once the rows of a saved set are written, so that nobody waits for it meanwhile.
        """
        with incoming_folder() as place:
            rest = write_rest(self.rows, self.mix.mix, place / REST) if self.rows and self.mix.rest else None
            return store_run(session, self.found, self.mix, wishes, rest=rest)


@contextmanager
def prepared(folder: Path, given: Given) -> Iterator[Prepared]:
    """
    Read a work folder, and the rows that its run was trained on.

    Raises:
        InvalidError: at `work_dir`, when no run can be read there; at `identity` or `data`.
    """
    identity = checked_identity(given.identity)
    found = read_work_folder(folder)
    real = folder.expanduser().resolve()
    source = find_rows(found.config, real, given=given.data, roots=given.roots)
    with incoming_folder() as place:
        rows, problems = _rows(source, place, is_given=given.data is not None)
        mix = mix_of(rows, found.config, identity, asked_in(found))
        yield Prepared(found, replace(mix, notes=(*problems, *_named(found, source), *mix.notes)), rows)


def _rows(source: Path | None, place: Path, *, is_given: bool) -> tuple[RowFile | None, tuple[Message, ...]]:
    if source is None:
        return None, ()
    try:
        return take_rows(source, place), ()
    except AppError as error:
        if is_given:
            raise
        return None, (problem_of(error, source),)


def _named(found: FoundRun, source: Path | None) -> Iterator[Message]:
    names = found.config.data_files if found.config else ()
    if names and source is None:
        yield message("The rows at {path} are not here. Give them with --data to see what was taught.", path=names[0])


def confined(path: str) -> tuple[Path, tuple[Path, ...]]:
    """
    Return a path that a request names, and the folders that it had to be in.

    Raises:
        ForbiddenError: it is outside of `TEMPER_IMPORT_ROOTS`, whether it is there or not.
    """
    roots = tuple(root.expanduser().resolve() for root in settings().import_roots)
    try:
        real = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        real = Path("/")
    if not any(real.is_relative_to(root) for root in roots):
        raise ForbiddenError(
            message("Runs are imported from folders under TEMPER_IMPORT_ROOTS alone, which an admin sets.")
        )
    return real, roots


def questions_of(recipe: Recipe) -> Sequence[tuple[int, str, str]]:
    """Return the probes of a planned run, counted from 1, each with its group."""
    return [(number, probe.group, probe.question) for number, probe in enumerate(recipe.probes, start=1)]
