"""The door: nothing answers without a login but what is on the written list."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlmodel import Session, select
from starlette.routing import Mount

from app.domain import accounts
from app.domain.columns import utc_now
from app.domain.models import Credential, Role, Run
from app.main import create_app
from tests.conftest import COOKIE, forget_settings
from tests.factories import make_recipe_data, make_run

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# written a second time, on purpose
PUBLIC = {
    *("/login", "/login/{code}", "/login/oidc", "/login/oidc/callback"),
    *("/language", "/healthz", "/readyz", "/static"),
}
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def paths_of(app: FastAPI) -> Iterator[str]:
    """Return the path of every route there is."""
    for route in iter_route_contexts(app.routes):
        yield str(route.path)
    for mounted in app.routes:
        if isinstance(mounted, Mount):
            yield mounted.path


def test_every_route_is_closed(anonymous: TestClient) -> None:
    """Without a login every route and method is a 401 or a redirect to the login page, but for the written list."""
    assert isinstance(anonymous.app, FastAPI)
    paths = set(paths_of(anonymous.app))
    assert len(paths) > 20
    assert paths >= PUBLIC

    for path in paths - PUBLIC:
        for method in METHODS:
            reply = anonymous.request(method, path.replace("{", "").replace("}", ""))
            to_login = reply.status_code == 303 and reply.headers["location"].startswith("/login")
            assert to_login or reply.status_code == 401, f"{method} {path} answers {reply.status_code}"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/.git/config", "/temper.db", "/nothing", "/login-not"])
def test_what_is_not_there_is_closed_too(anonymous: TestClient, path: str) -> None:
    """A stranger does not learn what exists."""
    assert anonymous.get(path).status_code == 303
    assert anonymous.get("/api/v1" + path).status_code == 401


@pytest.mark.parametrize(
    "path", ["/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/..%2fapp/cli.py"]
)
def test_static_files_stay_in_their_folder(anonymous: TestClient, path: str) -> None:
    """No spelling of `..` leads out of the static folder."""
    reply = anonymous.get(path)

    assert reply.status_code in {303, 404}
    assert "setuptools" not in reply.text


def test_the_login_page_knows_where_one_wanted_to_go(anonymous: TestClient) -> None:
    """The redirect carries the address, query and all."""
    reply = anonymous.get("/compare?runs=1,2")

    assert reply.headers["location"] == "/login?next=/compare%3Fruns%3D1%2C2"


def test_an_address_that_is_too_long_to_carry_is_left_out(anonymous: TestClient) -> None:
    """The login begins all the same, for a page and for a part of one."""
    long = "/runs?q=" + "x" * 2_000
    page = anonymous.get(long)
    part = anonymous.get("/runs", headers={"HX-Request": "true", "HX-Current-URL": f"http://127.0.0.1{long}"})

    assert (page.headers["location"], part.headers["hx-redirect"]) == ("/login", "/login")


def test_htmx_is_sent_to_the_login_page(anonymous: TestClient) -> None:
    """A part of a page that finds the login gone takes the whole page to the login, and back afterwards."""
    reply = anonymous.get(
        "/runs", headers={"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1/runs?state=running"}
    )

    assert reply.status_code == 401
    assert reply.headers["hx-redirect"] == "/login?next=/runs%3Fstate%3Drunning"


def test_an_address_that_cannot_be_read_leads_to_the_login_page(anonymous: TestClient) -> None:
    """What a client says of where it is may be anything."""
    reply = anonymous.get("/runs", headers={"HX-Request": "true", "HX-Current-URL": "http://["})

    assert (reply.status_code, reply.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/{id}/remove"),
        ("POST", "/checkpoints/{id}/artifacts"),
        ("GET", "/artifacts/{id}/download"),
        ("GET", "/artifacts/{id}/files/x"),
    ],
)
@pytest.mark.parametrize("number", [2**63, 10**400, -1, 0, "x"])
def test_what_is_no_id_is_not_found(client: TestClient, method: str, path: str, number: object) -> None:
    """A number that no database can look for names nothing, as an unknown one does."""
    reply = client.request(method, path.format(id=number), data={"kind": "adapter"} if method == "POST" else None)

    assert reply.status_code == 404


def test_a_stream_is_refused_as_a_stream(anonymous: TestClient) -> None:
    """An event source gets a 401 and no page."""
    reply = anonymous.get("/runs/1/events", headers={"Accept": "text/event-stream"})

    assert (reply.status_code, reply.text) == (401, "")


# ── Where a request comes from ─────────────────────────────────────────────


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]:80"]
)
@pytest.mark.parametrize("path", ["/login", "/healthz", "/api/v1/runs", "/static/app.css"])
def test_another_name_is_refused(anonymous: TestClient, host: str, path: str) -> None:
    """A request for a name that is not this server's is refused on every path."""
    assert anonymous.get(path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8321", "127.0.0.1:1", "[::1]:8321"])
def test_this_machine_s_names_are_known(anonymous: TestClient, host: str) -> None:
    """The server answers to its own names, with any port."""
    assert anonymous.get("/healthz", headers={"Host": host}).status_code == 200


STRANGERS: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {},
)


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
@pytest.mark.parametrize("method", CHANGING)
def test_another_site_changes_nothing(
    anonymous: TestClient, session: Session, method: str, headers: dict[str, str]
) -> None:
    """A change that another site asks for, or nobody says who does, is refused though the cookie is good."""
    run = make_run(session)
    login = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
    anonymous.cookies.set(COOKIE, login)

    reply = anonymous.request(method, f"/runs/{run.id}/stop", headers=headers)

    assert reply.status_code == 403
    session.refresh(run)
    assert run.stop_requested_at is None
    assert run.state == "queued"


