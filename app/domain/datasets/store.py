"""
The sets that are kept: a row in the database for each version, a file for each content.

A file is named by its hash and never changed. It is put in its place before its row is
committed, and removed after the row that named it last is gone for good. Until it is known which
rows are there, a mark lies beside it: what a failed transaction or a crash left is found by it.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, func, select

from app.config import settings
from app.domain import audit, db
from app.domain.datasets.incoming import ROWS, incoming_folder
from app.domain.datasets.intake import Intake
from app.domain.datasets.isolation import read_apart
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.rows import Row, RowWriter, index_file, read_rows, turn
from app.domain.datasets.uses import take_turns, used_by
from app.domain.disk import put_on_disk
from app.domain.errors import ConflictError, FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Dataset
from app.domain.recipes import Pair

log = logging.getLogger(__name__)

UNSETTLED = ".unsettled"  # how the mark of a file is called whose row comes or goes
MOST_NAME = 120  # characters; a recipe names a set, and has room for these


@dataclass(frozen=True)
class DatasetPage:
    """Some sets, each at its newest version, the newest first."""

    datasets: Sequence[Dataset]
    total: int


@dataclass(frozen=True)
class StoredVersion:
    """A version, and whether it was made just now."""

    dataset: Dataset
    is_new: bool


def dataset_file(sha256: str) -> Path:
    """Return where the rows of this hash are."""
    return settings().datasets_folder / f"{sha256}.jsonl"


# ── Looking ────────────────────────────────────────────────────────────────


def list_datasets(
    session: Session, *, query: str = "", name: str = "", before_id: int | None = None, offset: int = 0, limit: int = 25
) -> DatasetPage:
    """
    Return a page of sets whose name holds the words of `query`, or is exactly `name`.

    Args:
        before_id: the page begins behind this version; the total is of all that fit.
    """
    query, name = query.replace("\x00", " "), name.replace("\x00", " ")  # Postgres knows no NUL
    newest = select(func.max(Dataset.id)).group_by(col(Dataset.name))
    for word in query.split():
        newest = newest.where(col(Dataset.name).icontains(word, autoescape=True))
    if name:
        newest = newest.where(Dataset.name == name)
    found = select(Dataset).where(col(Dataset.id).in_(newest))
    total = session.exec(select(func.count()).select_from(found.subquery())).one()
    if before_id is not None:
        found = found.where(col(Dataset.id) < before_id)
    page = session.exec(found.order_by(col(Dataset.id).desc()).offset(offset).limit(limit)).all()
    return DatasetPage(page, total)


def get_dataset(session: Session, dataset_id: int) -> Dataset:
    """Return a version; NotFoundError when there is none."""
    dataset = session.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFoundError(message("There is no dataset {id}.", id=dataset_id))
    return dataset


def find_version(session: Session, *, sha256: str) -> Dataset | None:
    """Return the newest version with this content, whatever its name; None when there is none."""
    return session.exec(select(Dataset).where(Dataset.sha256 == sha256).order_by(col(Dataset.id).desc())).first()


def newest_version(session: Session, *, name: str) -> Dataset | None:
    """Return the newest version of a name; None when there is none."""
    return session.exec(select(Dataset).where(Dataset.name == name).order_by(col(Dataset.id).desc())).first()


def versions_of(session: Session, name: str) -> Sequence[Dataset]:
    """Return the versions of a name, the newest first."""
    return session.exec(select(Dataset).where(Dataset.name == name).order_by(col(Dataset.id).desc())).all()


def count_versions(session: Session, names: Iterable[str]) -> Counter[str]:
    """Count the versions of each of some names."""
    name = col(Dataset.name)
    return Counter(dict(session.exec(select(name, func.count()).where(name.in_(set(names))).group_by(name)).all()))


def rows_of(dataset: Dataset, *, offset: int = 0, limit: int = 25) -> list[Row]:
    """Return some rows of a version; however far `offset` is, they are there within milliseconds."""
    return list(islice(read_rows(whole_file(dataset), start=offset), limit))


def whole_file(dataset: Dataset) -> Path:
    """Return the file of a version; NotFoundError when it is gone, or not what was stored."""
    path = dataset_file(dataset.sha256)
    if not path.is_file() or path.stat().st_size != dataset.size_bytes:
        raise NotFoundError(message("The rows of “{name}” are gone from the disk, or damaged.", name=dataset.name))
    return path


def download_name(dataset: Dataset) -> str:
    """Return what the file of a version is called when it is taken away: no part of a path."""
    name = "".join(letter if letter.isalnum() or letter in " ._-" else "_" for letter in dataset.name).strip(" .")
    return f"{name or 'dataset'}-{dataset.sha256[:8]}.jsonl"


# ── Storing ────────────────────────────────────────────────────────────────


def read_upload(path_of_upload: Path) -> Intake:
    """Read an upload into rows beside it; takes as long as the file is large, and no database."""
    return read_apart(path_of_upload, rows_beside(path_of_upload))


def rows_beside(path_of_upload: Path) -> Path:
    """Return where the rows of an upload are until they are kept."""
    return path_of_upload.with_name(ROWS)


def store_pairs(session: Session, *, name: str, pairs: Iterable[Pair]) -> Dataset:
    """Store the pairs of a form as the newest version of a name."""
    rows: Iterable[Row] = ({"conversation": [turn(pair.question, pair.answer)]} for pair in pairs)
    return store_rows(session, name=name, rows=rows, form=RowForm.PAIRS, container=Container.FORM)


def store_rows(
    session: Session,
    *,
    name: str,
    rows: Iterable[Row],
    form: RowForm,
    container: Container,
    source_name: str = "",
) -> Dataset:
    """Store rows that Temper itself made as the newest version of a name; InvalidError when there are none."""
    name = checked_name(name)
    with incoming_folder() as folder:
        with RowWriter(folder / ROWS) as writer:
            for row in rows:
                writer.write(row["conversation"])
        if writer.rows == 0:
            raise InvalidError([FieldError("pairs", message("There are no rows to save."))])
        intake = Intake(writer.rows, 0, writer.size_bytes, writer.sha256, form, container)
        kept = keep_version(session, name=name, intake=intake, rows=folder / ROWS, source_name=source_name)
    return kept.dataset


def keep_version(session: Session, *, name: str, intake: Intake, rows: Path, source_name: str = "") -> StoredVersion:
    """Store rows that were read as the newest version of a name; the same content again is the same version."""
    take_turns(session)
    same = select(Dataset).where(Dataset.name == name, Dataset.sha256 == intake.sha256)
    known = session.exec(same).first()
    if known is None or not dataset_file(intake.sha256).exists():
        _leave_unsettled(session, intake.sha256)
        _put_in_place(rows, dataset_file(intake.sha256))
    if known is not None:
        return StoredVersion(known, is_new=False)
    dataset = Dataset(
        name=name,
        sha256=intake.sha256,
        rows=intake.rows,
        left_out=intake.left_out,
        size_bytes=intake.size_bytes,
        form=intake.form,
        container=intake.container,
        source_name=printable(source_name)[:MOST_NAME],
    )
    session.add(dataset)
    session.flush()  # the answer names its id
    audit.note("dataset", dataset.id, name=name, rows=intake.rows)
    return StoredVersion(dataset, is_new=True)


def checked_name(name: str) -> str:
    """Return a name as it is stored; InvalidError when a set cannot have it."""
    name = " ".join(name.split())  # a line break or an ideographic space is one of many spaces
    if not 1 <= len(name) <= MOST_NAME:
        raise InvalidError([FieldError("name", message("A name has 1 to {most} characters.", most=MOST_NAME))])
    if name != printable(name):
        raise InvalidError([FieldError("name", message("This name holds a character that cannot be shown."))])
    return name


def printable(text: str) -> str:
    """Return a text without what no screen shows and Postgres does not store."""
    return "".join(letter for letter in text if letter.isprintable())


def _put_in_place(rows: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    index_file(rows).replace(index_file(target))
    rows.replace(target)
    put_on_disk(target.parent)


# ── Deleting ───────────────────────────────────────────────────────────────


def delete_dataset(session: Session, dataset_id: int) -> None:
    """
    Delete a version, and its file where no other name has the same content.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: the recipe of a run names it.
    """
    take_turns(session)
    dataset = get_dataset(session, dataset_id)
    audit.note("dataset", dataset_id, name=dataset.name)
    runs = used_by(session, dataset)
    if runs:
        raise ConflictError(
            message("“{name}” stays: runs were made from these rows ({count}).", name=dataset.name, count=runs)
        )
    session.delete(dataset)
    _leave_unsettled(session, dataset.sha256)


# ── Rows that come and go ──────────────────────────────────────────────────


def _leave_unsettled(session: Session, sha256: str) -> None:
    """Let a file be settled after the commit; where that never comes, with the next file that is."""
    with suppress(OSError):  # a full disk is no reason to keep what is deleted to make room
        _mark_of(sha256).touch()
    session.info.setdefault(UNSETTLED, set()).add(sha256)
    if not event.contains(session, "after_commit", _settle):
        event.listen(session, "after_commit", _settle)


def _mark_of(sha256: str) -> Path:
    return dataset_file(sha256).with_suffix(UNSETTLED)


def _settle(committed: Session) -> None:
    """Remove files that are unsettled, unless a row names them; whoever uploads one of them again waits."""
    if committed.in_nested_transaction() or not (hashes := committed.info.pop(UNSETTLED, None)):
        return
    try:
        with db.unit_of_work() as session:
            take_turns(session)
            for sha256 in hashes.union(mark.stem for mark in settings().datasets_folder.glob(f"*{UNSETTLED}")):
                if find_version(session, sha256=sha256) is None:
                    _remove(sha256)
                _mark_of(sha256).unlink(missing_ok=True)
    except (OSError, SQLAlchemyError) as error:
        log.warning("the files of sets are settled with the next one: %s", error)


def _remove(sha256: str) -> None:
    """Remove a file, its index, and what was found in the rows."""
    for path in settings().datasets_folder.glob(f"{sha256}.*"):
        if path.suffix != UNSETTLED:  # last, when nothing else is left
            path.unlink(missing_ok=True)
