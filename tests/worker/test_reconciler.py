"""What a crash leaves is found in the database and put right."""

from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain import queue
from app.domain.models import ArtifactKind, ArtifactState, ReasonKind, RunState, utc_now
from app.domain.runs import id_of
from tests.conftest import forget_settings
from tests.factories import make_checkpoint, make_run
from worker.reconciler import reconcile, resend

LONG_AGO = utc_now() - timedelta(minutes=5)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[queue.QueueMessage]:
    """Collect what would go to the broker, which is the edge of this process."""
    messages: list[queue.QueueMessage] = []
    monkeypatch.setattr(queue, "send", messages.extend)
    return messages


def test_a_run_whose_worker_is_gone_fails_with_the_reason(session: Session) -> None:
    """A run whose claim ran out does not stay running."""
    lost = make_run(session, state=RunState.RUNNING, lease_until=LONG_AGO)
    alive = make_run(session, state=RunState.RUNNING)

    reconcile()

    session.refresh(lost)
    session.refresh(alive)
    assert (lost.state, lost.reason) == (RunState.FAILED, ReasonKind.WORKER_LOST)
    assert alive.state is RunState.RUNNING


def test_an_artifact_whose_worker_is_gone_fails(session: Session) -> None:
    """An artifact whose claim ran out can be asked for again."""
    from app.domain.models import Artifact

    checkpoint = make_checkpoint(session)
    artifact = Artifact(
        checkpoint_id=id_of(checkpoint), kind=ArtifactKind.MERGED, state=ArtifactState.RUNNING, lease_until=LONG_AGO
    )
    session.add(artifact)
    session.commit()

    reconcile()

    session.refresh(artifact)
    assert artifact.state is ArtifactState.FAILED


def test_a_waiting_run_is_sent_again(session: Session, sent: list[queue.QueueMessage]) -> None:
    """The oldest waiting run is sent again; one that has ended is not."""
    make_run(session, state=RunState.FINISHED)
    waiting = make_run(session)

    resend()

    assert sent == [queue.QueueMessage("runs.train", {"run_id": id_of(waiting)})]


def test_reconciling_without_redis_works(session: Session) -> None:
    """The database alone is enough to put a lost run right."""
    forget_settings()
    lost = make_run(session, state=RunState.RUNNING, lease_until=LONG_AGO)

    reconcile()

    session.refresh(lost)
    assert lost.state is RunState.FAILED