def test_an_older_browser_s_origin_is_enough(anonymous: TestClient, session: Session) -> None:
    """A browser that sends Origin only can work."""
    login = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
    anonymous.cookies.set(COOKIE, login)

    assert anonymous.post("/logout", headers={"Origin": "http://127.0.0.1"}).headers["location"] == "/login"


def test_a_cookie_changes_nothing_through_the_api(client: TestClient, session: Session) -> None:
    """The API takes a browser's login to read, and a token to change."""
    run = make_run(session)

    assert client.get(f"/api/v1/runs/{run.id}").status_code == 200
    assert client.post(f"/api/v1/runs/{run.id}/stop").status_code == 401


def test_a_token_opens_no_page(api: TestClient) -> None:
    """A token is for the API only."""
    assert api.get("/runs").status_code == 303


def test_a_bad_token_is_not_made_good_by_a_cookie(client: TestClient) -> None:
    """Whoever sends a token is judged by it."""
    reply = client.get("/api/v1/runs", headers={"Authorization": "Bearer temper_wrong"})

    assert reply.status_code == 401
    assert "no API token of this server" in reply.text


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer \xff", "Bearer " + "x" * 5_000])
def test_odd_authorisations_are_refused(anonymous: TestClient, header: str) -> None:
    """Whatever is no token is a 401 that says what would be."""
    reply = anonymous.get("/api/v1/runs", headers={b"Authorization": header.encode("latin-1")})

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"


def test_no_other_site_may_read(api: TestClient) -> None:
    """No answer invites another origin, not even to a preflight."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    for reply in (api.get("/api/v1/runs", headers=headers), api.options("/api/v1/runs", headers=headers)):
        assert not [name for name in reply.headers if name.startswith("access-control")]


# ── Roles ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("role", "statuses"),
    [(Role.VIEWER, (200, 403, 403)), (Role.RUNNER, (200, 201, 403)), (Role.ADMIN, (200, 201, 422))],
)
def test_each_role_may_do_its_own(
    anonymous: TestClient, session: Session, role: Role, statuses: tuple[int, ...]
) -> None:
    """A viewer reads, a runner starts runs, an admin registers models."""
    make_run(session)
    user = accounts.add_user(session, "somebody", role=role)
    headers = {"Authorization": f"Bearer {accounts.create_token(session, user, name='t')}"}
    session.commit()

    replies = (
        anonymous.get("/api/v1/runs", headers=headers),
        anonymous.post("/api/v1/runs", headers=headers, json=make_recipe_data()),
        anonymous.post("/api/v1/models", headers=headers, json={"source": "/nowhere"}),
    )

    assert tuple(reply.status_code for reply in replies) == statuses
    assert len(session.exec(select(Run)).all()) == (1 if role is Role.VIEWER else 2)


def test_a_login_lasts_from_its_last_use(client: TestClient, session: Session) -> None:
    """A login that is used after an hour ends later than it would have."""
    row = session.exec(select(Credential)).one()
    row.created_at -= timedelta(hours=2)
    session.add(row)
    session.commit()

    client.get("/api/v1/runs")

    session.refresh(row)
    assert row.expires_at is not None
    assert row.expires_at > utc_now() + timedelta(days=13)


# ── What a browser may do ──────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/login", "/runs", "/nothing", "/api/v1/runs", "/healthz", "/static/app.css"])
def test_every_answer_is_hardened(client: TestClient, path: str) -> None:
    """No inline script, no frame, no guessing of types, on pages, errors, data and files."""
    headers = client.get(path).headers

    assert "script-src 'self';" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_the_policy_names_the_cdn_only_where_it_is_used(anonymous: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With assets from the CDN its host, and nothing wider, may run scripts."""
    monkeypatch.setenv("TEMPER_ASSETS", "cdn")
    forget_settings()

    assert "script-src 'self' https://cdn.jsdelivr.net;" in anonymous.get("/login").headers["content-security-policy"]


