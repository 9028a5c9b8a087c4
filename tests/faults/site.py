"""A whole Temper to do harm to: real web, workers and Redis around the fake trainer, and how a run fares in it."""

import socket
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
from sqlmodel import Session, col, select

from app.domain import accounts, db
from app.domain.events import metrics_of
from app.domain.models import Answer, Attempt, Checkpoint, Event, Run, RunState
from app.domain.runs import LIVE_STATES, request_stop
from app.serve import url_of
from tests.conftest import ROOT, forget_settings, wait_until
from tests.factories import make_model, make_recipe_data
from tests.faults.processes import APART, Process, start, start_redis, start_worker, working_in

ITERATIONS, EVERY, PROBES = 30, 5, 3
PLAIN, ALTERED = "worker.main", "tests.faults.altered"

QUICK = {  # a claim is lost and a silence is long in moments; defaults are for people and large models
    "TEMPER_LEASE_SECONDS": "8",
    "TEMPER_LEAVE_SECONDS": "10",
    "TEMPER_STOP_GRACE_SECONDS": "1",
}
SILENCE = {"TEMPER_STALL_SECONDS": "2"}  # no test waits for the default two minutes


@dataclass
class Site:
    """One home with its processes."""

    home: Path
    settings: dict[str, str]
    redis_port: int = 0
    token: str = ""
    redis: Process | None = None
    web: Process | None = None
    url: str = ""
    workers: list[Process] = field(default_factory=list)
    is_hasty: bool = False
    """What is waited for comes sooner than in earnest: see `altered.py`."""
    _listener: socket.socket | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told."""
        return {
            "TEMPER_HOME": str(self.home),
            "TEMPER_ASSETS": "local",
            "TEMPER_DEVICE": "cpu",
            "TEMPER_MIN_FREE_BYTES": "0",
            "TEMPER_ENGINE": "tests.fakes",
            "PYTHONPATH": str(ROOT),
            **self.settings,
            **({"FAULTS_HASTE": "1"} if self.is_hasty else {}),
        }

    # Its parts

    def heal(self) -> None:
        """Start what is not there, and end what a test before has left beside one plain worker."""
        if self.redis is None or not self.redis.is_alive:
            self.start_redis()
        if self.web is None or not self.web.is_alive:
            self.start_web()
        self.keep_one_worker(ALTERED if self.is_hasty else PLAIN)

    def keep_one_worker(self, app: str) -> None:
        """End all workers but one, which is of this kind."""
        alive = [worker for worker in self.workers if worker.is_alive]
        kept = [worker for worker in alive if app in worker.popen.args and APART[0] not in worker.popen.args][:1]  # type: ignore[operator]
        for worker in alive:
            if worker not in kept:
                worker.kill()
        self.workers = kept
        if not kept:
            self.start_worker(app)

    def start_redis(self) -> None:
        """Start an empty Redis."""
        self.redis = start_redis(self.home, port=self.redis_port)

    def start_web(self) -> None:
        """Start the web server; always at the same address."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.url = url_of(self._listener)
        number = self._listener.fileno()
        command = [sys.executable, "-m", "app.serve", str(number)]
        self.web = start(command, environment=self.environment, log=self.home / "web.log", keep=[number])

    def start_worker(self, app: str = "", *, apart: bool = False, **more: str) -> Process:
        """Start one more worker."""
        name = f"worker-{len(list(self.home.glob('worker-*.log'))) + 1}"
        app = app or (ALTERED if self.is_hasty else PLAIN)
        worker = start_worker(self.home / f"{name}.log", self.environment | more, name=name, app=app, apart=apart)
        self.workers.append(worker)
        return worker

    def kill_workers(self) -> None:
        """Kill all workers; no run is in their hands."""
        while self.workers:
            self.workers.pop().kill()

    def close(self) -> None:
        """End everything."""
        self.kill_workers()
        for process in (self.web, self.redis):
            if process is not None and process.is_alive:
                process.kill()
        if self._listener is not None:
            self._listener.close()

    # Asked from outside

    def ask(self, method: str, path: str, *, seconds: float = 30.0, **request: Any) -> httpx.Response:
        """Ask the API."""
        headers = {"Authorization": f"Bearer {self.token}"} | request.pop("headers", {})
        with httpx.Client(base_url=self.url, timeout=seconds, headers=headers) as client:
            return client.request(method, f"/api/v1{path}", **request)

    def start_run(self, words: str, **changes: Any) -> int:
        """Start a run over the API; the words in its name say what goes wrong."""
        reply = self.ask("POST", "/runs", json=recipe(words, **changes))
        assert reply.status_code == 201, reply.text
        return int(reply.json()["id"])

    def trainers(self) -> list[int]:
        """Return the process ids of what works in a run's folder."""
        return [process.pid for process in working_in(self.home / "runs")]

    def clear(self) -> None:
        """Stop whatever a test has left, so that the next one has the device."""
        with db.unit_of_work() as session:
            for run in session.exec(select(Run).where(col(Run.state).in_(LIVE_STATES))).all():
                request_stop(session, run.id or 0)


