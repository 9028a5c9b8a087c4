"""Migrations: they make what the models say, on both databases, and can be taken back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, text
from sqlmodel import Session, SQLModel, select

from app.domain.answer_search import is_of_models
from app.domain.db import make_engine
from app.domain.migrate import downgrade, is_current, upgrade
from app.domain.models import Model, ModelState, Run, RunDataset
from tests import databases


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the test a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'not made yet' / 'temper.db'}"
        return
    with databases.fresh_database(request.getfixturevalue("postgres_server")) as url:
        yield url


def test_migrating_up_gives_exactly_the_tables_of_the_models(empty_url: str) -> None:
    """Nothing is missing, and nothing is there that the models do not know."""
    upgrade(empty_url)

    engine = make_engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_of_models})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()
    assert is_current(empty_url)


def test_migrating_down_leaves_an_empty_database(empty_url: str) -> None:
    """Every migration can be taken back and made again."""
    upgrade(empty_url)

    downgrade(empty_url, "base")

    engine = make_engine(empty_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
    assert not is_current(empty_url)
    upgrade(empty_url)
    assert is_current(empty_url)


def test_migrating_twice_keeps_the_rows(empty_url: str) -> None:
    """A start of a new version on a current database changes nothing."""
    upgrade(empty_url)
    engine = make_engine(empty_url)
    with Session(engine) as session:
        session.add(Model(name="kept", source="/m", template="default", state=ModelState.READY))
        session.commit()

    upgrade(empty_url)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT name, state FROM model")).one() == ("kept", "ready")
    engine.dispose()


def test_runs_of_before_keep_their_saved_sets(empty_url: str) -> None:
    """What the recipes of an earlier version name is in the table that says which runs use a set."""
    upgrade(empty_url, "0004")
    files = [{"dataset": "x", "sha256": sha256} for sha256 in ("a" * 64, "b" * 64, "a" * 64)]
    recipes: list[dict[str, Any]] = [{}, {"mix": {}}, {"mix": {"files": files}}, {"mix": {"files": files[:1]}}]
    engine, tables = make_engine(empty_url), MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        made = Model(name="m", source="/m", template="default").model_dump(exclude={"id"})
        connection.execute(tables.tables["model"].insert().values(made))
        for recipe in recipes:
            run = Run(name="r", model_id=1, recipe=recipe).model_dump(exclude={"id"})
            known = {name: value for name, value in run.items() if name in tables.tables["run"].columns}
            connection.execute(tables.tables["run"].insert().values(known))

    upgrade(empty_url)

    with Session(engine) as session:
        uses = session.exec(select(RunDataset.run_id, RunDataset.sha256)).all()
    engine.dispose()
    assert sorted(uses) == [(3, "a" * 64), (3, "b" * 64), (4, "a" * 64)]


def test_two_starts_at_once_migrate_once(empty_url: str) -> None:
    """A web server and a worker that start together do not both make the tables."""
    start = "import sys; from app.domain.migrate import upgrade; upgrade(sys.argv[1])"

    starts = [subprocess.Popen([sys.executable, "-c", start, empty_url]) for _ in range(2)]

    assert [process.wait(30) for process in starts] == [0, 0]
    assert is_current(empty_url)


def test_a_large_model_has_room(empty_url: str) -> None:
    """Sizes of more than 2 GiB and parameters of more than 2 billion are stored on both databases."""
    upgrade(empty_url)
    engine = make_engine(empty_url)

    with Session(engine) as session:
        session.add(Model(name="large", source="/m", template="default", parameters=70 * 10**9, size_bytes=140 << 30))
        session.commit()

    with engine.connect() as connection:
        stored = connection.execute(text("SELECT parameters, size_bytes FROM model")).one()
    engine.dispose()
    assert stored == (70 * 10**9, 140 << 30)
