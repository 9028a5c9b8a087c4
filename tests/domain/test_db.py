"""The unit of work: all of it is kept, or nothing."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from app.domain import db
from app.domain.models import Model, Run
from tests.factories import make_model, make_run


def test_leaving_a_unit_of_work_commits_it(database_url: str, session: Session) -> None:
    """Another connection sees the row."""
    with db.unit_of_work() as work:
        make_row(work, "kept")

    assert session.exec(select(Model.name)).all() == ["kept"]


def test_an_error_takes_everything_back(database_url: str, session: Session) -> None:
    """Half of a request is never stored."""
    with pytest.raises(ZeroDivisionError), db.unit_of_work() as work:
        make_row(work, "lost")
        raise ZeroDivisionError

    assert session.exec(select(Model)).all() == []


def test_two_writers_wait_for_each_other(database_url: str, session: Session) -> None:
    """Writers that read first and write later both succeed: neither fails with a locked database."""
    run_id = make_run(session).id
    together, failures = Barrier(4), list[Exception]()

    def count_up() -> None:
        together.wait()
        try:
            for _ in range(5):
                with db.unit_of_work() as work:
                    found = work.exec(select(Run).where(Run.id == run_id).with_for_update()).one()
                    found.iteration += 1
                    work.add(found)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
            failures.append(error)

    threads = [Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    session.expire_all()
    assert failures == []
    assert session.get_one(Run, run_id).iteration == 20


def test_a_reader_does_not_wait_for_a_writer(database_url: str, session: Session) -> None:
    """A page answers, with the state before, while a writer holds its lock."""
    make_model(session, name="before")

    with db.unit_of_work() as work:
        make_row(work, "during")
        work.flush()
        with db.reading() as reader:
            names = reader.exec(select(Model.name)).all()

    assert names == ["before"]


def test_times_keep_their_zone(session: Session) -> None:
    """A time that was stored comes back aware, in UTC, on both databases."""
    run = make_run(session)
    session.expire_all()

    offset = run.created_at.utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0


def test_a_state_is_stored_as_its_word(session: Session) -> None:
    """What a person reads in the database is what the API says."""
    make_run(session)

    assert session.connection().execute(text("SELECT state FROM run")).scalar_one() == "queued"


def test_a_row_cannot_refer_to_nothing(session: Session) -> None:
    """SQLite checks foreign keys too."""
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError), db.unit_of_work() as work:
        work.add(Run(name="orphan", model_id=999, recipe={}))


def make_row(work: Session, name: str) -> None:
    """Add a model without committing it."""
    work.add(Model(name=name, source="/m", template="default"))
