"""Messages: sent after the commit, never before, and never in the way."""

import pytest
import redis
from kombu.exceptions import OperationalError
from sqlmodel import Session

from app.domain import db, queue
from app.domain.models import Run
from app.domain.runs import create_run
from tests.conftest import forget_settings
from tests.factories import make_model, make_recipe

CELERY_LIST = "celery"  # the Redis list that Celery's default queue is


def waiting(server: "redis.Redis") -> int:
    """Count the messages in Redis."""
    return int(server.llen(CELERY_LIST))


def test_a_message_is_sent_after_the_commit(database_url: str, redis_server: "redis.Redis") -> None:
    """While the unit of work is open no worker can hear of a row that is not there yet."""
    with db.unit_of_work():
        queue.enqueue("runs.train", run_id=7)
        assert waiting(redis_server) == 0

    assert waiting(redis_server) == 1


def test_a_rolled_back_unit_of_work_sends_nothing(database_url: str, redis_server: "redis.Redis") -> None:
    """A run that was not stored is not announced."""
    with pytest.raises(ZeroDivisionError), db.unit_of_work():
        queue.enqueue("runs.train", run_id=7)
        raise ZeroDivisionError

    assert waiting(redis_server) == 0


def test_a_message_holds_ids_only(database_url: str, redis_server: "redis.Redis") -> None:
    """What is waited for is in the database: a message cannot go stale, and no recipe is in Redis."""
    with db.unit_of_work() as session:
        make_model(session)
        run = create_run(session, make_recipe(name="A name that stays in the database"))

    stored = redis_server.lrange(CELERY_LIST, 0, -1)[0]
    assert b"runs.train" in stored
    assert b"A name that stays" not in stored
    assert run.id


def test_a_broker_that_is_down_does_not_fail_the_request(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is stored all the same; the reconciler sends its message later."""
    monkeypatch.setenv("TEMPER_REDIS_URL", "redis://127.0.0.1:1/0")
    forget_settings()
    make_model(session)

    with db.unit_of_work() as work:
        run_id = create_run(work, make_recipe()).id

    assert session.get(Run, run_id) is not None
    assert "waits for the reconciler" in caplog.text


def test_a_broker_that_is_down_is_waited_for_once(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who changes much does not wait for each message: what the broker did not take first is all left for later."""
    tried = []

    def find_nobody(task: str, **_: object) -> None:
        tried.append(task)
        raise OperationalError

    monkeypatch.setattr(queue.sender(), "send_task", find_nobody)

    queue.send([queue.QueueMessage("runs.train", {"run_id": 7}), queue.QueueMessage("webhooks.deliver")])

    assert tried == ["runs.train"]
    assert "runs.train, webhooks.deliver waits for the reconciler" in caplog.text


def test_enqueueing_outside_a_unit_of_work_is_a_mistake() -> None:
    """It would be sent before a commit, or never: neither may happen silently."""
    with pytest.raises(RuntimeError, match="outside a unit of work"):
        queue.enqueue("runs.train", run_id=7)


def test_an_inner_unit_of_work_sends_its_own_messages(database_url: str, redis_server: "redis.Redis") -> None:
    """One that is rolled back inside does not take the outer one's messages with it."""
    with queue.collecting() as outer:
        queue.enqueue("runs.train", run_id=1)
        with pytest.raises(ZeroDivisionError), queue.collecting():
            queue.enqueue("runs.train", run_id=2)
            raise ZeroDivisionError

    assert outer == [queue.QueueMessage("runs.train", {"run_id": 1})]
