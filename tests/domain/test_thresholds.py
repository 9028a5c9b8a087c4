"""What verdicts are held against: read, changed, refused and put back."""

from threading import Barrier, Thread

import pytest
from sqlmodel import Session, select

from app.domain import db
from app.domain.errors import InvalidError
from app.domain.models import ThresholdSetting
from app.domain.thresholds import DEFAULTS, Thresholds, change_thresholds, read_thresholds


def test_nobody_has_changed_anything_at_first(session: Session) -> None:
    """The defaults are in force, and nothing is stored."""
    assert read_thresholds(session) == DEFAULTS
    assert session.exec(select(ThresholdSetting)).all() == []


def test_only_what_differs_is_stored(session: Session) -> None:
    """A value that is the default leaves no row; one that is not named goes back to its default."""
    change_thresholds(session, {"leak_share": 0.6, "long_run": 20, "identity_hit": 0.75})
    limits = change_thresholds(session, {"leak_share": "0.7"})

    assert (limits.leak_share, limits.long_run) == (0.7, 12.0)
    assert [(row.name, row.value) for row in session.exec(select(ThresholdSetting))] == [("leak_share", 0.7)]
    assert change_thresholds(session, {}) == DEFAULTS


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"leak_share": 0.1}, "leak_share"),
        ({"learnt_share": 0}, "learnt_share"),
        ({"long_run": "many"}, "long_run"),
        ({"parrot_share": "nan"}, "parrot_share"),
        ({"leek_share": 0.5}, "leek_share"),
    ],
)
def test_what_is_out_of_bounds_is_refused(session: Session, changes: dict[str, object], field: str) -> None:
    """The field is named, and nothing changes."""
    with pytest.raises(InvalidError) as caught:
        change_thresholds(session, changes)

    assert [error.field for error in caught.value.fields] == [field]
    assert read_thresholds(session) == DEFAULTS


def test_two_admins_at_once_both_succeed(database_url: str, session: Session) -> None:
    """Neither fails because the other was first to name a threshold."""
    together, failures = Barrier(2), list[Exception]()
    wanted = [{"leak_share": 0.6, "collapse": 0.1}, {"leak_share": 0.7, "long_run": 20.0}]

    def change(changes: dict[str, float]) -> None:
        together.wait()
        try:
            for _ in range(4):
                with db.unit_of_work() as work:
                    change_thresholds(work, changes)
                with db.unit_of_work() as work:
                    change_thresholds(work, {})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
            failures.append(error)

    threads = [Thread(target=change, args=(changes,)) for changes in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_stored_value_that_no_longer_fits_counts_as_not_there(session: Session) -> None:
    """Neither a threshold of another version nor one out of today's bounds keeps a page from opening."""
    session.add_all([ThresholdSetting(name="leak_share", value=7.0), ThresholdSetting(name="gone", value=1.0)])
    session.add(ThresholdSetting(name="long_run", value=30.0))
    session.flush()

    assert read_thresholds(session) == Thresholds(long_run=30.0)


def test_the_same_values_are_the_same_object(session: Session) -> None:
    """What is remembered of an answer is found again after every request."""
    change_thresholds(session, {"leak_share": 0.6})

    assert read_thresholds(session) is read_thresholds(session)
