"""The audit log: no request that is not safe goes without an entry, and its page finds them."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.domain import accounts, audit
from app.domain.audit_models import AuditEntry, Means, Outcome
from app.domain.models import Role
from app.main import create_app
from app.web import audit_trail
from app.web.audit_trail import STRANGERS_A_MINUTE, UNCHANGING, Allowance, action_of
from app.web.callers import SAFE_METHODS
from app.web.deps import write_session
from app.web.security import Door
from tests.factories import make_recipe_data, make_run

HERE = {"Sec-Fetch-Site": "same-origin"}


def unsafe_routes(app: FastAPI) -> Iterator[tuple[str, str, Any]]:
    """Yield the method, the path and the route of everything that might change something."""
    for route in iter_route_contexts(app.routes):
        for method in sorted(set(route.methods or ()) - SAFE_METHODS):
            yield method, str(route.path), route


def entries(session: Session) -> list[AuditEntry]:
    """Return the log, the newest entry last."""
    session.expire_all()
    return list(session.exec(select(AuditEntry).order_by(col(AuditEntry.id))))


def last(session: Session) -> AuditEntry:
    """Return the newest entry."""
    return entries(session)[-1]


def test_every_unsafe_route_leaves_an_entry(client: TestClient, session: Session) -> None:
    """Whatever is asked of whichever route, made or refused, is in the log, but for the written list."""
    assert isinstance(client.app, FastAPI)
    token = accounts.create_token(session, accounts.first_admin(session), name="t")
    session.commit()
    cookies = dict(client.cookies)
    missing = []

    asked = list(unsafe_routes(client.app))
    for method, path, route in asked:
        before = len(entries(session))
        headers = {"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {}
        reply = client.request(method, re.sub(r"\{\w+\}", "1", path), headers=headers)
        client.cookies.update(cookies)  # logging out is among them
        found = entries(session)[before:]
        if route.name not in UNCHANGING and [each.action for each in found] != [action_of(str(route.name))]:
            missing.append((method, path, reply.status_code, found))

    assert len(asked) > 60
    assert missing == []


def depends_on(dependant: Dependant, call: object) -> bool:
    """Whether a route asks for something, directly or through what it asks for."""
    return dependant.call is call or any(depends_on(each, call) for each in dependant.dependencies)


def test_what_leaves_no_entry_takes_no_session_that_writes() -> None:
    """The written list holds nothing that could change a row through its session, and nothing that is gone."""
    routes = {str(route.name): route for _, _, route in unsafe_routes(create_app())}

    assert routes.keys() >= UNCHANGING
    assert [name for name in UNCHANGING if depends_on(routes[name].dependant, write_session)] == []


def test_every_command_that_writes_leaves_an_entry() -> None:
    """No command, and nothing that starts the server, opens a unit of work but through the log."""
    from tests.settings_page import ROOT

    writing = [
        str(path.relative_to(ROOT))
        for path in [*(ROOT / "app" / "cli").glob("*.py"), *(ROOT / "app").glob("*.py")]
        if "unit_of_work" in path.read_text("utf-8")
    ]

    assert writing == []


def test_an_entry_says_who_did_what_to_what_and_from_where(client: TestClient, session: Session) -> None:
    """A stop has its user, login, address, object with its name, and outcome."""
    run = make_run(session)

    client.post(f"/runs/{run.id}/stop")

    entry = last(session)
    admin = accounts.first_admin(session)
    assert (entry.user_id, entry.user_name, entry.means, entry.address) == (
        admin.id, "admin", Means.SESSION, "testclient")  # fmt: skip
    assert (entry.action, entry.object_kind, entry.object_id) == ("run.stop", "run", str(run.id))
    assert (entry.outcome, entry.details["name"]) == (Outcome.DONE, run.name)
    assert entry.credential_id is not None


def test_the_page_says_which_token_it_was(client: TestClient, api: TestClient, session: Session) -> None:
    """By its number, under which its making is entered too."""
    run = make_run(session)

    api.post(f"/api/v1/runs/{run.id}/stop")

    used = f"token {last(session).credential_id}, testclient"
    del api.headers["Authorization"]
    assert used in " ".join(client.get("/audit").text.split())


def test_a_page_and_the_api_call_a_change_the_same(client: TestClient, api: TestClient, session: Session) -> None:
    """Whoever looks for `run.stop` finds both."""
    run = make_run(session)

    client.post(f"/runs/{run.id}/stop")
    api.post(f"/api/v1/runs/{run.id}/stop")

    assert [(each.action, each.means) for each in entries(session)] == [
        ("run.stop", Means.SESSION), ("run.stop", Means.TOKEN)]  # fmt: skip


def test_what_is_made_is_named_though_no_path_names_it(api: TestClient, session: Session) -> None:
    """A run's id and name come from where it is made."""
    make_run(session)

    made = api.post("/api/v1/runs", json=make_recipe_data(name="named"))

    entry = last(session)
    assert (entry.action, entry.object_kind, entry.object_id) == ("run.create", "run", str(made.json()["id"]))
    assert entry.details["name"] == "named"


