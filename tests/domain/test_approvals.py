"""An admin's word for dangerous files."""

from pathlib import Path

from sqlmodel import Session, select

from app.domain import approvals
from app.domain.approval_models import ModelApproval
from app.domain.model_dangers import dangers_of, fingerprint_of
from tests.databases import two_at_once
from tests.model_folders import INTERNLM2, make_model_folder


def test_two_admins_approve_the_same_files_at_once(session: Session, tmp_path: Path) -> None:
    """Both are told that it is done; the first one's name stands."""
    folder = make_model_folder(tmp_path / "odd", config=INTERNLM2)
    sha256 = fingerprint_of(dangers_of(folder))

    came = two_at_once(
        lambda work: approvals.approve(work, folder, sha256=sha256, source="odd", by="ada").approved_by,
        lambda work: approvals.approve(work, folder, sha256=sha256, source="odd", by="bob").approved_by,
    )

    assert came == ("ada", "ada")
    assert [each.approved_by for each in session.exec(select(ModelApproval))] == ["ada"]
