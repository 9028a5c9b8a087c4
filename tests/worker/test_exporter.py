"""Adapters, merged models and re-laid models, made by the fake engine in real child processes."""

import pytest
from sqlmodel import Session

from app.config import settings
from app.domain.checkpoints import request_artifact
from app.domain.models import ArtifactKind, ArtifactState, ModelState, ReasonKind
from app.domain.runs import id_of
from tests.conftest import forget_settings
from tests.factories import make_checkpoint, make_model
from worker.exporter import make_artifact, prepare_model

pytestmark = pytest.mark.usefixtures("fake_engine")


@pytest.mark.parametrize("kind", ArtifactKind)
def test_an_artifact_is_made_with_its_files(session: Session, kind: ArtifactKind) -> None:
    """A made artifact has its files with sizes and hashes, under the run's folder."""
    checkpoint = make_checkpoint(session)
    (settings().runs_folder / str(checkpoint.run_id)).mkdir(parents=True)
    artifact = request_artifact(session, id_of(checkpoint), kind)

    make_artifact(artifact.id or 0)

    session.refresh(artifact)
    assert artifact.state is ArtifactState.FINISHED
    assert artifact.size_bytes == 7
    assert (settings().runs_folder / str(checkpoint.run_id) / artifact.folder / artifact.files[0]["name"]).exists()


def test_a_failed_artifact_says_why(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that cannot start fails the artifact with the reason and its words."""
    monkeypatch.setenv("TEMPER_ENGINE", "no.such.module")
    forget_settings()
    checkpoint = make_checkpoint(session)
    (settings().runs_folder / str(checkpoint.run_id)).mkdir(parents=True)
    artifact = request_artifact(session, id_of(checkpoint), ArtifactKind.ADAPTER)

    make_artifact(artifact.id or 0)

    session.refresh(artifact)
    assert (artifact.state, artifact.reason) == (ArtifactState.FAILED, ReasonKind.MISSING_PACKAGE)
    assert "no.such" in artifact.reason_detail


def test_asking_twice_makes_one_artifact(session: Session) -> None:
    """A second request for an artifact returns the first one."""
    checkpoint = make_checkpoint(session)

    first = request_artifact(session, id_of(checkpoint), ArtifactKind.MERGED)
    second = request_artifact(session, id_of(checkpoint), ArtifactKind.MERGED)

    assert first.id == second.id


def test_a_model_is_prepared(session: Session) -> None:
    """A model that had to be re-laid is ready, at its new place."""
    settings().models_folder.mkdir()
    model = make_model(session, name="internlm2", state=ModelState.PREPARING)

    prepare_model(id_of(model))

    session.refresh(model)
    assert model.state is ModelState.READY
    assert model.path == str(settings().models_folder / "internlm2")
