"""The base model of a foreign run."""

from pathlib import Path

from sqlmodel import Session

from app.domain.importing.bases import base_of
from app.domain.registry import list_models, register_model
from tests.databases import two_at_once
from tests.model_folders import make_model_folder


def test_a_base_that_is_registered_meanwhile_is_that_one(session: Session, tmp_path: Path) -> None:
    """An import that began before waits, and names the model of the admin."""
    folder = make_model_folder(tmp_path / "small")

    registered, named = two_at_once(
        lambda work: register_model(work, source=str(folder), name="small").id,
        lambda work: base_of(work, None, "small").id,
    )

    assert named == registered
    assert len(list_models(session)) == 1
