"""
The findings of stored datasets: searched once for each content by a child, and kept beside it.

A search goes on when nobody waits for it any more, so that a page may ask again. It dies with the
server, and is begun anew when somebody asks the next one.
"""

import fcntl
import json
import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from signal import SIGXCPU

from app.config import settings
from app.confinement import Reach, command_for
from app.domain.datasets.intake import Limits
from app.domain.datasets.isolation import PASSED_ON, SOURCE_ROOT
from app.domain.errors import ForbiddenError, TooLargeError, UnavailableError
from app.domain.findings.choices import Choice, Repaired
from app.domain.findings.index import index_path
from app.domain.findings.kinds import Findings
from app.domain.findings.taught_runs import answers_key
from app.domain.messages import message

log = logging.getLogger(__name__)

WAIT_SECONDS = 20.0  # for a search, before the asker is told to come back: a million rows are done by then
SHORT_WAIT_SECONDS = 1.0  # of a request: a small set is searched by then
WAITING_AT_ONCE = 4  # all others are told to come back at once: each that waits takes one of the server's threads
SEARCHES_AT_ONCE = 1  # each takes both cores of a small server, and gigabytes
TOO_LARGE = 3  # the child's exit status where its memory did not do
_NO_MEMORY = re.compile("allocat|MemoryError|new thread|spawn")  # Python, Rust and each library say it their own way
_turn = threading.BoundedSemaphore(SEARCHES_AT_ONCE)
_waiting = threading.BoundedSemaphore(WAITING_AT_ONCE)
_searches: dict[Path, Future[Findings]] = {}
"""By the file that each will write."""
_searches_lock = threading.Lock()


@dataclass(frozen=True)
class _Search:
    """A search of one file: what it writes, what the child is told, and how its result is read."""

    path: Path
    target: Path
    read: Callable[[], Findings | None]
    options: Sequence[str] = ()
    told: bytes = b""


def findings_path(path: Path) -> Path:
    """Return where the findings of a stored dataset are kept."""
    return path.with_suffix(".findings.json")


def known_findings(path: Path, *, source: str = "") -> Findings | None:
    """Return findings that were made by today's rules; None where there are none yet."""
    try:
        made = json.loads(findings_path(path).read_bytes())
    except (FileNotFoundError, ValueError):  # a crash may have left half a file
        return None
    found = Findings.from_json(made) if index_path(path).exists() else None
    return None if found is None else found.named(source)


def find_stored(path: Path, *, source: str = "", wait_seconds: float = WAIT_SECONDS) -> Findings | None:
    """
    Return the findings of a stored dataset, searched in a child where they are not known.

    Returns:
        None where the search takes longer than `wait_seconds`, or too many wait already: it goes on.

    Raises:
        TooLargeError: the file needs more memory than a search is given.
    """
    found = _result(_Search(path, findings_path(path), partial(known_findings, path)), wait_seconds)
    return None if found is None else found.named(source)


def look_up(path: Path, *, source: str = "", begins: bool) -> Findings | None:
    """
    Return the findings of a stored dataset for a request, which waits a moment at most.

    Args:
        begins: whether who asks may begin a search.

    Returns:
        None where the search takes longer: it goes on.

    Raises:
        ForbiddenError: nobody has begun to search it, and who asks may not.
        TooLargeError: the file needs more memory than a search is given.
    """
    known = known_findings(path, source=source)
    if known is not None:
        return known
    if not begins and findings_path(path) not in _searches:
        raise ForbiddenError(
            message("These rows were not searched yet. Somebody who may start runs has to look first.")
        )
    return find_stored(path, source=source, wait_seconds=SHORT_WAIT_SECONDS if begins else 0.0)


def find_taught_stored(
    path: Path, answers: Sequence[str], *, source: str = "", wait_seconds: float = WAIT_SECONDS
) -> Findings | None:
    """
    Return which rows of a stored dataset hold one of the identity answers.

    The result is kept for the answers that were asked for last. Waits and fails as `find_stored` does.
    """
    if not answers:
        return Findings()
    read = partial(known_taught, path, answers)
    search = _Search(path, _taught_path(path), read, options=("--taught",), told=json.dumps(list(answers)).encode())
    found = _result(search, wait_seconds)
    return None if found is None else found.named(source)


