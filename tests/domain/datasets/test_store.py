"""Sets that are kept: versions, files, the child that reads, and what is left when something goes wrong."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from app.config import settings
from app.domain import db
from app.domain.datasets import incoming, store
from app.domain.datasets.incoming import incoming_folder
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.rows import ROWS_PER_MARK, index_file, read_rows, turn
from app.domain.datasets.uses import runs_with, used_by, uses_of
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.models import Dataset
from app.domain.recipes import Pair
from app.domain.runs import count_runs, create_run
from tests.domain.datasets.files import PAIRS, jsonl
from tests.factories import make_model, make_recipe, make_run

ROWS = jsonl(PAIRS)


def add(session: Session, content: bytes = ROWS, *, name: str = "set", source_name: str = "a.jsonl") -> Dataset:
    """Upload a file."""
    with incoming_folder() as folder:
        path = folder / "source"
        path.write_bytes(content)
        name = store.checked_name(name)
        intake = store.read_upload(path)
        rows = store.rows_beside(path)
        kept = store.keep_version(session, name=name, intake=intake, rows=rows, source_name=source_name)
        session.commit()
    return kept.dataset


def files() -> set[str]:
    """Return the names of all files in the folder of the datasets."""
    return {path.name for path in settings().datasets_folder.rglob("*") if path.is_file()}


def test_a_set_is_stored_by_its_hash(session: Session) -> None:
    """The file holds the rows as `json.dumps` writes them, and its name is its hash."""
    dataset = add(session)

    content = store.dataset_file(dataset.sha256).read_bytes()
    row = {"conversation": [turn(PAIRS[1]["question"], PAIRS[1]["answer"])]}
    assert content.splitlines()[1].decode() == json.dumps(row, ensure_ascii=False)
    assert hashlib.sha256(content).hexdigest() == dataset.sha256
    assert (dataset.rows, dataset.size_bytes) == (2, len(content))
    assert (dataset.form, dataset.container, dataset.source_name) == (RowForm.PAIRS, Container.JSONL, "a.jsonl")
    assert files() == {f"{dataset.sha256}.jsonl", f"{dataset.sha256}.index"}


def test_the_same_content_again_is_the_same_version(session: Session) -> None:
    """Another content is a newer version of the name; another name with this content is a set of its own."""
    first, again, newer = add(session), add(session), add(session, jsonl(PAIRS[:1]))
    other = add(session, name="other")

    assert again.id == first.id
    assert [version.id for version in store.versions_of(session, "set")] == [newer.id, first.id]
    assert store.newest_version(session, name="set") == newer
    assert store.find_version(session, sha256=first.sha256) == other
    assert [listed.id for listed in store.list_datasets(session).datasets] == [other.id, newer.id]
    assert store.list_datasets(session, query="OTH").total == 1
    assert store.list_datasets(session, name="se").total == 0


def test_rows_are_found_by_their_number(session: Session) -> None:
    """Whatever the place, around every mark of the index and without an index, the rows are the same."""
    many = [{"question": str(number), "answer": "a"} for number in range(2 * ROWS_PER_MARK + 5)]
    dataset = add(session, jsonl(many))

    def numbers(offset: int) -> list[int]:
        return [int(row["conversation"][0]["input"]) for row in store.rows_of(dataset, offset=offset, limit=3)]

    for _ in range(2):
        for offset in (0, 1, ROWS_PER_MARK - 1, ROWS_PER_MARK, 2 * ROWS_PER_MARK - 1, 2 * ROWS_PER_MARK + 2):
            assert numbers(offset) == list(range(offset, offset + 3))
        assert numbers(len(many) - 1) == [len(many) - 1]
        assert numbers(len(many)) == numbers(10**15) == []
        index_file(store.dataset_file(dataset.sha256)).unlink(missing_ok=True)
    assert len(list(read_rows(store.dataset_file(dataset.sha256)))) == len(many)


def test_pairs_of_a_form_are_a_set_too(session: Session) -> None:
    """They are stored as an upload of the same pairs is."""
    pairs = [Pair(question=pair["question"], answer=pair["answer"]) for pair in PAIRS]

    dataset = store.store_pairs(session, name=" from a form ", pairs=pairs)

    assert (dataset.name, dataset.container, dataset.form) == ("from a form", Container.FORM, RowForm.PAIRS)
    assert dataset.sha256 == add(session).sha256
    with pytest.raises(InvalidError, match="pairs"):
        store.store_pairs(session, name="empty", pairs=[])


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\x00b", "a\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(session: Session, name: str) -> None:
    """Every other name is text: it is no part of a path."""
    with pytest.raises(InvalidError, match="name"):
        add(session, name=name)
    assert files() == set()
    assert add(session, name=" a\n\u3000b ").name == "a b"
    assert add(session, name="../<b>x</b>", source_name="../\x00y").source_name == "../y"
    assert not any(".." in name for name in files())


# ── Two at once ────────────────────────────────────────────────────────────


def test_uploads_at_once_are_one_version(session: Session) -> None:
    """The same file uploaded many times at once is one row and one file."""

    def upload(_: int) -> int:
        with db.unit_of_work() as unit:
            return add(unit).id or 0

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(upload, range(4)))

    assert len(ids) == 1
    assert len(session.exec(select(Dataset)).all()) == 1
    assert len(files()) == 2


def test_a_set_that_a_run_was_made_from_stays(session: Session) -> None:
    """Any name of its content counts; other sets can be deleted."""
    used, free = add(session), add(session, jsonl(PAIRS[:1]))
    files_of_run = [{"dataset": "x", "sha256": used.sha256, "count": count} for count in (0, 1)]
    run = make_run(session, recipe=make_recipe(mix={"files": files_of_run}))

    with pytest.raises(ConflictError, match="runs were made from these rows"):
        store.delete_dataset(session, used.id or 0)
    store.delete_dataset(session, free.id or 0)
    session.commit()

    assert used_by(session, used) == 1
    assert runs_with(session, used, limit=5) == [run]
    assert uses_of(session, [used, free]) == {used.sha256: 1}
    assert files() == {f"{used.sha256}.jsonl", f"{used.sha256}.index"}
    with pytest.raises(NotFoundError):
        store.get_dataset(session, free.id or 0)


def test_no_run_is_made_from_a_set_that_was_deleted(session: Session) -> None:
    """A file that its deletion has not removed yet is no set; the set is named, and no run is left."""
    dataset = add(session)
    session.delete(dataset)
    session.commit()
    wanted = make_recipe(mix={"files": [{"dataset": "pets", "sha256": dataset.sha256}]})
    make_model(session, name=wanted.model)

    with pytest.raises(InvalidError) as refused:
        create_run(session, wanted)

    assert [(each.field, str(each.message)[:29]) for each in refused.value.fields] == [
        ("mix.files.0.sha256", "There is no saved set “pets” ")
    ]
    assert count_runs(session) == 0


def test_making_a_run_and_deleting_its_set_at_once(database_url: str) -> None:
    """Whoever is first makes the other see it: a run that is there has its set."""
    with db.unit_of_work() as unit:
        dataset = add(unit)
        dataset_id = dataset.id or 0
        make_model(unit)
    recipe = make_recipe(mix={"files": [{"dataset": "set", "sha256": dataset.sha256}]})
    both = Barrier(2)

    def make() -> str:
        both.wait()
        with suppress(InvalidError), db.unit_of_work() as unit:
            create_run(unit, recipe)
            return "made"
        return "refused"

    def delete() -> str:
        both.wait()
        with suppress(ConflictError), db.unit_of_work() as unit:
            store.delete_dataset(unit, dataset_id)
            return "deleted"
        return "kept"

    with ThreadPoolExecutor(2) as pool:
        outcome = [pool.submit(make), pool.submit(delete)]

    assert {one.result() for one in outcome} in ({"made", "kept"}, {"refused", "deleted"})


def test_a_file_is_removed_with_its_last_name_and_not_before_the_commit(database_url: str) -> None:
    """A deletion that is taken back takes nothing away."""
    with db.unit_of_work() as unit:
        first = add(unit)
        second = add(unit, name="other")
        unit.expunge_all()
    whole = files()

    def delete(dataset_id: int | None) -> None:
        with db.unit_of_work() as unit:
            store.delete_dataset(unit, dataset_id or 0)
            assert whole <= files()

    delete(first.id)
    assert whole <= files()
    with pytest.raises(ZeroDivisionError), db.unit_of_work() as unit:
        store.delete_dataset(unit, second.id or 0)
        _ = 1 / 0
    assert whole <= files()
    delete(second.id)
    assert files() == set()


def test_an_upload_beats_the_deletion_of_the_same_content(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that begins while the file is being removed keeps its file: it waits until the removal is done."""
    with db.unit_of_work() as unit:
        dataset = add(unit)

    def upload() -> None:
        with db.unit_of_work() as unit:
            add(unit, name="again")

    uploading, find = Thread(target=upload), Path.glob

    def find_late(folder: Path, pattern: str) -> Iterator[Path]:
        if dataset.sha256 in pattern and not uploading.ident:
            uploading.start()
            uploading.join(1)
        return find(folder, pattern)

    monkeypatch.setattr(Path, "glob", find_late)
    with db.unit_of_work() as unit:
        store.delete_dataset(unit, dataset.id or 0)
    uploading.join()

    with db.reading() as session:
        assert len(store.rows_of(session.exec(select(Dataset)).one())) == 2
    assert files() == {f"{dataset.sha256}.jsonl", f"{dataset.sha256}.index"}