def test_thresholds_are_entered_before_and_after(api: TestClient, session: Session) -> None:
    """Only what differs is named."""
    api.put("/api/v1/verdicts", json={"parrot_share": 0.25})

    assert last(session).details == {"parrot_share": {"before": 0.5, "after": 0.25}}


@pytest.mark.parametrize(
    "asked",
    [
        "POST /runs/999/stop same-origin 404",
        "POST /runs/1/stop cross-site 403",
        "POST /nothing same-origin 404",
        "DELETE /runs same-origin 405",
        "POST /users cross-site 403",
    ],
)
def test_what_is_refused_is_entered(client: TestClient, session: Session, asked: str) -> None:
    """A change of what is not there, or from another site, is in the log with its user."""
    method, path, site, status = asked.split()

    reply = client.request(method, path, headers={"Sec-Fetch-Site": site})

    entry = last(session)
    assert (reply.status_code, entry.status, entry.outcome) == (int(status), int(status), Outcome.REFUSED)
    assert entry.user_name == "admin"


def test_a_role_that_is_too_low_is_entered_with_its_reason(anonymous: TestClient, session: Session) -> None:
    """Who tried what they may not is seen."""
    token = accounts.create_token(session, accounts.add_user(session, "vera", role=Role.VIEWER), name="t")
    session.commit()

    anonymous.post("/api/v1/runs", headers={"Authorization": f"Bearer {token}"}, json={})

    entry = last(session)
    assert (entry.user_name, entry.action, entry.status) == ("vera", "run.create", 403)
    assert "takes runner" in entry.details["reason"]


def test_a_stranger_s_change_is_refused_though_it_is_answered_with_a_redirect(
    anonymous: TestClient, session: Session
) -> None:
    """What leads to the login page has not been done."""
    assert anonymous.post("/runs/1/stop").status_code == 303

    entry = last(session)
    assert (entry.user_name, entry.means, entry.outcome) == ("", Means.NOTHING, Outcome.REFUSED)


def test_no_secret_gets_into_the_log(anonymous: TestClient, session: Session) -> None:
    """Neither a link's code, nor a password, nor what is typed as a name that nobody has."""
    admin = accounts.first_admin(session)
    accounts.set_password(session, admin, "correct horse battery")
    code = accounts.make_login_link(session, admin, lifetime=timedelta(hours=1))
    session.commit()

    anonymous.post(f"/login/{code}x", headers=HERE)
    anonymous.post(f"/login/{code}/more", headers=HERE)
    anonymous.post(f"/login/{code}", headers=HERE)
    anonymous.post("/login", headers=HERE, data={"name": "hunter2 hunter2", "password": "wrong wrong"})
    anonymous.post("/login", headers=HERE, data={"name": "admin", "password": "correct horse battery"})

    found = entries(session)
    text = " ".join(str(each.model_dump()) for each in found)
    assert [each.outcome for each in found] == ["refused", "refused", "done", "refused", "done"]
    assert [each.means for each in found] == ["nothing", "nothing", "link", "session", "password"]
    assert all(secret not in text for secret in (code, "hunter2", "correct horse", "wrong wrong"))


def test_strangers_fill_no_disk() -> None:
    """Of one action so many a minute are entered; the next entry says how many were left out."""
    now = [0.0]
    allowance = Allowance(clock=lambda: now[0])

    taken = [allowance.take() for _ in range(STRANGERS_A_MINUTE + 3)]
    now[0] = 60.0

    assert taken == [0] * STRANGERS_A_MINUTE + [None] * 3
    assert allowance.take() == 3
    assert allowance.take() == 0