def recipe(words: str, **changes: Any) -> dict[str, Any]:
    """Return a recipe of thirty iterations with a checkpoint at every fifth."""
    data: dict[str, Any] = {"training": {"iterations": ITERATIONS}, "checkpoints": {"every": EVERY, "keep": -1}}
    return make_recipe_data(name=words, **(data | changes))


def furnish(site: Site) -> None:
    """Give a site a model to train and a token to ask with; its settings must be in force here."""
    with db.unit_of_work() as session:
        make_model(session)
        site.token = accounts.create_token(session, accounts.first_admin(session), name="faults")
    forget_settings()


# ── How a run fares ────────────────────────────────────────────────────────


def now(session: Session, run_id: int) -> Run:
    """Return the run as it is now."""
    run = session.get_one(Run, run_id)
    session.refresh(run)
    return run


def attempts(session: Session, run_id: int) -> list[Attempt]:
    """Return its attempts as they are now."""
    statement = select(Attempt).where(Attempt.run_id == run_id).order_by(col(Attempt.number))
    return list(session.exec(statement.execution_options(populate_existing=True)))


def trainer_of(session: Session, run_id: int) -> int:
    """Wait for the present attempt's trainer; return its process id."""
    wait_until(lambda: attempts(session, run_id)[-1].pid, "no trainer was started", seconds=60)
    return attempts(session, run_id)[-1].pid or 0


def wait_for_iteration(session: Session, run_id: int, iteration: int) -> None:
    """Wait until a run has come so far."""
    wait_until(lambda: now(session, run_id).iteration >= iteration, f"iteration {iteration} did not come", seconds=60)


def wait_for_state(session: Session, run_id: int, *states: RunState, seconds: float = 60) -> Run:
    """Wait until a run is in one of some states; return it."""
    wait_until(lambda: now(session, run_id).state in states, f"run {run_id} is not {states}", seconds=seconds)
    return now(session, run_id)


def measured_after(session: Session, run_id: int, attempt: int) -> bool:
    """Whether a later attempt has measured something: the run trains again."""
    found = select(Event.id).where(Event.run_id == run_id, Event.kind == "metric", col(Event.attempt) > attempt)
    return session.exec(found).first() is not None


def repeated(session: Session, run_id: int) -> int:
    """Count the iterations that were trained again."""
    measured = session.exec(select(Event.iteration).where(Event.run_id == run_id, Event.kind == "metric")).all()
    return len(measured) - len(set(measured))


def doubled(session: Session, run_id: int, home: Path) -> int:
    """Count what must never be: an iteration stored twice of one attempt, two trainers at once, a second answer."""
    lines = select(Event.attempt, Event.iteration).where(Event.run_id == run_id, Event.kind == "metric")
    stored = Counter(session.exec(lines).all())
    together = home / "runs" / str(run_id) / "two-at-once"
    asked = select(Answer.checkpoint_id, Answer.probe_id).join(Checkpoint).where(Checkpoint.run_id == run_id)
    answered = Counter(session.exec(asked).all())
    return sum(number - 1 for number in (*stored.values(), *answered.values())) + (
        len(together.read_text().splitlines()) if together.exists() else 0
    )


def check_whole(session: Session, site: Site, run_id: int, *, iterations: int = ITERATIONS, every: int = EVERY) -> None:
    """Fail unless the run finished with every iteration and every answer once, and nothing of it is left running."""
    run = wait_for_state(session, run_id, RunState.FINISHED, RunState.FAILED, RunState.CANCELLED, seconds=120)
    assert run.state is RunState.FINISHED, (run.reason, run.reason_detail, run.log_tail)
    check_so_far(session, site, run_id)
    assert [metric.iteration for metric in metrics_of(session, run_id)] == list(range(1, iterations + 1))
    saved = select(Checkpoint).where(Checkpoint.run_id == run_id).order_by(col(Checkpoint.iteration))
    checkpoints = session.exec(saved.execution_options(populate_existing=True)).all()
    assert [checkpoint.iteration for checkpoint in checkpoints] == list(range(0, iterations + 1, every))
    answered = [len(session.exec(select(Answer).where(Answer.checkpoint_id == row.id)).all()) for row in checkpoints]
    assert answered == [PROBES] * len(checkpoints)


def check_so_far(session: Session, site: Site, run_id: int) -> None:
    """Fail if an ended run has doubled anything, left a process behind, or the API says something else of it."""
    wait_until(lambda: not site.trainers(), "a process is left", seconds=15)
    assert doubled(session, run_id, site.home) == 0
    numbers = [attempt.number for attempt in attempts(session, run_id)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert site.ask("GET", f"/runs/{run_id}").json()["state"] == now(session, run_id).state
