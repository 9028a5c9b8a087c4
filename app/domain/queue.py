"""
Messages to the workers, by task name and ids only.

A message is a hint to look at the database. It may be lost, doubled or late, and nothing
changes: whoever works claims the row first, and the reconciler sends again what was lost.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from celery import Celery
from kombu.exceptions import OperationalError

from app.config import settings

log = logging.getLogger(__name__)

BROKER_WAIT_SECONDS = 2.0  # a launch must answer soon even when the broker does not


@dataclass(frozen=True)
class QueueMessage:
    """A task's name and the ids it is about."""

    task: str
    ids: dict[str, int] = field(default_factory=dict)


_waiting: ContextVar[list[QueueMessage] | None] = ContextVar("waiting", default=None)


def enqueue(task: str, **ids: int) -> None:
    """Send a message when the current unit of work has committed."""
    waiting = _waiting.get()
    if waiting is None:
        raise RuntimeError(f"enqueue({task!r}) outside a unit of work")
    waiting.append(QueueMessage(task, ids))


@contextmanager
def collecting() -> Iterator[list[QueueMessage]]:
    """Collect what is enqueued inside; the caller sends it after its commit."""
    messages: list[QueueMessage] = []
    token = _waiting.set(messages)
    try:
        yield messages
    finally:
        _waiting.reset(token)


def send(messages: Sequence[QueueMessage]) -> None:
    """
    Send messages now. A broker that is down is logged, not raised: the reconciler sends them later.

    It is waited for once: what comes after the message that it did not take is left to the reconciler too.
    """
    for number, message in enumerate(messages):
        try:
            sender().send_task(message.task, kwargs=message.ids)
        except OperationalError as error:
            left = ", ".join(message.task for message in messages[number:])
            log.warning("the queue does not answer, %s waits for the reconciler: %s", left, error)
            return


def is_open() -> bool:
    """Whether the queue is on another machine and asks for no password: whoever reaches it can begin work here."""
    url = urlsplit(settings().redis_url)
    is_here = url.hostname in {None, "localhost", "127.0.0.1", "::1"}
    return not is_here and not url.password


def warn_if_open() -> None:
    """Say in the log that the queue is open, if it is."""
    if is_open():
        log.warning("TEMPER_REDIS_URL names a Redis without a password: whoever reaches it can begin work here")


@cache
def sender() -> Celery:
    """Return a Celery application that can only send."""
    app = Celery("temper", broker=settings().broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_ignore_result=True,
        broker_connection_timeout=BROKER_WAIT_SECONDS,
        task_publish_retry=False,
        broker_transport_options={
            "socket_connect_timeout": BROKER_WAIT_SECONDS,
            "socket_timeout": BROKER_WAIT_SECONDS,
        },
    )
    return app
