"""
Everything `temper up` runs: a Redis of its own, the web server and one worker, as child processes.

They live and die with the one that started them: it ends them when it is asked to end, and the
kernel does when it is killed. One home holds one of these at a time.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType

from app.config import settings
from app.domain import accounts, audit, db, tokens
from app.domain.accounts import CredentialKind
from app.domain.home import HomeInUseError, home_to_itself
from app.parts import Keeper, Part, ServerError, end_parts, start_redis, start_web, start_worker
from app.serve import check_host, listen, url_of

START_SECONDS = 60.0  # a slow disk; on a quick one it is 3
TICK_SECONDS = 0.1
TOKEN_NAME = "temper command on this machine"  # noqa: S105 - a name


@dataclass
class Server:
    """A running Temper."""

    url: str
    token: str
    keepers: list[Keeper] = field(default_factory=list)

    def keep(self, start: Callable[[], Part]) -> None:
        """Start a part, and start it again when it ends by itself."""
        self.keepers.append(Keeper(start, start()))

    def check(self) -> None:
        """Start what has ended anew; raise ServerError when a part ends again and again."""
        for keeper in self.keepers:
            keeper.check()

    def end(self) -> None:
        """End every part."""
        end_parts([keeper.part for keeper in self.keepers])

    def wait(self) -> None:
        """Wait, and keep all parts going."""
        while True:
            self.check()
            time.sleep(TICK_SECONDS)


def make_login_url(url: str, *, user: str = "", next_path: str = "") -> str:
    """Return an address that lets somebody in once."""
    lifetime = timedelta(minutes=settings().login_link_minutes)
    with audit.changing("user.link") as session:
        person = accounts.find_user(session, user) if user else accounts.first_admin(session)
        audit.note("user", person.id, name=person.name)
        code = accounts.make_login_link(session, person, lifetime=lifetime)
    return f"{url}/login/{code}" + (f"?next={next_path}" if next_path else "")


# ── Starting and ending ────────────────────────────────────────────────────


@contextmanager
def running() -> Iterator[Server]:
    """
    Run Temper while the context lasts.

    Raises:
        ServerError: another one runs in this home, the port is taken, or a part did not start.
        OpenDoorError: other machines could come in without a password.
    """
    prepare_home()
    with ExitStack() as stack:
        stack.enter_context(_only_one())
        check_host()
        listener = stack.enter_context(_listening())
        server = Server(url=url_of(listener), token="")
        stack.callback(server.end)
        server.keep(lambda: start_web(listener))  # first, since it takes longest; nobody knows its address yet
        if not settings().redis_url:
            server.keep(start_redis)
        _migrate()
        server.token = _command_token()
        server.keep(start_worker)
        stack.enter_context(_announced(server))
        _wait_until_ready(server)
        yield server


def prepare_home() -> None:
    """Make the folder that holds everything; nobody else may look into it."""
    settings().home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings().home / "logs").mkdir(exist_ok=True)
    settings().models_folder.mkdir(exist_ok=True)
    settings().runs_folder.mkdir(exist_ok=True)


@contextmanager
def _only_one() -> Iterator[None]:
    """Refuse a second start in the same home."""
    try:
        with home_to_itself():
            yield
    except HomeInUseError as error:
        raise ServerError(str(error)) from None


@contextmanager
def _listening() -> Iterator[socket.socket]:
    try:
        listener = listen()
    except OSError as error:
        where = f"{settings().host}:{settings().port}"
        raise ServerError(f"Cannot listen on {where}: {error.strerror}. Set TEMPER_PORT to a free port.") from error
    with listener:
        yield listener


def _migrate() -> None:
    from app.domain.upgrades import UpgradeError, upgrade_database  # noqa: PLC0415 - alembic loads while Redis starts

    try:
        upgrade_database()
    except UpgradeError as error:
        raise ServerError(str(error)) from error


@contextmanager
def _announced(server: Server) -> Iterator[None]:
    """Leave the address and the token where the `temper` command finds them."""
    write_private(settings().home / "token", server.token)
    write_private(settings().home / "url", server.url)
    try:
        yield
    finally:
        (settings().home / "url").unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _command_token() -> str:
    """Return the token of the `temper` command; the one in the home as long as it is good."""
    path = settings().home / "token"
    with db.reading() as session:
        known = path.read_text("utf-8").strip() if path.exists() else ""
        if known and accounts.find_caller(session, CredentialKind.TOKEN, known):
            return known
    with audit.changing("token.create") as session:
        return tokens.issue_token(session, accounts.first_admin(session), name=TOKEN_NAME).secret


def _wait_until_ready(server: Server) -> None:
    from app.client import TemperClient  # noqa: PLC0415 - loads while the parts start

    deadline = time.monotonic() + START_SECONDS
    with TemperClient(server.url, server.token, timeout_seconds=5) as client:
        while not client.is_ready():
            server.check()
            if time.monotonic() > deadline:
                raise ServerError(f"The web server does not answer at {server.url}. Its log: {settings().home}/logs")
            time.sleep(0.05)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Turn the signals that ask a process to end into KeyboardInterrupt, as Ctrl-C is."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
