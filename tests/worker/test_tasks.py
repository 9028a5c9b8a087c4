"""Tasks that do their work themselves."""

import pytest
from sqlmodel import Session, select

from app.domain import queue
from app.domain.models import StoredScore
from tests.stories import STORY, make_story
from worker import tasks


def test_scores_that_are_missing_are_stored(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version scored, or nobody yet, is there for the lists after a worker's start."""
    monkeypatch.setattr(queue, "send", list)  # the broker is the edge of this process
    make_story(session)

    tasks.recompute(before_run_id=0)

    session.expire_all()
    assert len(session.exec(select(StoredScore)).all()) == len(STORY)