def test_a_lost_file_is_told_and_put_back_by_the_next_upload(session: Session) -> None:
    """Rows that are gone or cut are not shown as if they were whole."""
    dataset = add(session)
    path = store.dataset_file(dataset.sha256)
    path.write_bytes(path.read_bytes()[:-3])

    with pytest.raises(NotFoundError, match="gone from the disk, or damaged"):
        store.rows_of(dataset)
    path.unlink()
    add(session)

    assert len(store.rows_of(dataset)) == 2


# ── What goes wrong ────────────────────────────────────────────────────────


def test_a_refused_file_leaves_nothing(session: Session) -> None:
    """Neither a row nor a file, and the sentence stands at the field of the file."""
    with pytest.raises(InvalidError) as refused:
        add(session, jsonl(PAIRS) + b"{")

    (problem,) = refused.value.fields
    assert (problem.field, str(problem.message)[:30]) == ("file", "Line 3: It ends in the middle:")
    assert session.exec(select(Dataset)).all() == []
    assert files() == set()


def test_a_file_whose_row_never_came_goes_with_the_next_upload(database_url: str) -> None:
    """What a transaction put in its place before it failed is removed, and nothing that a row names."""
    with db.unit_of_work() as unit:
        add(unit, name="kept")
    kept = files()
    pairs = [Pair.model_validate(pair) for pair in PAIRS]
    for failed in (pairs, pairs[:1]):
        with pytest.raises(ZeroDivisionError), db.unit_of_work() as unit:
            store.store_pairs(unit, name="failed", pairs=failed)
            raise ZeroDivisionError

    with db.unit_of_work() as unit:
        newest = add(unit, jsonl(PAIRS[1:]))

    assert files() == kept | {f"{newest.sha256}.jsonl", f"{newest.sha256}.index"}


