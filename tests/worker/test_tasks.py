"""Tasks that do their work themselves."""

from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain import db, queue, rescoring, stored_scores
from app.domain.models import Run, StoredScore
from app.domain.runs import id_of
from app.domain.verdicts import judge_run
from tests.stories import STORY, make_story
from worker import tasks


def test_scores_that_are_missing_are_stored(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version scored, or nobody yet, is there for the lists after a worker's start."""
    monkeypatch.setattr(queue, "send", list)  # the broker is the edge of this process
    make_story(session)

    tasks.recompute(before_run_id=0)

    session.expire_all()
    assert len(session.exec(select(StoredScore)).all()) == len(STORY)


def test_a_worker_scores_without_the_write_lock_and_asks_for_the_rest(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that stores its answers meanwhile does not wait."""
    sent: list[queue.QueueMessage] = []
    monkeypatch.setattr(queue, "send", sent.extend)
    monkeypatch.setattr(rescoring, "MOST_ANSWERS", 1)
    make_story(session)
    new = make_story(session)

    def judge_while_another_writes(*args: Any, **kwargs: Any) -> Any:
        with db.unit_of_work() as work:  # would wait for five seconds, and fail
            work.get_one(Run, new.id).name = "written meanwhile"
        return judge_run(*args, **kwargs)

    monkeypatch.setattr(stored_scores, "judge_run", judge_while_another_writes)

    tasks.recompute(before_run_id=0)

    session.refresh(new)
    assert new.name == "written meanwhile"
    assert sent == [queue.QueueMessage("verdicts.recompute", {"before_run_id": id_of(new)})]
