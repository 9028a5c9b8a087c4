"""The audit log: what is entered, that it only grows, and how it is searched."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from app.domain import accounts, audit, db
from app.domain.audit import before_and_after, changed_values
from app.domain.audit_models import AuditEntry, Means, Outcome
from app.domain.audit_search import AuditQuery, known_names, list_entries
from app.domain.errors import NotFoundError
from app.domain.models import Role

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def make_entry(session: Session, **values: object) -> AuditEntry:
    """Enter something."""
    said: dict[str, Any] = {"action": "run.stop", "outcome": Outcome.DONE, "user_name": "ada"}
    entry = AuditEntry(**said | values)
    audit.enter(session, entry)
    session.commit()
    return entry


def found(session: Session, **query: object) -> list[str]:
    """Return the actions of the entries that fit, the newest first."""
    return [entry.action for entry in list_entries(session, AuditQuery(**query)).entries]  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["UPDATE audit_entry SET user_name = 'eve'", "DELETE FROM audit_entry"])
def test_the_log_only_grows(session: Session, change: str) -> None:
    """The database itself refuses to change or delete an entry: by an error, or by doing nothing."""
    make_entry(session)

    refusal = pytest.raises(DBAPIError, match="the audit log only grows")
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    with refusal if is_sqlite else nullcontext():
        session.execute(text(change))
    session.rollback()

    assert [entry.user_name for entry in session.exec(select(AuditEntry))] == ["ada"]


def test_a_command_and_its_entry_are_one(session: Session) -> None:
    """What a command changes and its entry are there together, with the name of who runs it."""
    with audit.changing("user.add") as writing:
        user = accounts.add_user(writing, "bea", role=Role.VIEWER)
        audit.note("user", user.id, name="bea")

    entry = session.exec(select(AuditEntry)).one()
    assert (entry.action, entry.means, entry.outcome, entry.status) == ("user.add", Means.COMMAND, Outcome.DONE, 0)
    assert (entry.object_kind, entry.object_id, entry.details) == ("user", str(user.id), {"name": "bea"})
    assert entry.user_name
    assert entry.address


def test_a_refused_command_is_entered_and_changes_nothing(session: Session) -> None:
    """The entry says why."""
    with pytest.raises(NotFoundError), audit.changing("token.create") as writing:
        accounts.add_user(writing, "bea", role=Role.VIEWER)
        accounts.find_user(writing, "nobody")

    entry = session.exec(select(AuditEntry)).one()
    assert (entry.outcome, entry.details["reason"]) == (Outcome.REFUSED, "There is no user named “nobody”.")
    with pytest.raises(NotFoundError):
        accounts.find_user(session, "bea")


def test_the_first_object_is_the_one() -> None:
    """What a change brings along, such as the runs of a sweep, does not take its place."""
    with audit.following() as trail:
        audit.note("sweep", 3, name="a sweep")
        audit.note("run", 7, name="a run")
        audit.note("sweep", 3, at_once=before_and_after(1, 2), nothing=None)

    assert (trail.object_kind, trail.object_id) == ("sweep", "3")
    assert trail.details == {"name": "a sweep", "at_once": {"before": 1, "after": 2}}


def test_outside_of_a_request_nothing_is_noted() -> None:
    """A worker calls the same functions, and has no trail."""
    audit.note("run", 7)
    audit.note_reason("none")

    with audit.following() as trail:
        pass
    assert not trail.is_noted


def test_only_what_differs_is_a_change() -> None:
    """Values that stay are not named."""
    assert changed_values({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"b": {"before": 2, "after": 3}}


@given(
    name=st.text(max_size=300),
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_somebody_sends_can_be_entered(session: Session, name: str, value: object) -> None:
    """NUL, halves of characters and endless names are made fit on both databases."""
    entry = make_entry(session, user_name=name, object_id=name + "\x00\ud800", details={"value": value, name: name})

    session.expire_all()
    assert session.get_one(AuditEntry, entry.id).object_id.startswith(name[:100].replace("\x00", "�"))


def test_it_is_searched_by_each_of_its_parts(session: Session) -> None:
    """Words of any part, in any case and script; user, action, object, outcome and time."""
    make_entry(session, action="run.stop", object_kind="run", object_id="7", at=START, details={"name": "Größe 身份"})
    make_entry(session, action="run.create", user_name="bea", outcome=Outcome.REFUSED, at=START + timedelta(hours=1))
    make_entry(session, action="runner.odd", address="10.0.0.7", at=START + timedelta(hours=2))

    assert found(session) == ["runner.odd", "run.create", "run.stop"]
    assert found(session, words="身份 RUN.STOP") == ["run.stop"]
    assert found(session, words="10.0.0") == ["runner.odd"]
    assert found(session, words="100%_") == []
    assert found(session, user="bea") == ["run.create"]
    assert found(session, action="run") == ["run.create", "run.stop"]
    assert found(session, object_kind="run", object_id="7") == ["run.stop"]
    assert found(session, outcome=Outcome.REFUSED) == ["run.create"]
    assert found(session, since=START + timedelta(hours=1), until=START + timedelta(hours=2)) == ["run.create"]
    assert found(session, words="\x00") == found(session)
    assert found(session, user="\x00", action="\x00") == []
    assert known_names(session) == (["ada", "bea"], ["run.create", "run.stop", "runner.odd"])


def test_pages_follow_each_other_without_gap_or_double(session: Session) -> None:
    """A page names the entry that the next one goes on after; the last names none."""
    for number in range(5):
        make_entry(session, action=f"n{number}")

    first = list_entries(session, AuditQuery(), limit=2)
    second = list_entries(session, AuditQuery(), before=first.next_before, limit=2)
    third = list_entries(session, AuditQuery(), before=second.next_before, limit=2)

    assert [entry.action for page in (first, second, third) for entry in page.entries] == ["n4", "n3", "n2", "n1", "n0"]
    assert third.next_before is None


def test_entries_outlive_what_they_name(session: Session) -> None:
    """An entry of what is gone stays as it was written."""
    make_entry(session, user_id=999, object_kind="run", object_id="999")

    with db.reading() as reading:
        assert reading.exec(select(AuditEntry).where(col(AuditEntry.user_id) == 999)).one().object_id == "999"
