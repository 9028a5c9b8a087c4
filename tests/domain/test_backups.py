"""Backups: what is saved while Temper works comes back exactly, and what is not whole changes nothing."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Connection, Text, cast, create_engine, inspect, select, update
from sqlalchemy import MetaData as Tables
from sqlmodel import Session, col

from app.config import settings
from app.domain import accounts, db, migrate, presence
from app.domain.answer_search import TABLE as INDEX
from app.domain.backups import BackupError, files, make_backup, restore_backup
from app.domain.backups.databases import database_in_force
from app.domain.migrate import is_current, upgrade
from app.domain.models import Event, Model, RunState
from tests import databases
from tests.conftest import ROOT, forget_settings, wait_until
from tests.factories import make_answers, make_checkpoint, make_metrics, make_model, make_run
from tests.migration_scripts import one_ahead

Move = Callable[[], Path]


@pytest.fixture
def move(database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """Return what points the settings at another home, empty, with an empty database of the same kind."""
    with ExitStack() as stack:

        def move_out() -> Path:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="temper-")))
            monkeypatch.setenv("TEMPER_HOME", str(home))
            if database_url.startswith("postgresql"):
                server = request.getfixturevalue("postgres_server")
                monkeypatch.setenv("TEMPER_DATABASE_URL", stack.enter_context(databases.fresh_database(server)))
            forget_settings()
            return home

        yield move_out
        forget_settings()


@pytest.fixture
def full(session: Session, home: Path) -> Path:
    """Fill the home with runs, their files, and values that are easily spoilt."""
    make_model(session, name="large 大", parameters=70 * 10**9, size_bytes=(1 << 62) + 1)
    for state in (RunState.FINISHED, RunState.RUNNING):
        run = make_run(session, state=state, name="Ada's “assistant”\n\\ \t'\"%s:x", reason_detail="{}", loss=0.1 + 0.2)
        make_metrics(session, run, iterations=range(1, 40))
        make_answers(session, make_checkpoint(session, run))
        write_run_files(home / "runs" / str(run.id))
    accounts.create_token(session, accounts.first_admin(session), name="secret of 🦊")
    return home


def write_run_files(folder: Path) -> None:
    """Write what a trainer writes: text, more bytes than are copied at once, nothing, and a name of another script."""
    (folder / "adapters" / "iter_5").mkdir(parents=True)
    (folder / "events.jsonl").write_text('{"kind": "metric"}\n' * 100)
    (folder / "iter_5.pth").write_bytes(os.urandom(2 * files.CHUNK_BYTES + 7))
    (folder / "adapters" / "iter_5" / "adapter_模型.safetensors").write_bytes(os.urandom(1000))
    (folder / "empty.log").touch()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open a database beside all else, and leave nothing open."""
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def rows_of(url: str) -> dict[str, list[Any]]:
    """Return every row of every table, as values and as the database's own words."""
    tables, found = Tables(), {}
    with connected(url) as connection:
        tables.reflect(connection, only=lambda name, _: not name.startswith(f"{INDEX}_"))  # FTS5's own are no text
        for name, table in tables.tables.items():
            in_words = select(*(cast(column, Text) for column in table.columns)).order_by(*table.primary_key.columns)
            plainly = connection.exec_driver_sql(f'SELECT * FROM "{name}" ORDER BY 1').all()  # noqa: S608
            found[name] = [list(map(str, plainly)), list(map(tuple, connection.execute(in_words)))]
    return found


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the hash of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def let_go(session: Session) -> None:
    """Close the test's own connections: nobody may have a database open that is replaced."""
    session.close()
    session.get_bind().dispose()
    forget_settings()


# ── There and back ─────────────────────────────────────────────────────────


def test_everything_comes_back(full: Path, session: Session, move: Move, tmp_path: Path) -> None:
    """Every row of every table is equal, and every file by its hash, in an empty home."""
    session.execute(update(Event).where(col(Event.id) == 1).values(data=JSON.NULL))
    rows, hashes = rows_of(settings().database), hashes_of(full / "runs")
    assert all(rows[name][0] for name in ("run", "event", "answer", "credential", INDEX))

    make_backup(tmp_path / "backup")
    home = move()
    restored = restore_backup(tmp_path / "backup")

    assert rows_of(settings().database) == rows
    assert hashes_of(home / "runs") == hashes
    assert restored.kept == ()
    assert is_current(settings().database)


