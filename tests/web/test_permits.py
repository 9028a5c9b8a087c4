"""What lasts longer than a request ends soon after its login does."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts, users
from app.domain.accounts import Caller, CredentialKind
from app.domain.models import Role, RunState
from app.web import event_streams, permits
from app.web.permits import CHECK_SECONDS, Permit
from tests.conftest import log_in, run_apart
from tests.factories import make_run

HOUR = timedelta(hours=1)


def caller_of(session: Session, lifetime: timedelta = HOUR) -> Caller:
    """Return a user who is logged in."""
    user = accounts.add_user(session, "bea", role=Role.VIEWER)
    secret = accounts.log_in(session, user, lifetime=HOUR)
    session.commit()
    caller = accounts.find_caller(session, CredentialKind.SESSION, secret)
    assert caller is not None
    return caller


def end_it(session: Session, caller: Caller, how: str) -> None:
    """End a login in one of the ways that logins end."""
    if how == "revoked":
        accounts.log_out(session, caller)
    elif how == "expired":
        accounts.renew_login(session, caller.credential_id, lifetime=-HOUR)
    else:
        users.disable_user(session, caller.user_id)
    session.commit()


@pytest.mark.parametrize("how", ["revoked", "expired", "disabled"])
def test_a_permit_ends_within_a_minute(session: Session, how: str) -> None:
    """It is looked up every so often, well within the minute that is promised."""
    now = [0.0]
    caller = caller_of(session)
    permit = Permit(caller.credential_id, clock=lambda: now[0])

    now[0] = CHECK_SECONDS
    assert run_apart(permit.holds())
    end_it(session, caller, how)
    now[0] += CHECK_SECONDS - 1
    assert run_apart(permit.holds())  # not looked up yet
    now[0] += 1
    assert not run_apart(permit.holds())
    assert CHECK_SECONDS + event_streams.LOOK_SECONDS < 60


def test_a_stream_ends_with_its_login(client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on sends nothing more to who was logged out meanwhile; the browser is asked to log in again."""
    run = make_run(session, state=RunState.RUNNING)
    monkeypatch.setattr(permits, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(event_streams, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(Permit, "_look", lambda _: False)

    reply = client.get(f"/runs/{run.id}/events")

    assert reply.status_code == 200
    assert "event: end" not in reply.text
    log_in(session)
