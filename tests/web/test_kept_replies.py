"""Small answers that are kept: sent again while they would be the same, and not once after a change."""

import asyncio
import sqlite3
from collections.abc import Callable
from math import inf

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, create_engine, update
from starlette.types import Message, Receive, Scope, Send

from app.api import runs as api_runs
from app.api.run_replies import run_detail
from app.config import settings
from app.domain import accounts, db
from app.domain.models import Run, RunState
from app.domain.presence import WorkerPresence
from app.domain.reads import Reads
from app.domain.runs import id_of
from app.web import limits, workers
from app.web.kept_replies import KeptReplies
from app.web.render import environment
from tests.conftest import forget_settings, run_apart
from tests.factories import make_checkpoint, make_metrics, make_run

KEPT = (
    "/api/v1/runs",
    "/api/v1/runs?state=running&limit=10",
    "/api/v1/runs/{id}",
    "/api/v1/runs/{id}/checkpoints",
    "/api/v1/runs/{id}/metrics",
)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the runs that the API puts together, as it does."""
    found: list[int] = []

    def detail(session: Session, run: Run) -> object:
        found.append(id_of(run))
        return run_detail(session, run)

    monkeypatch.setattr(api_runs, "run_detail", detail)
    return found


def elsewhere(run: Run, **values: object) -> None:
    """Change a run as another process does: on a connection that this one does not see."""
    engine = create_engine(settings().database)
    with engine.begin() as connection:
        connection.execute(update(Run).where(col(Run.id) == run.id).values(**values))
    engine.dispose()


def test_an_answer_is_made_once_while_nothing_changes(api: TestClient, session: Session, looked_up: list[int]) -> None:
    """The second caller gets the same words and the same tag without the work."""
    run = make_run(session)

    first, second = (api.get(f"/api/v1/runs/{run.id}") for _ in range(2))

    assert looked_up == [run.id]
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"]


def test_a_commit_that_does_not_matter_makes_nothing_anew(
    api: TestClient, session: Session, looked_up: list[int]
) -> None:
    """While one run trains, what is kept of another one stays."""
    still, other = make_run(session, state=RunState.FINISHED), make_run(session, state=RunState.RUNNING)
    api.get(f"/api/v1/runs/{still.id}")

    elsewhere(other, iteration=7)
    reply = api.get(f"/api/v1/runs/{still.id}")

    assert reply.json()["id"] == still.id
    assert looked_up == [still.id]


def lose(_session: Session, run: Run) -> None:
    elsewhere(run, loss=0.125, name="renamed")


def measure(session: Session, run: Run) -> None:
    make_metrics(session, run, iterations=range(50, 53))


def save(session: Session, run: Run) -> None:
    make_checkpoint(session, run, iteration=55)


@pytest.mark.parametrize(
    ("path", "change"), [*((path, lose) for path in KEPT[:3]), (KEPT[3], save), (KEPT[4], measure)]
)
def test_no_answer_is_older_than_a_change(
    api: TestClient, session: Session, path: str, change: Callable[[Session, Run], None]
) -> None:
    """What a worker has committed is in the very next answer, which has another tag."""
    run = make_run(session, state=RunState.RUNNING)
    address = path.format(id=run.id)
    before = [api.get(address) for _ in range(2)]

    change(session, run)
    after = api.get(address)

    assert before[0].text == before[1].text != after.text
    assert before[0].headers["etag"] != after.headers["etag"]


@pytest.mark.parametrize("path", KEPT)
def test_who_names_the_tag_is_told_that_nothing_changed(api: TestClient, session: Session, path: str) -> None:
    """From what is kept, too, a known tag brings a 304 without a body, and any other one the answer."""
    address = path.format(id=make_run(session, state=RunState.RUNNING).id)
    tag = [api.get(address).headers["etag"] for _ in range(2)][1]

    same = [api.get(address, headers={"If-None-Match": named}) for named in (tag, f'"x", W/{tag}', "*")]
    other = api.get(address, headers={"If-None-Match": '"another"'})

    assert [(reply.status_code, reply.content) for reply in same] == [(304, b"")] * 3
    assert other.status_code == 200


def test_each_form_is_kept_apart(api: TestClient, session: Session) -> None:
    """Rows for a stream, a page of another size and another type are no copies of each other."""
    for _ in range(3):
        make_run(session)

    for _ in range(2):
        whole = api.get("/api/v1/runs")
        lines = api.get("/api/v1/runs", headers={"Accept": "application/x-ndjson"})
        short = api.get("/api/v1/runs?limit=1")
        no_such = api.get("/api/v1/runs", headers={"Accept": "image/png"})

        assert len(whole.json()["runs"]) == len(lines.text.splitlines()) == 3
        assert len(short.json()["runs"]) == 1
        assert no_such.status_code == 406


def test_what_is_not_fine_is_not_kept(api: TestClient, session: Session) -> None:
    """A run that was not there a moment ago is there now."""
    missing = api.get("/api/v1/runs/1")
    run = make_run(session)

    assert missing.status_code == 404
    assert api.get(f"/api/v1/runs/{id_of(run)}").status_code == 200


def test_the_way_in_is_for_strangers(client: TestClient) -> None:
    """The login page is kept for those who are not in; who is goes on as ever."""
    stranger = TestClient(client.app, base_url=str(client.base_url))
    strangers = [stranger.get("/login") for _ in range(2)]
    known = client.get("/login", follow_redirects=False)

    assert [reply.status_code for reply in strangers] == [200, 200]
    assert "set-cookie" not in strangers[1].headers
    assert (known.status_code, known.headers["location"]) == (303, "/runs")


def test_while_the_database_is_away_one_is_told_so(anonymous: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that may be kept says it as every other one does."""
    monkeypatch.setenv("TEMPER_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    forget_settings()

    replies = [anonymous.get(path) for path in ("/login", "/login?next=/runs")]

    assert [reply.status_code for reply in replies] == [503, 503]
    assert "The database does not answer" in replies[0].text


FAILURES = {
    "no-version": (db, "data_version"),
    "no-seal": (Reads, "seal"),
    "no-look": (Reads, "hold"),
}


@pytest.mark.parametrize("failing", FAILURES)
@pytest.mark.parametrize(
    "error", [DBAPIError("SELECT", {}, Exception("gone")), sqlite3.OperationalError("gone")], ids=["library", "driver"]
)
def test_an_answer_does_not_fail_with_the_look_whether_it_is_kept(
    anonymous: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, *, failing: str, error: Exception
) -> None:
    """Where the database fails at that, the app answers as if nothing were kept."""
    before = anonymous.get("/login")
    accounts.set_password(session, accounts.first_admin(session), "correct horse battery")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(*FAILURES[failing], fail)
    after = [anonymous.get("/login") for _ in range(2)]

    assert "password" not in before.text
    assert [(reply.status_code, 'type="password"' in reply.text) for reply in after] == [(200, True)] * 2


def test_each_language_has_its_own(anonymous: TestClient) -> None:
    """A page that was made for one reader is not sent to one of another language."""
    english, chinese, again = (
        anonymous.get("/login", headers={"Accept-Language": language}).text for language in ("en", "zh", "en")
    )

    assert english == again != chinese
    assert "登录" in chinese


def test_a_client_that_does_not_read_keeps_nobody_waiting(session: Session) -> None:
    """While one answer that is not kept is stuck on its way, others get theirs."""

    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(replies: KeptReplies, sent: list[Message], *, is_read: asyncio.Event) -> None:
        async def send(message: Message) -> None:
            await is_read.wait()
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/api/v1/runs", "query_string": b"", "headers": []}
        await replies(scope | {"state": {"user": None}}, lambda: asyncio.sleep(0), send)  # type: ignore[arg-type,return-value]

    async def both() -> tuple[int, int]:
        replies, unread, read = KeptReplies(refuse), asyncio.Event(), asyncio.Event()
        read.set()
        stuck: list[Message] = []
        answered: list[Message] = []
        task = asyncio.create_task(ask(replies, stuck, is_read=unread))
        await asyncio.sleep(0)
        await asyncio.wait_for(ask(replies, answered, is_read=read), 30)
        seen = len(stuck), len(answered)
        unread.set()
        await task
        return seen

    assert run_apart(both()) == (0, 2)


def test_a_line_that_was_made_of_other_workers_is_not_kept(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis that does not answer once, right before the line is written, leaves no wrong line behind."""
    here = [WorkerPresence(name="w", device="CPU", slots=1, seen=0.0)]
    monkeypatch.setattr(workers._memory, "workers", here)
    monkeypatch.setattr(workers._memory, "looked_at", inf)
    shown = workers.workers_line

    def lose() -> workers.WorkersLine:
        workers._memory.workers = []
        return shown()

    monkeypatch.setitem(environment().globals, "workers_line", lose)
    lost = client.get("/workers").text
    monkeypatch.setitem(environment().globals, "workers_line", shown)
    workers._memory.workers = here

    assert "no worker" in lost
    assert "1 worker" in client.get("/workers").text


def test_looking_again_counts_like_any_request(api: TestClient, session: Session) -> None:
    """Who has as many requests under way as one may is told 429 where the database would have to be looked at."""
    run = make_run(session, state=RunState.FINISHED)
    api.get(f"/api/v1/runs/{run.id}")
    user_id, most = accounts.first_admin(session).id or 0, settings().requests_per_user
    elsewhere(run, loss=0.5)

    limits.requests.taken_by[user_id] = most
    full = api.get(f"/api/v1/runs/{run.id}")
    del limits.requests.taken_by[user_id]

    assert full.status_code == 429
    assert api.get(f"/api/v1/runs/{run.id}").json()["loss"] == 0.5
