"""Upgrades: what was there is saved first, a killed one leaves a database that opens, and a newer one is left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from typer.testing import CliRunner

from app.cli import app
from app.config import settings
from app.domain import db, migrate, upgrades
from app.domain.backups import restore_backup
from app.domain.migrate import is_current, upgrade
from app.domain.models import Model
from app.domain.upgrades import UpgradeError, upgrade_database
from tests import databases
from tests.conftest import ROOT, forget_settings, wait_until
from tests.migration_scripts import AHEAD, one_ahead

MIGRATE = (
    "import sys; from pathlib import Path; from app.domain import migrate\n"
    "migrate.MIGRATIONS = Path(sys.argv[1]); migrate.upgrade(sys.argv[2])"
)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Point the settings at a database of this version with a row in it."""
    if request.param == "sqlite":
        fill()
        yield settings().database
        return
    with databases.fresh_database(request.getfixturevalue("postgres_server")) as url:
        monkeypatch.setenv("TEMPER_DATABASE_URL", url)
        forget_settings()
        fill()
        yield url
        forget_settings()


def fill() -> None:
    """Make the tables of this version and a row."""
    upgrade(settings().database)
    with db.unit_of_work() as session:
        session.add(Model(name="kept", source="/m", template="default"))
    db.engine().dispose()


def state_of(url: str) -> tuple[set[str], set[str], list[str], str]:
    """Return a database's tables, a table's columns, its rows' names, and its revision."""
    engine = create_engine(url)
    with engine.connect() as connection:
        looking = inspect(connection)
        found = (
            set(looking.get_table_names()),
            {column["name"] for column in looking.get_columns("model")},
            list(connection.exec_driver_sql("SELECT name FROM model").scalars()),
            str(migrate.revision_of(connection)),
        )
    engine.dispose()
    return found


def backups(home: Path) -> list[Path]:
    """Return the backups in a home, the oldest first."""
    return sorted((home / "backups").glob("*"))


def set_revision(url: str, revision: str) -> None:
    """Let a database be that of another version."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608
    engine.dispose()


# ── An interrupted migration ───────────────────────────────────────────────


def test_a_killed_migration_leaves_the_database_as_it_was(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after it has changed tables, it has changed nothing; the next one goes through."""
    before = state_of(url)
    there = tmp_path / "in the middle"
    stuck = one_ahead(tmp_path, then=f"Path({str(there)!r}).touch(); time.sleep(60)")
    child = subprocess.Popen(
        [sys.executable, "-c", MIGRATE, str(stuck), url], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    wait_until(there.exists, "the migration did not begin", seconds=30)

    child.send_signal(signal.SIGKILL)
    child.wait()

    assert state_of(url) == before
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path))
    upgrade(url)
    tables, columns, names, revision = state_of(url)
    assert "extra" in tables
    assert "colour" in columns
    assert (names, revision) == (["kept"], AHEAD)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after it has changed tables takes the changes back."""
    before = state_of(url)
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path, then="raise RuntimeError('broken')"))

    with pytest.raises(RuntimeError, match="broken"):
        upgrade(url)

    assert state_of(url) == before


# ── The backup before ──────────────────────────────────────────────────────


def test_an_upgrade_saves_the_database_first(
    url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before can be restored, also by the version that made it."""
    before, own = state_of(url), migrate.MIGRATIONS
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path))

    made = upgrade_database()

    assert is_current(url)
    assert made is not None
    assert backups(home) == [made.folder]
    assert made.folder.name.startswith(f"before-{before[3]}-")
    assert not made.manifest.has_runs
    monkeypatch.setattr(migrate, "MIGRATIONS", own)
    restore_backup(made.folder, replace=True)
    assert state_of(url) == before


def test_nothing_is_saved_when_nothing_changes(url: str, home: Path) -> None:
    """A start on a current database, or the first of all, makes no backup."""
    assert upgrade_database() is None

    engine = create_engine(url)
    with engine.begin() as connection:
        for table in inspect(connection).get_table_names():
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}" + (" CASCADE" if "postgresql" in url else ""))
    engine.dispose()
    assert upgrade_database() is None
    assert backups(home) == []


def test_what_cannot_be_saved_is_not_upgraded(
    url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk stops the upgrade before it begins."""
    before = state_of(url)
    monkeypatch.setattr(migrate, "MIGRATIONS", one_ahead(tmp_path))
    (home / "backups").write_text("in the way")

    with pytest.raises(UpgradeError, match="was not upgraded"):
        upgrade_database()

    assert state_of(url) == before


def test_the_newest_five_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the backups made before upgrades the oldest go; those that somebody asked for stay."""
    fill()
    own = home / "backups" / "mine"
    own.mkdir(parents=True)
    for revision, day in zip("1234567", "7351642", strict=True):  # time counts, and not the revision
        monkeypatch.setattr(upgrades, "time_stamp", lambda day=day: f"2026010{day}T000000Z")
        upgrades._save(f"000{revision}")

    kept = [path.name for path in backups(home)]
    assert kept == [
        *(f"before-000{number}-2026010{day}T000000Z" for number, day in ("17", "23", "35", "56", "64")),
        "mine",
    ]


# ── A newer database ───────────────────────────────────────────────────────


def test_a_newer_database_is_left_alone(url: str, home: Path) -> None:
    """`temper migrate` of an older version says so in a sentence, and changes and saves nothing."""
    set_revision(url, AHEAD)
    before = state_of(url)

    refused = CliRunner().invoke(app, ["migrate"])

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: The database is of a newer Temper")
    assert AHEAD in refused.stderr
    assert state_of(url) == before
    assert backups(home) == []


def test_up_refuses_a_newer_database(home: Path) -> None:
    """`temper up` of an older version ends with the same sentence, and nothing goes on running."""
    fill()
    set_revision(settings().database, AHEAD)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TEMPER_PORT": "0", "TEMPER_HOME": str(home)}

    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "up"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert "The database is of a newer Temper" in ended.stderr
    assert "Traceback" not in ended.stderr