@pytest.mark.usefixtures("full")
def test_rows_and_saved_sets_come_back_beside_those_that_are_there(move: Move, tmp_path: Path) -> None:
    """Named by their hashes, they are added with their indexes; a file that is not what its name says is replaced."""
    rows = {hashlib.sha256(text.encode()).hexdigest(): text for text in ("one\n", "two\n")}
    saved = [Path(folder) / f"{sha256}.jsonl" for folder in ("mixes", "datasets") for sha256 in rows]
    for path in saved:
        write(settings().home / path, rows[path.stem])
        write((settings().home / path).with_suffix(".index"), "index")
    make_backup(tmp_path / "backup")
    home = move()
    write(home / saved[0], "six")  # of another size
    write(home / saved[2], "owt\n")  # and of the same
    write((home / saved[3]).with_suffix(".index"), "xedni")
    write(home / saved[3], rows[saved[3].stem])
    untouched = (home / saved[3]).stat().st_ino
    write(home / "mixes" / "other.jsonl", "other")

    restore_backup(tmp_path / "backup", replace=True)

    assert [(home / path).read_text() for path in saved] == [*rows.values()] * 2
    assert [(home / path).with_suffix(".index").read_text() for path in saved] == ["index"] * 4
    assert (home / saved[3]).stat().st_ino == untouched
    assert len(hashes_of(home / "mixes")) == 2 * 2 + 1


@pytest.mark.usefixtures("full")
def test_uploads_under_way_and_what_is_made_again_stay_out(move: Move, tmp_path: Path) -> None:
    """Of saved sets the rows and their indexes are saved; what else an earlier version saved is not put back."""
    name = hashlib.sha256(b"rows").hexdigest()
    left_out = [f"{name}.findings.json", f"{name}.questions.npy", f"{name}.taught.json", "incoming/x/rows.jsonl"]
    for each in (f"{name}.jsonl", *left_out, f"incoming/x/{name}.jsonl"):
        write(settings().datasets_folder / each, "rows")
    made = make_backup(tmp_path / "backup")
    assert [file.path for file in made.manifest.files_in("datasets")] == [f"datasets/{name}.jsonl"]
    earlier = [files.describe_file(settings().datasets_folder / each, f"datasets/{each}") for each in left_out]
    manifest = made.manifest.model_copy(update={"files": (*made.manifest.files, *earlier)})
    (made.folder / "manifest.json").write_text(manifest.model_dump_json())
    for each in left_out:
        write(made.folder / "datasets" / each, "rows")
    home = move()

    restore_backup(made.folder)

    assert hashes_of(home / "datasets") == {f"{name}.jsonl": name}


def write(path: Path, text: str) -> None:
    """Write a file whose folder may not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.usefixtures("full")
def test_work_goes_on_after_a_restore(move: Move, tmp_path: Path) -> None:
    """A new run gets a new id, and references are checked as before."""
    make_backup(tmp_path / "backup")
    move()
    restore_backup(tmp_path / "backup")

    with db.unit_of_work() as session:
        known = {model.id for model in session.scalars(select(Model))}
        assert make_model(session, name="new").id not in known
        assert make_run(session).id == 3
    with pytest.raises(Exception, match=r"(?i)foreign key"), db.unit_of_work() as session:
        session.add(Event(run_id=99, attempt=1, kind="metric", data={}))


def test_hard_values_come_back_as_they_were(
    database_url: str, move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JSON null is not no value, a JSON text keeps its spaces, and a number its last digit."""
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path))
    upgrade(database_url)
    with connected(database_url) as connection:
        connection.exec_driver_sql("INSERT INTO extra VALUES (1, 'null', 1e-300), (2, NULL, NULL)")
        connection.exec_driver_sql("INSERT INTO extra VALUES (3, '{\"a\" :  [1.50]}', 0.30000000000000004)")
    rows = rows_of(database_url)

    make_backup(tmp_path / "backup")
    move()
    restore_backup(tmp_path / "backup")

    assert rows_of(settings().database) == rows
    assert [row[1] for row in rows["extra"][1]] == ["null", None, '{"a" :  [1.50]}']


