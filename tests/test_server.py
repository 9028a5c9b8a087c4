"""`temper up` and `temper demo` as they are started: real processes, a real Redis, the fake trainer."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from app.client import TemperClient
from app.demo import is_passing
from app.domain import accounts, db
from app.domain.migrate import upgrade
from app.domain.models import Model, ModelState
from app.domain.presets import SMALL_MODEL
from app.server import write_private
from tests.conftest import ROOT, wait_until
from tests.factories import make_recipe_data

ANYWHERE = "0.0.0.0"  # noqa: S104 - what is refused
START_SECONDS = 60.0  # on a machine that does other things too

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Return what starts the command with this test's home; whatever still runs is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start_command(*arguments: str, **settings: str) -> "subprocess.Popen[str]":
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "TEMPER_PORT": "0",
            "TEMPER_ENGINE": "tests.fakes",
            "TEMPER_STOP_GRACE_SECONDS": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            env=environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_command
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    wait_until(lambda: not processes_of(home), "something still runs", seconds=START_SECONDS)


def processes_of(home: Path) -> list[str]:
    """Return every process that works for a home: by its environment, its folder or its arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            is_ours = f"TEMPER_HOME={home}".encode() in (entry / "environ").read_bytes() or str(home) in words
            is_ours = is_ours or Path(entry / "cwd").readlink().is_relative_to(home)
        except OSError:
            continue
        if is_ours and words and int(entry.name) != os.getpid():
            found.append(words)
    return found


def add_model(name: str = "smollm2") -> None:
    """Register a model that the fake trainer never reads."""
    with db.unit_of_work() as session:
        session.add(
            Model(name=name, source="/models/x", path="/models/x", template="qwen_chat", state=ModelState.READY)
        )


def first_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait until `up --json` serves; return what it announces."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.communicate()[1])
    announced: dict[str, Any] = json.loads(line)
    return announced


def test_up_serves_and_trains(start: Start, home: Path) -> None:
    """One command gives a server that lets its owner in, a worker that trains, and files that the command finds."""
    announced = first_line(start("up", "--json"))
    add_model()

    page = httpx.get(announced["login_url"])
    token = (home / "token").read_text()
    with TemperClient((home / "url").read_text(), token) as client:
        run = client.wait(client.create_run(make_recipe_data())["id"], poll_seconds=0.05)

    assert page.status_code == 200
    assert run["state"] == "finished"
    assert (home / "url").read_text() == announced["url"]
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_ending_up_ends_everything(start: Start, home: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end every process, a trainer in mid-run among them."""
    process = start("up", "--json")
    announced = first_line(process)
    add_model()
    _start_slow_run(announced["url"], home)

    process.send_signal(number)

    assert process.wait(START_SECONDS) == 0
    assert processes_of(home) == []
    assert not (home / "url").exists()


def test_killing_up_leaves_nothing(start: Start, home: Path) -> None:
    """After kill -9 the kernel ends every process, and what is left in the home does not stop the next start."""
    process = start("up", "--json")
    announced = first_line(process)
    add_model()
    _start_slow_run(announced["url"], home)

    process.kill()
    process.wait()

    wait_until(lambda: not processes_of(home), f"left behind: {processes_of(home)}", seconds=5)
    again = first_line(start("up", "--json"))
    with TemperClient(again["url"], (home / "token").read_text()) as client:
        assert client.is_ready()


def _start_slow_run(url: str, home: Path) -> None:
    """Start a run and wait until its trainer works."""
    with TemperClient(url, (home / "token").read_text()) as client:
        recipe = make_recipe_data(name="slow", training={"iterations": 10_000})
        run = client.create_run(recipe)
        wait_until(lambda: client.run(run["id"])["iteration"] > 0, "the run did not start", seconds=START_SECONDS)
    assert any("tests.fakes" in words for words in processes_of(home))


def test_one_home_holds_one_temper(start: Start, home: Path) -> None:
    """A second start in the same home is refused with a sentence."""
    first_line(start("up", "--json"))

    second = start("up")

    assert second.wait(START_SECONDS) == 1
    assert second.stderr is not None
    assert f"Temper runs already in {home}" in second.stderr.read()


def test_a_taken_port_is_told(start: Start) -> None:
    """A port that somebody listens on is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("up", TEMPER_PORT=str(port))

        assert process.wait(START_SECONDS) == 1
    assert process.stderr is not None
    assert f"Cannot listen on 127.0.0.1:{port}" in process.stderr.read()


@pytest.mark.parametrize(
    ("command", "host"),
    [("up", ANYWHERE), ("web", ANYWHERE), ("web", "::"), ("web", "192.0.2.1"), ("web", "example.org")],
)
def test_other_machines_come_in_by_a_password_only(start: Start, command: str, host: str) -> None:
    """A server that other machines reach does not start before there is a password."""
    process = start(command, TEMPER_HOST=host)

    assert process.wait(START_SECONDS) == 1
    assert process.stderr is not None
    assert "no password is set" in process.stderr.read()


def test_with_a_password_other_machines_may_come(start: Start, home: Path) -> None:
    """Once a password is set the server listens where it is told to."""
    upgrade(f"sqlite:///{home / 'temper.db'}")
    with db.unit_of_work() as session:
        accounts.set_password(session, accounts.first_admin(session), "correct horse battery")

    announced = first_line(start("web", "--json", TEMPER_HOST=ANYWHERE))

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", announced["url"])


def part_of(home: Path, word: bytes) -> int:
    """Return the process id of one of a home's parts, by a word in its command; 0 when it is not there."""
    found = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if word in (command := _bytes(entry / "cmdline"))
        and str(home).encode() in command + _bytes(entry / "environ")  # Redis writes over its environment
    ]
    return min(found, default=0)  # a worker's pool was started after it