def test_a_database_that_does_not_take_an_entry_is_told_in_the_log(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer stands, and the server's log holds the entry."""
    from sqlalchemy.exc import OperationalError

    def refuse(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk full"))

    run = make_run(session)
    monkeypatch.setattr(audit, "enter", refuse)

    reply = client.post(f"/runs/{run.id}/stop")

    assert reply.status_code == 303
    assert '"action": "run.stop"' in caplog.text


# ── The page ───────────────────────────────────────────────────────────────


def rows(reply: Any) -> list[str]:
    """Return the actions of the entries that a page shows."""
    return [each.text for each in BeautifulSoup(reply.text, "html.parser").select("#audit-entries tbody code")]


def test_who_waited_for_the_database_does_not_wait_for_the_entry_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that says that the database does not answer is out before its entry is tried; any other is after."""
    order: list[str] = []
    monkeypatch.setattr(audit_trail, "enter", lambda *_: order.append("entry"))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("so", status_code=int(scope["path"][-3:]))(scope, receive, send)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            order.append(message["type"])
            await send(message)

        await Door(answer)(scope, receive, told)

    for status in (503, 400):
        TestClient(watched, base_url="http://localhost").post(f"/static/{status}", headers=HERE)

    head, body = "http.response.start", "http.response.body"
    assert order == [head, body, "entry", "entry", head, body]


def test_the_page_is_searched(client: TestClient, session: Session) -> None:
    """Words, user, action, object, outcome and dates each narrow it, and together."""
    run = make_run(session)
    run.name = "zebra"
    session.commit()
    client.post(f"/runs/{run.id}/stop")
    client.post("/runs/999/resume")

    assert rows(client.get("/audit")) == ["run.resume", "run.stop"]
    assert rows(client.get("/audit?q=ZEB+admin")) == ["run.stop"]
    assert rows(client.get("/audit?action=run&outcome=refused")) == ["run.resume"]
    assert rows(client.get(f"/audit?about=run+{run.id}")) == ["run.stop"]
    assert rows(client.get("/audit?user=nobody")) == []
    assert rows(client.get("/audit?since=2020-01-01&until=9999-12-31")) == ["run.resume", "run.stop"]
    assert rows(client.get("/audit?until=2020-01-01")) == []
    assert "No entry fits" in client.get("/audit?until=2020-01-01").text


def test_reading_on_is_not_moved_by_what_comes_in(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second page begins where the first ended, though there are new entries."""
    monkeypatch.setattr("app.web.audit.PAGE_SIZE", 2)
    for number in range(1, 6):
        client.post(f"/runs/{number}/stop")

    older = BeautifulSoup(client.get("/audit?action=run.stop").text, "html.parser").select_one("[rel=next]")
    client.post("/runs/6/stop")

    assert older is not None
    second = BeautifulSoup(client.get(str(older["href"])).text, "html.parser").select("#audit-entries tbody a")
    assert [each.text for each in second] == ["run 3", "run 2"]


@pytest.mark.parametrize("path", ["/audit", "/users", "/api/v1/audit", "/api/v1/users", "/api/v1/users/1"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUNNER])
def test_only_admins_read_it(client: TestClient, session: Session, path: str, role: Role) -> None:
    """Neither the log nor the users are for others."""
    accounts.first_admin(session).role = role
    session.commit()

    assert client.get(path).status_code == 403
    assert '"/audit"' not in client.get("/runs").text


@pytest.mark.parametrize("moment", ["0.5", "1700000000", "now"])
def test_a_moment_begins_with_a_date(api: TestClient, moment: str) -> None:
    """A bare number is no moment: nobody means 1970 by it."""
    refused = api.get("/api/v1/audit", params={"until": moment})

    assert (refused.status_code, api.get("/api/v1/audit?until=2026-01-31").status_code) == (422, 200)
    assert "until" in refused.text


@pytest.mark.parametrize(
    ("path", "data", "status", "reason"),
    [
        ("/account/tokens", {"name": ""}, 422, "a field needs another value"),
        ("/users/999/disable", {}, 404, "There is no user 999."),
        ("/nothing/here", {}, 404, "there is nothing here"),
        ("/audit", {}, 405, "this address takes other methods"),
    ],
)
def test_what_is_refused_has_its_reason(
    client: TestClient, session: Session, *, path: str, data: dict[str, str], status: int, reason: str
) -> None:
    """In the words of whatever refused it, or in those of its status."""
    reply = client.post(path, data=data)

    entry = entries(session)[-1]
    assert (reply.status_code, entry.outcome) == (status, Outcome.REFUSED)
    assert entry.details["reason"] == reason
