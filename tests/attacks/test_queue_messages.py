"""What somebody who reaches the queue can do: nothing but make a worker look at the database."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from sqlmodel import Session

from app.domain import queue
from app.domain.models import Run, RunState
from app.domain.queue import QueueMessage
from app.domain.runs import id_of
from tests.conftest import forget_settings, wait_until
from tests.factories import make_run
from worker.main import app as worker_app

WORK_SECONDS = 60.0  # on a machine that does other things too
PICKLE = "application/x-python-serialize"


class Canary:
    """Writes a file when somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        """Say where."""
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "unpickled")


def inject(server: "Redis", body: bytes, *, task: str, content_type: str = "application/json") -> None:
    """Put a message into the queue by hand, as somebody would who reaches Redis."""
    number = str(uuid4())
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary" if content_type == PICKLE else "utf-8",
        "content-type": content_type,
        "headers": {"task": task, "id": number, "lang": "py", "root_id": number, "parent_id": None, "argsrepr": ""},
        "properties": {
            "correlation_id": number,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    server.lpush("celery", json.dumps(message))


def works_on(session: Session) -> None:
    """Wait until a run that is asked for now is trained: the worker lives, and has read what came before."""
    run = make_run(session)
    queue.send([QueueMessage("runs.train", {"run_id": id_of(run)})])

    def is_trained() -> bool:
        session.refresh(run)
        return run.state is RunState.FINISHED

    wait_until(is_trained, "the worker does not work on", seconds=WORK_SECONDS)


@pytest.mark.usefixtures("live_worker")
def test_a_pickled_task_is_refused(home: Path, session: Session, redis_server: "Redis", tmp_path: Path) -> None:
    """45: A pickle put into the queue by hand is thrown away unread, with a line in the log, and work goes on."""
    canary = tmp_path / "canary"
    inject(redis_server, pickle.dumps(((), {"run_id": Canary(canary)}, {})), task="runs.train", content_type=PICKLE)

    works_on(session)

    assert not canary.exists()
    assert "ContentDisallowed" in (home / "worker.log").read_text("utf-8", "replace")


def test_messages_of_anybody_change_nothing(
    home: Path, session: Session, redis_server: "Redis", live_worker: None
) -> None:
    """46: Unknown tasks, ids that are none, an ended run and 10 MB of arguments change nothing; the log tells."""
    ended = make_run(session, state=RunState.CANCELLED)
    before = ended.model_dump()
    for task, values in {
        "os.system": {"run_id": 1},
        "runs.train": {"run_id": "1; DROP TABLE run"},
        "checkpoints.merge": {"artifact_id": 2**70},
        "models.prepare": {"model_id": "x" * 10_000_000},
        "probes.ask": {"asking_id": None, "extra": 1},
    }.items():
        inject(redis_server, json.dumps([[], values, {}]).encode(), task=task)
    inject(redis_server, json.dumps([[], {"run_id": ended.id}, {}]).encode(), task="runs.train")

    works_on(session)

    session.expire_all()
    assert session.get_one(Run, ended.id).model_dump() == before
    log = (home / "worker.log").read_text("utf-8", "replace")
    assert "unregistered task" in log
    assert "os.system" in log


def test_only_json_is_accepted_and_nobody_commands_workers() -> None:
    """45: Workers and senders take JSON alone, and no worker listens to commands that come over the queue."""
    assert set(worker_app.conf.accept_content) == {"json"}
    assert set(queue.sender().conf.accept_content) <= {"json"}
    assert worker_app.conf.worker_enable_remote_control is False


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("", False),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://[::1]/0", False),
        ("unix:///run/redis.sock", False),
        ("redis+socket:///run/redis.sock", False),
        ("redis://queue.example:6379/0", True),
        ("redis://:secret@queue.example:6379/0", False),
        ("rediss://queue.example:6379/0", True),
        ("redis://user@192.0.2.1/0", True),
    ],
)
def test_a_queue_that_anybody_reaches_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, *, is_open: bool
) -> None:
    """45: A Redis on another machine that asks for no password is warned of at start-up."""
    monkeypatch.setenv("TEMPER_REDIS_URL", url)
    forget_settings()

    assert queue.is_open() is is_open