@pytest.mark.usefixtures("full")
def test_an_older_backup_is_brought_up_to_date(move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of an older schema gets the tables of this version when it is restored."""
    made = make_backup(tmp_path / "backup")
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path))
    move()

    restore_backup(made.folder)

    assert is_current(settings().database)
    with connected(settings().database) as connection:
        assert set(connection.exec_driver_sql("SELECT colour FROM model").scalars()) == {"red"}


def test_a_backup_says_what_it_is(full: Path, tmp_path: Path) -> None:
    """The manifest lists every file with its size and hash, and only its owner may look."""
    (full / "token").write_text("secret")

    made = make_backup(tmp_path / "new" / "backup")

    manifest = json.loads((made.folder / "manifest.json").read_text())
    listed = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert listed == {name: value for name, value in hashes_of(made.folder).items() if name != "manifest.json"}
    assert all((made.folder / file["path"]).stat().st_size == file["size_bytes"] for file in manifest["files"])
    assert manifest["revision"] == rows_of(settings().database)["alembic_version"][1][0][0]
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert not [path for path in made.folder.rglob("*") if path.is_file() and path.read_bytes() == b"secret"]
    assert [path.name for path in made.folder.parent.iterdir()] == ["backup"]


@pytest.mark.usefixtures("full")
def test_a_backup_of_the_database_alone_leaves_the_runs(move: Move, tmp_path: Path) -> None:
    """Where folders were not saved, those that are there stay as they are."""
    make_backup(tmp_path / "backup", with_runs=False)
    rows = rows_of(settings().database)
    home = move()
    write_run_files(home / "runs" / "1")
    hashes = hashes_of(home / "runs")

    restore_backup(tmp_path / "backup", replace=True)

    assert hashes_of(home / "runs") == hashes
    assert rows_of(settings().database) == rows


def test_runs_that_a_database_alone_does_not_know_are_put_aside(full: Path, session: Session, tmp_path: Path) -> None:
    """Their ids are given to new runs, which must not find what was trained under them; all else stays."""
    made = make_backup(tmp_path / "backup", with_runs=False)
    known = hashes_of(full / "runs")
    later = make_run(session, name="later")
    write_run_files(full / "runs" / str(later.id))
    later_hashes = hashes_of(full / "runs" / str(later.id))
    write(full / "runs" / "notes" / "mine.txt", "stays")
    let_go(session)

    restored = restore_backup(made.folder, replace=True)

    aside = Path(restored.kept[0])
    assert {path.name for path in aside.iterdir()} == {str(later.id)}
    assert hashes_of(aside / str(later.id)) == later_hashes
    assert aside.name.startswith("runs.before-restore-")
    assert {name for name in hashes_of(full / "runs") if name not in known} == {"notes/mine.txt"}
    with db.unit_of_work() as work:
        assert make_run(work).id == later.id


# ── While Temper works ─────────────────────────────────────────────────────


def test_what_is_written_meanwhile_breaks_nothing(full: Path, move: Move, tmp_path: Path) -> None:
    """A backup among writers holds one moment of the database, and a beginning of each log."""
    over, log, numbers = threading.Event(), full / "runs" / "1" / "events.jsonl", count()

    def write() -> None:
        with log.open("a") as file:
            while not over.is_set():
                file.write("x" * 5_000)
                file.flush()
                with db.unit_of_work() as session:  # two rows or none
                    session.add(Event(run_id=1, attempt=1, kind="pair", data={}))
                    session.add(Model(name=f"{next(numbers)}", source="pair", template="default"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [make_backup(tmp_path / f"backup {number}") for number in range(3)]
    finally:
        over.set()
        writer.join()
    whole = log.read_bytes()
    for backup in made:
        copied = (backup.folder / "runs" / "1" / "events.jsonl").read_bytes()
        assert whole.startswith(copied)
        home = move()
        restore_backup(backup.folder)
        with db.reading() as session:
            events = [event for event in session.scalars(select(Event)) if event.kind == "pair"]
            models = [model for model in session.scalars(select(Model)) if model.source == "pair"]
        assert len(events) == len(models)
        assert (home / "runs" / "1" / "events.jsonl").read_bytes() == copied


def test_a_file_that_grows_is_copied_as_far_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after the copy began is not in it, and the hash is of what is."""
    source = tmp_path / "train.log"
    source.write_bytes(b"a" * 3_000)
    monkeypatch.setattr(files, "CHUNK_BYTES", 1_000)
    real_size = os.fstat

    def grow_after(handle: int) -> os.stat_result:
        found = real_size(handle)
        with source.open("ab") as file:
            file.write(b"b" * 3_000)
        return found

    monkeypatch.setattr(os, "fstat", grow_after)
    stored = files.copy_file(source, tmp_path / "copy", "runs/1/train.log")

    assert (tmp_path / "copy").read_bytes() == b"a" * 3_000
    assert stored == files.describe_file(tmp_path / "copy", "runs/1/train.log")


def test_what_vanishes_or_is_unfinished_is_left_out(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint deleted at the last moment, and what still has its temporary name, are no reason to fail."""
    run = full / "runs" / "1"
    (run / ".iter_9.pth.part").write_bytes(b"half")
    (run / ".merged.part").mkdir()
    (run / ".merged.part" / "model.safetensors").write_bytes(b"half")
    real_copy = files.copy_file

    def copy_late(source: Path, target: Path, name: str) -> Any:
        if source == run / "iter_5.pth":
            source.unlink()
        return real_copy(source, target, name)

    monkeypatch.setattr(files, "copy_file", copy_late)
    made = make_backup(tmp_path / "backup")

    names = {file.path for file in made.manifest.files_in("runs") if file.path.startswith("runs/1/")}
    assert names == {f"runs/1/{name}" for name in hashes_of(run) if ".part" not in name}
    assert "runs/1/events.jsonl" in names
    assert {f"runs/{name}" for name in hashes_of(made.folder / "runs")} == {
        file.path for file in made.manifest.files_in("runs")
    }


def test_links_are_not_followed(full: Path, tmp_path: Path) -> None:
    """A link in a run's folder brings nothing from elsewhere into a backup."""
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    (secret / "key").write_text("private")
    (full / "runs" / "1" / "link").symlink_to(secret)
    (full / "runs" / "1" / "key").symlink_to(secret / "key")

    made = make_backup(tmp_path / "backup")

    assert not [file.path for file in made.manifest.files if "link" in file.path or "key" in file.path]
    with pytest.raises(OSError, match="symbolic links"):
        files.copy_file(full / "runs" / "1" / "key", tmp_path / "copy", "runs/1/key")


@pytest.mark.usefixtures("full")
def test_a_killed_backup_leaves_no_backup(tmp_path: Path) -> None:
    """Whoever finds a folder under its name finds a whole backup in it."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from app.domain.backups import files, make_backup\n"
        "files.copy_file = lambda *_: (Path(sys.argv[2]).touch(), time.sleep(60))\n"
        "make_backup(Path(sys.argv[1]))\n"
    )
    there = tmp_path / "copying"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "backup"), str(there)], env=environment)
    wait_until(there.exists, "the backup did not begin", seconds=30)

    child.send_signal(signal.SIGKILL)
    child.wait()

    assert not (tmp_path / "backup").exists()
    assert make_backup(tmp_path / "backup").manifest.files


def test_a_failed_backup_leaves_nothing(full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told, and takes no room afterwards."""

    def fill_up(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "copy_file", fill_up)
    (tmp_path / "backups").mkdir()

    with pytest.raises(BackupError, match=r"No space left on device: /"):
        make_backup(tmp_path / "backups" / "one")

    assert list((tmp_path / "backups").iterdir()) == []


def test_a_backup_has_a_place_of_its_own(full: Path, tmp_path: Path) -> None:
    """It is not made among the runs that it copies, nor over what is there."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()

    with pytest.raises(BackupError, match="among the runs"):
        make_backup(full / "runs" / "backup")
    with pytest.raises(BackupError, match="something at"):
        make_backup(tmp_path / "taken")


@pytest.mark.usefixtures("database_url")
def test_nothing_is_no_backup(move: Move, tmp_path: Path) -> None:
    """Where there is no database yet there is nothing to save."""
    move()

    with pytest.raises(BackupError, match="yet"):
        make_backup(tmp_path / "backup")

    assert not (tmp_path / "backup").exists()


# ── What is refused changes nothing ────────────────────────────────────────


def spoil(path: Path, how: str) -> None:
    """Damage a file as disks and copies do."""
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "short":
        path.write_bytes(content[:-1])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damage", [*product(["database", "runs"], ["missing", "short", "one bit"])], ids=" ".join)
def test_a_damaged_backup_is_refused(full: Path, session: Session, tmp_path: Path, damage: tuple[str, str]) -> None:
    """One bit is enough: the file is named, and the home is as it was."""
    folder, how = damage
    made = make_backup(tmp_path / "backup")
    let_go(session)
    rows, hashes = rows_of(settings().database), hashes_of(full / "runs")
    place = max(file.path for file in made.manifest.files_in(folder) if file.size_bytes)
    spoil(made.folder / place, how)

    with pytest.raises(BackupError, match=f"damaged: .*{place}"):
        restore_backup(made.folder, replace=True)

    assert rows_of(settings().database) == rows
    assert hashes_of(full / "runs") == hashes
    assert not [path.name for path in full.iterdir() if "restor" in path.name]


@pytest.mark.parametrize(
    "path",
    ["../x", "runs/../../x", "/etc/x", "runs/./x", "runs//x", "runs", "", ".", "models/x", "runs/a\0b", "runs/.."],
)
def test_a_path_that_leads_out_is_refused(full: Path, move: Move, tmp_path: Path, path: str) -> None:
    """A manifest names files of the backup, and none beside it."""
    made = make_backup(tmp_path / "backup")
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["files"][-1]["path"] = path
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    home = move()

    with pytest.raises(BackupError, match="leads out of the backup"):
        restore_backup(made.folder)

    assert [each.name for each in home.iterdir()] == ["up.lock"]


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"revision": "9999"}, "newer Temper"),
        ({"format": 2}, "format"),
        ({"files": []}, "database|tables"),
        ({"database": "other"}, "database"),
    ],
)
def test_a_manifest_of_something_else_is_refused(
    move: Move, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    """What this version cannot put in force it says, and leaves."""
    made = make_backup(tmp_path / "backup")
    path = made.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    home = move()

    with pytest.raises(BackupError, match=complaint):
        restore_backup(made.folder)

    assert {each.name for each in home.iterdir()} <= {"up.lock"}


@pytest.mark.parametrize("text", ["", "{}", "[]", "no JSON"])
def test_what_is_no_backup_is_refused(home: Path, tmp_path: Path, text: str) -> None:
    """A folder without a manifest, or with another file of that name, is no backup."""
    with pytest.raises(BackupError, match="is not a backup"):
        restore_backup(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BackupError, match="cannot be used"):
        restore_backup(tmp_path)


@pytest.mark.usefixtures("full")
def test_a_backup_of_the_other_database_is_refused(
    database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SQLite is not put back as Postgres, nor the other way round."""
    made = make_backup(tmp_path / "backup")
    is_sqlite = database_url.startswith("sqlite")
    other = "postgresql+psycopg://127.0.0.1:9/none" if is_sqlite else f"sqlite:///{home / 'other.db'}"
    monkeypatch.setenv("TEMPER_DATABASE_URL", other)
    forget_settings()

    with pytest.raises(BackupError, match="the settings name"):
        restore_backup(made.folder, replace=True)


def test_a_home_with_runs_is_not_overwritten(full: Path, session: Session, tmp_path: Path) -> None:
    """Without --replace runs stay, be they in the database or in the folder."""
    made = make_backup(tmp_path / "backup")
    let_go(session)
    rows = rows_of(settings().database)

    with pytest.raises(BackupError, match="--replace"):
        restore_backup(made.folder)
    shutil.move(full / "runs", tmp_path / "runs")
    with pytest.raises(BackupError, match="--replace"):
        restore_backup(made.folder)

    assert rows_of(settings().database) == rows


def test_what_is_replaced_is_kept_aside(full: Path, session: Session, database_url: str, tmp_path: Path) -> None:
    """The database and the folders before are whole where the result says."""
    made = make_backup(tmp_path / "backup")
    saved_rows, saved_hashes = rows_of(database_url), hashes_of(full / "runs")
    make_run(session, name="later")
    (full / "runs" / "later.txt").write_text("later")
    later_rows, later_hashes = rows_of(database_url), hashes_of(full / "runs")
    let_go(session)

    restored = restore_backup(made.folder, replace=True)

    runs, database = restored.kept
    assert (rows_of(database_url), hashes_of(full / "runs")) == (saved_rows, saved_hashes)
    assert hashes_of(Path(runs)) == later_hashes
    if database_url.startswith("sqlite"):
        assert rows_of(f"sqlite:///{database}") == later_rows
        return
    schema = database.split()[1]
    assert rows_of(f"{database_url}&options=-csearch_path%3D{schema}") == later_rows


@pytest.mark.parametrize("with_runs", [True, False])
def test_a_restore_that_fails_at_the_last_step_is_undone(
    full: Path, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_runs: bool
) -> None:
    """When the database cannot change places, the folders go back to theirs."""
    made = make_backup(tmp_path / "backup", with_runs=with_runs)
    write(full / "runs" / "3" / "later.txt", "later")
    let_go(session)
    rows, hashes = rows_of(settings().database), hashes_of(full / "runs")

    def refuse(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(type(database_in_force()), "swap", refuse)
    with pytest.raises(BackupError, match="busy"):
        restore_backup(made.folder, replace=True)

    assert (rows_of(settings().database), hashes_of(full / "runs")) == (rows, hashes)
    assert not [path.name for path in full.iterdir() if "restor" in path.name]


def test_a_database_that_somebody_works_with_is_not_replaced(full: Path, session: Session, tmp_path: Path) -> None:
    """A web server alone holds no lock of the home, but it has the database open."""
    made = make_backup(tmp_path / "backup")
    let_go(session)
    rows, hashes = rows_of(settings().database), hashes_of(full / "runs")

    with db.unit_of_work() as busy:
        assert make_model(busy, name="large 大").id
        if db.engine().dialect.name == "postgresql":
            busy.connection().exec_driver_sql("LOCK TABLE run IN ACCESS SHARE MODE")
        with pytest.raises(BackupError, match=r"works with the database|lock timeout"):
            restore_backup(made.folder, replace=True)

    assert (rows_of(settings().database), hashes_of(full / "runs")) == (rows, hashes)


@pytest.mark.usefixtures("full")
def test_a_home_in_which_temper_runs_is_refused(move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of the home, or a worker that was heard of, says that Temper runs."""
    made = make_backup(tmp_path / "backup")
    home = move()
    with (home / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="Temper runs already in"):
            restore_backup(made.folder)
    there = [presence.WorkerPresence(name="gpu-1", device="CPU", slots=1, seen=0)]
    monkeypatch.setattr(presence, "live_workers", lambda: there)
    with pytest.raises(BackupError, match="gpu-1"):
        restore_backup(made.folder)

    assert [each.name for each in home.iterdir()] == ["up.lock"]


def test_an_interrupted_restore_can_be_given_again(full: Path, session: Session, move: Move, tmp_path: Path) -> None:
    """What a killed one left beside is taken away by the next."""
    made = make_backup(tmp_path / "backup")
    rows = rows_of(settings().database)
    home = move()
    (home / "runs.restoring" / "1").mkdir(parents=True)
    (home / "temper.db.restoring").write_bytes(b"half")
    if settings().database.startswith("postgresql"):
        with connected(settings().database) as connection:
            connection.exec_driver_sql("CREATE SCHEMA temper_restoring")
            connection.exec_driver_sql("CREATE TABLE temper_restoring.run (id INTEGER)")
        (home / "temper.db.restoring").unlink()

    restore_backup(made.folder)

    assert rows_of(settings().database) == rows
    assert not [path.name for path in home.iterdir() if "restoring" in path.name]
    with connected(settings().database) as connection:
        assert "temper_restoring" not in inspect(connection).get_schema_names()