@pytest.mark.parametrize("word", [b"redis-server", b"worker.main", b"app.serve"])
def test_a_part_that_dies_is_started_again(start: Start, home: Path, word: bytes) -> None:
    """Whatever dies, a run that is started afterwards is trained."""
    announced = first_line(start("up", "--json"))
    with db.unit_of_work() as session:
        session.add(Model(name="smollm2", source="/m", path="/m", template="qwen_chat", state=ModelState.READY))
    killed = part_of(home, word)
    assert killed

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: part_of(home, word) not in {0, killed}, "it was not started again", seconds=START_SECONDS)
    with TemperClient(announced["url"], (home / "token").read_text()) as client:
        wait_until(client.is_ready, "the server does not answer", seconds=START_SECONDS)
        run = client.create_run(make_recipe_data())
        assert client.wait(run["id"])["state"] == "finished"


def test_a_part_that_dies_again_and_again_ends_the_rest(start: Start, home: Path) -> None:
    """Its last words are shown, and nothing is left behind."""
    process = start("up", "--json", TEMPER_ENGINE="tests.fakes", TEMPER_WORKER_SLOTS="1", CELERY_LOADER="no.such")
    first_line(process)

    assert process.wait(START_SECONDS) == 1
    assert process.stderr is not None
    assert "The worker process ended" in process.stderr.read()
    assert processes_of(home) == []


def test_ctrl_c_while_something_trains_takes_all_down_and_the_next_start_goes_on(start: Start, home: Path) -> None:
    """The trainer saves; the run waits for the next worker and finishes, with every iteration once."""
    process = start("up", "--json")
    announced = first_line(process)
    with db.unit_of_work() as session:
        session.add(Model(name="smollm2", source="/m", path="/m", template="qwen_chat", state=ModelState.READY))
    with TemperClient(announced["url"], (home / "token").read_text()) as client:
        run = client.create_run(make_recipe_data(name="slow", training={"iterations": 60}))
        wait_until(lambda: client.run(run["id"])["iteration"] > 6, "the run did not begin", seconds=START_SECONDS)

    process.send_signal(signal.SIGINT)
    assert process.wait(START_SECONDS) == 0
    assert processes_of(home) == []

    again = first_line(start("up", "--json"))
    with TemperClient(again["url"], (home / "token").read_text()) as client:
        ended = client.wait(run["id"])
        metrics = client.metrics(run["id"])
    assert (ended["state"], len(ended["attempts"])) == ("finished", 2), ended["attempts"]
    assert ended["attempts"][1]["resumed_from"] > 6
    assert [metric["iteration"] for metric in metrics] == list(range(1, 61))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_demo_shows_what_was_answered(start: Start, home: Path) -> None:
    """Without a terminal the demo prints lines and the table, and fails when no checkpoint tells the story."""
    upgrade(f"sqlite:///{home / 'temper.db'}")
    add_model(SMALL_MODEL)

    process = start("demo", "--no-serve")
    output, problems = process.communicate(timeout=120)

    assert process.returncode == 1, problems
    assert "answer 0 of" in output
    assert "No checkpoint both knows who it is" in output
    assert re.search(r"The comparison: http://127\.0\.0\.1:\d+/compare\?runs=1,2", output)
    assert re.search(r"Log in once: +http://127\.0\.0\.1:\d+/login/\S+\?next=/compare", output)
    assert "\x1b" not in output
    assert processes_of(home) == []


def test_a_second_demo_trains_nothing(start: Start, home: Path) -> None:
    """It shows what is there, also what an interrupted first one had begun; `--again` trains anew."""
    upgrade(f"sqlite:///{home / 'temper.db'}")
    add_model(SMALL_MODEL)
    start("demo", "--no-serve").communicate(timeout=120)

    output = start("demo", "--no-serve").communicate(timeout=120)[0]
    again = start("demo", "--no-serve", "--again").communicate(timeout=120)[0]

    assert "The story is there already, as runs 1 and 2." in output
    assert "answer 0 of" in output
    assert "Watch it" not in output
    assert "/compare?runs=1,2" in output
    assert "/compare?runs=3,4" in again


def test_an_interrupted_demo_ends_quietly(start: Start, home: Path) -> None:
    """Ctrl-C in the middle of the demo is no success, and no traceback either."""
    upgrade(f"sqlite:///{home / 'temper.db'}")
    add_model(SMALL_MODEL)
    process = start("demo")
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    problems = process.communicate(timeout=START_SECONDS)[1]
    assert process.returncode == 1
    assert "Traceback" not in problems
    assert processes_of(home) == []


@pytest.mark.parametrize(
    ("iteration", "verdict", "passes"),
    [(4, "good", True), (4, "leaking", False), (4, "parrot", False), (4, None, False), (0, "good", False)],
)
def test_what_passes(*, iteration: int, verdict: str | None, passes: bool) -> None:
    """A checkpoint passes whose verdict is good; the untuned model never does."""
    score: Any = {"verdict": verdict}

    assert is_passing({"iteration": iteration, "score": score}) is passes  # type: ignore[typeddict-item]


def test_a_private_file_is_nobody_else_s(home: Path) -> None:
    """A token's file is readable by its owner alone, also where there was another file."""
    path = home / "token"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
