"""
Who works now, and who should look again: what Redis holds beside the queue.

Nothing here is the truth. A wake-up that is lost costs a page two seconds; a worker that cannot
say it is alive is shown as absent and goes on working.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache

from redis import Redis, RedisError

from app.config import settings

log = logging.getLogger(__name__)

WORKERS_KEY = "temper:workers"
ABSENT_AFTER_SECONDS = 15.0  # three heartbeats missed
REDIS_WAIT_SECONDS = 1.0  # a page shows "no worker" rather than wait longer


@dataclass(frozen=True)
class WorkerPresence:
    """One live worker, as it last described itself."""

    name: str
    device: str
    """`CPU`, or the GPUs' names."""
    slots: int
    """Runs it can train at once."""
    seen: float
    """Seconds since the epoch, on the worker's clock."""


def run_channel(run_id: int) -> str:
    """Return the channel that wakes whoever watches a run."""
    return f"temper:run:{run_id}"


def wake_watchers(run_id: int) -> None:
    """Tell the pages of a run that its ledger has grown."""
    with _tolerating():
        redis().publish(run_channel(run_id), "")


def announce_worker(presence: WorkerPresence) -> None:
    """Say that a worker is alive."""
    with _tolerating():
        redis().hset(WORKERS_KEY, presence.name, json.dumps(asdict(presence)))


def withdraw_worker(name: str) -> None:
    """Say that a worker has gone, so that no page shows it until its heartbeat grows old."""
    with _tolerating():
        redis().hdel(WORKERS_KEY, name)


def live_workers() -> list[WorkerPresence]:
    """Return the workers heard of lately; none when Redis does not answer."""
    workers: list[WorkerPresence] = []
    with _tolerating():
        workers = [WorkerPresence(**json.loads(value)) for value in redis().hgetall(WORKERS_KEY).values()]
    return [worker for worker in workers if time.time() - worker.seen < ABSENT_AFTER_SECONDS]


@cache
def redis() -> Redis:
    """Return this process's Redis client."""
    return Redis.from_url(
        settings().redis,
        decode_responses=True,
        socket_timeout=REDIS_WAIT_SECONDS,
        socket_connect_timeout=REDIS_WAIT_SECONDS,
    )


@contextmanager
def _tolerating() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        log.debug("Redis does not answer: %s", error)
