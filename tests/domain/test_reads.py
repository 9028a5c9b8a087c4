"""Whether what was read would be read again: noticed for any change by anybody, and for no other one."""

from pathlib import Path

from sqlmodel import Session, select

from app.domain import db
from app.domain.models import Run, RunState
from app.domain.reads import Reads, note_file, noting
from app.domain.runs import get_run, id_of
from tests.factories import make_metrics, make_run


def names_of_running() -> tuple[list[str], Reads]:
    """Read the names of the runs that train, and note how."""
    with db.reading_one_state() as session:
        with noting() as reads:
            names = [run.name for run in session.exec(select(Run).where(Run.state == RunState.RUNNING))]
        reads.seal(session)
    return names, reads


def still_hold(reads: Reads) -> bool:
    version = db.data_version()
    with db.reading_one_state() as session:
        return reads.hold(session, version)


def test_every_commit_of_anybody_is_another_version(session: Session) -> None:
    """The version stays while nobody commits, and is new after each commit of another connection."""
    before = [db.data_version(), db.data_version()]
    run = make_run(session)
    after_one = db.data_version()
    run.loss = 1.0
    session.add(run)
    session.commit()

    assert before[0] == before[1]
    assert len({before[0], after_one, db.data_version()}) == 3


def test_reading_makes_no_version(session: Session) -> None:
    """Whoever only reads changes nothing for the others."""
    run = make_run(session)
    before = db.data_version()

    with db.reading() as other:
        get_run(other, id_of(run))

    assert db.data_version() == before


def test_an_engine_that_was_closed_counts_anew_and_never_the_same(session: Session) -> None:
    """A version from before is not met again by chance."""
    before = db.data_version()

    db.engine().dispose()

    assert db.data_version() != before or db.engine().dialect.name == "postgresql"


def test_what_was_read_holds_while_other_rows_change(session: Session) -> None:
    """A line in a ledger that nobody read changes nothing; a row that was read does, and so does a new one."""
    run = make_run(session, name="First", state=RunState.RUNNING)
    names, reads = names_of_running()

    make_metrics(session, run)
    holds_beside = still_hold(reads)
    run.name = "Renamed"
    session.add(run)
    session.commit()

    assert (names, holds_beside, still_hold(reads)) == (["First"], True, False)


def test_a_new_row_is_noticed(session: Session) -> None:
    """What a statement would find now counts, not only what it found."""
    _, reads = names_of_running()

    make_run(session, state=RunState.RUNNING)

    assert not still_hold(reads)


def test_what_changes_back_holds_again(session: Session) -> None:
    """Only what is there counts, not that it was touched."""
    run = make_run(session, name="First", state=RunState.RUNNING)
    _, reads = names_of_running()

    for name in ("Second", "First"):
        run.name = name
        session.add(run)
        session.commit()

    assert still_hold(reads)


def test_writing_is_seen(session: Session) -> None:
    """What writes is no page to keep."""
    run = make_run(session)
    with noting() as reads, db.unit_of_work() as other:
        get_run(other, id_of(run)).name = "Other"

    assert not reads.is_plain


def test_a_file_counts_by_its_time_and_size(tmp_path: Path) -> None:
    """A file that appears, grows or goes is another one."""
    path = tmp_path / "log"
    with noting() as absent:
        note_file(path)
    path.write_text("one")
    with noting() as there:
        note_file(path)
    held = there.files_hold()
    path.write_text("one and two")

    assert (absent.files_hold(), held, there.files_hold()) == (False, True, False)