def known_taught(path: Path, answers: Sequence[str], *, source: str = "") -> Findings | None:
    """Return which rows hold one of these answers, where they were the last that was asked for; None otherwise."""
    if not answers:
        return Findings()
    try:
        made = json.loads(_taught_path(path).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    found = Findings.from_json(made) if made.get("answers") == answers_key(answers) else None
    return None if found is None else found.named(source)


def _taught_path(path: Path) -> Path:
    return path.with_suffix(".taught.json")


def _result(search: _Search, wait_seconds: float) -> Findings | None:
    known = search.read()
    if known is not None:
        return known
    with _searches_lock:
        if search.target not in _searches:
            _searches[search.target] = future = Future[Findings]()
            threading.Thread(target=_run, args=(search, future), daemon=True).start()
        future = _searches[search.target]
    try:
        with _place_to_wait(wait_seconds) as seconds:
            future.result(seconds)
        return search.read()
    except TimeoutError:
        return None
    finally:
        if future.done():  # how it ended is told once; who asks then begins anew
            with _searches_lock:
                _searches.pop(search.target, None)


@contextmanager
def _place_to_wait(wait_seconds: float) -> Iterator[float]:
    """Say how long one may wait: not at all where others do already."""
    has_place = wait_seconds > 0 and _waiting.acquire(blocking=False)
    try:
        yield wait_seconds if has_place else 0
    finally:
        if has_place:
            _waiting.release()


def _run(search: _Search, future: Future[Findings]) -> None:
    try:
        future.set_result(_searched(search))
    except BaseException as error:  # noqa: BLE001 - whoever waits is told
        future.set_exception(error)


def _searched(search: _Search) -> Findings:
    with _turn, search.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another server process may be searching the same file
        found = search.read()
        if found is None:
            run_child(search.path, search.target, *search.options, told=search.told)
            found = search.read()
    if found is None:
        raise RuntimeError(f"the search of {search.path.name} left nothing behind")
    return found


def repair_stored(path: Path, choice: Choice, target: Path) -> Repaired:
    """Write the rows of a stored dataset to `target` as chosen, in a child; TooLargeError as above."""
    rows = None if choice.rows is None else sorted(choice.rows)
    wanted = {"kinds": list(choice.kinds), "rows": rows, "drop": sorted(choice.drop)}
    with _turn:
        return Repaired(**json.loads(run_child(path, target, "--repair", told=json.dumps(wanted).encode())))


def run_child(path: Path, target: Path, *options: str, told: bytes = b"") -> bytes:
    """
    Search or repair a file in a process of its own and return what that says.

    Args:
        path: the stored rows.
        target: what the child writes.
        options: what it does.
        told: its standard input.

    Raises:
        TooLargeError: it needs more memory than it is given.
        UnavailableError: it takes too long, or there is no room for what it writes.
    """
    limits = Limits(
        memory_bytes=settings().findings_memory_bytes,
        file_bytes=settings().largest_upload_bytes,
        seconds=settings().intake_seconds,
    )
    reach = Reach(reads=(str(path),), writes=(str(target.parent), str(index_path(path).parent)))
    given = ("--limits", json.dumps(asdict(limits)), "--parent", str(os.getpid()))
    arguments = [str(path), str(target), *options, *given]
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of our own making, no shell
            command_for("app.domain.findings", arguments, reach=reach, demand=settings().confine),
            cwd=target.parent,
            env=_environment(),
            input=told,
            capture_output=True,
            timeout=limits.seconds,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(limits) from None
    if done.returncode != 0:
        raise _failure(done, limits)
    return done.stdout


def _environment() -> dict[str, str]:
    """Return where programs are and what language they speak; nothing that is secret."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed_on | {"PYTHONPATH": str(SOURCE_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}


def _failure(done: subprocess.CompletedProcess[bytes], limits: Limits) -> Exception:
    text = done.stderr.decode("utf-8", errors="replace")[-2_000:]
    log.warning("searching a dataset ended with code %d: %s", done.returncode, text.strip())
    if done.returncode == -SIGXCPU:
        return _too_slow(limits)
    if done.returncode < 0 or done.returncode == TOO_LARGE or _NO_MEMORY.search(text):
        return TooLargeError(
            message(
                "This dataset is too large to be searched with {most} MiB of memory; an admin may raise "
                "TEMPER_FINDINGS_MEMORY_BYTES.",
                most=limits.memory_bytes >> 20,
            )
        )
    return RuntimeError(f"the search of a dataset ended with code {done.returncode}: {text}")


def _too_slow(limits: Limits) -> UnavailableError:
    return UnavailableError(
        message(
            "Searching this dataset takes more than {most} s; an admin may raise TEMPER_INTAKE_SECONDS.",
            most=limits.seconds,
        )
    )