def test_an_unexpected_failure_tells_nothing(home: object, session: Session) -> None:
    """A failure inside is a 500 with headers as ever and no word of the inside."""
    app = create_app()

    @app.get("/healthz/broken")
    def broken() -> None:
        raise RuntimeError("the inside")

    token = accounts.create_token(session, accounts.first_admin(session), name="t")
    login = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
    session.commit()
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        client.cookies.set(COOKIE, login)
        reply = client.get("/healthz/broken", headers={"Authorization": f"Bearer {token}"})

    assert reply.status_code == 500
    assert "the inside" not in reply.text
    assert "Traceback" not in reply.text
    assert "content-security-policy" in reply.headers


def test_a_body_has_a_limit(api: TestClient) -> None:
    """A body that is far too large is refused before it is read."""
    reply = api.post("/api/v1/runs", content=b"x" * (33 << 20), headers={"Content-Type": "application/json"})

    assert reply.status_code == 413
    assert reply.json()["error"]["kind"] == "too_large"


def test_a_number_of_too_many_digits_is_named(api: TestClient) -> None:
    """What Python refuses to read as a number is a field that needs another value."""
    reply = api.post(
        "/api/v1/runs", content=b'{"name": ' + b"9" * 5_000 + b"}", headers={"Content-Type": "application/json"}
    )

    assert reply.status_code == 422
    assert [field["field"] for field in reply.json()["error"]["fields"]] == ["body"]


def test_a_chunked_body_has_a_limit_too(api: TestClient) -> None:
    """A body that does not say its size is cut off at the limit."""
    chunks = (b" " * (1 << 20) for _ in range(40))

    reply = api.post("/api/v1/runs", content=chunks, headers={"Content-Type": "application/json"})

    assert reply.status_code == 413
    assert reply.json()["error"]["kind"] == "too_large"


def test_the_written_list_is_short() -> None:
    """Whoever lengthens the list must lengthen it here too."""
    from app.web import security

    assert {"/login", "/language", "/healthz", "/readyz", "/favicon.ico"} == security.PUBLIC_PATHS
    assert security.PUBLIC_PREFIXES == ("/login/", "/static/")
    assert json.dumps(security.ROLES) == json.dumps(
        [
            *(
                [path, "viewer"]
                for path in (
                    "/logout",
                    "/answers",
                    "/compare/blind",
                    "/api/v1/answers",
                    "/api/v1/votes",
                    "/account",
                    "/api/v1/account",
                    "/api/v1/tokens",
                )
            ),
            *([path, "admin"] for path in ("/users", "/api/v1/users")),
            *([path, "admin"] for path in ("/models", "/api/v1/models", "/api/v1/imports")),
            *([path, "admin"] for path in ("/verdicts", "/api/v1/verdicts")),
            *([path, "admin"] for path in ("/webhooks", "/api/v1/webhooks")),
            ["/", "runner"],
        ]
    )
    assert [path for path, role in security.READ_ROLES_BELOW if role is Role.ADMIN] == [
        "/users", "/api/v1/users", "/audit", "/api/v1/audit", "/webhooks", "/api/v1/webhooks",
    ]  # fmt: skip