def test_a_savepoint_is_no_commit(database_url: str) -> None:
    """Whoever settled there would wait for the transaction that it is a part of."""
    with db.unit_of_work() as unit:
        with unit.begin_nested():
            made = store.store_pairs(unit, name="set", pairs=[Pair.model_validate(PAIRS[0])])

        assert f"{made.sha256}{store.UNSETTLED}" in files()
    assert files() == {f"{made.sha256}.jsonl", f"{made.sha256}.index"}


def test_a_removal_that_fails_is_done_by_the_next(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set is deleted all the same; its file waits for the next upload or deletion."""
    with db.unit_of_work() as unit:
        dataset = add(unit)
        unit.expunge_all()

    def refuse(_: Session) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    with monkeypatch.context() as patch, db.unit_of_work() as unit:
        store.delete_dataset(unit, dataset.id or 0)
        patch.setattr(store, "take_turns", refuse)
    assert f"{dataset.sha256}.jsonl" in files()

    with db.unit_of_work() as unit:
        newest = add(unit, jsonl(PAIRS[1:]))

    assert files() == {f"{newest.sha256}.jsonl", f"{newest.sha256}.index"}


@pytest.mark.parametrize("error", [NotADirectoryError, PermissionError])
def test_what_is_no_upload_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]) -> None:
    """A file that a network disk put among the uploads, or another account's folder, hinders no upload."""
    place = settings().datasets_folder / "incoming"
    stranger = place / ".nfs0001"
    place.mkdir(parents=True)
    if error is NotADirectoryError:
        stranger.touch()
    else:
        stranger.mkdir()
        monkeypatch.setattr(Path, "open", refusing(stranger, Path.open))

    with incoming_folder() as folder:
        assert folder.is_dir()

    assert list(place.iterdir()) == [stranger]


def refusing(folder: Path, real_open: Callable[..., Any]) -> Callable[..., Any]:
    """Return an `open` for whom a folder is another account's: these tests may run as root."""

    def open_elsewhere(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *arguments, **options)

    return open_elsewhere


def test_leftovers_of_a_broken_upload_are_removed(session: Session) -> None:
    """The folder of an upload whose process is gone goes with the next upload; a living one's stays."""
    with incoming_folder() as alive:
        dead = settings().datasets_folder / "incoming" / "dead"
        dead.mkdir()
        (dead / incoming.LOCK).touch()
        (dead / "source").write_bytes(b"half")

        add(session)

        assert not dead.exists()
        assert alive.exists()
    assert files() == {path for path in files() if not path.startswith(("source", "rows", "lock"))}
