"""
What an admin has approved of a model's folder: exactly these files, by their hash.

A folder with a program, a pickled file or an odd chat template in it is refused until an admin has looked at it. An
approval is of names and contents: whoever changes one of the files afterwards takes it away, and no run starts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from app.domain import audit, db
from app.domain.approval_models import ModelApproval
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.messages import Message, message
from app.domain.model_dangers import Danger, dangers_of, fingerprint_of
from app.domain.models import Model
from app.domain.safetensors_files import read_header

log = logging.getLogger(__name__)

MOST_NAMED = 3  # files that a sentence names


class RefusedModelError(ConflictError):
    """A model's folder holds what no admin has approved, or what nothing may read."""

    kind = "refused_model"


@dataclass(frozen=True)
class Review:
    """What is dangerous in a folder, and whether an admin has approved it."""

    dangers: Sequence[Danger]
    sha256: str
    """Of all of them; empty where there are none."""
    approval: ModelApproval | None = None

    @property
    def is_needed(self) -> bool:
        """Whether an admin still has to look."""
        return bool(self.dangers) and self.approval is None


def review(session: Session, folder: Path, *, anew: bool = False) -> Review:
    """
    Look at a model's folder.

    Args:
        anew: read every dangerous file again, however unchanged it looks.

    Raises:
        InvalidError: at `source`: it holds what cannot be approved, such as a link that leads out of it.
    """
    dangers = dangers_of(folder, anew=anew) if folder.is_dir() else []
    sha256 = fingerprint_of(dangers)
    return Review(dangers, sha256, session.get(ModelApproval, sha256) if sha256 else None)


def needs_review(session: Session, model: Model) -> bool:
    """Whether an admin has to look at the files of a registered model before a run starts from it."""
    try:
        return review_of(session, model).is_needed
    except InvalidError:
        return True


def review_of(session: Session, model: Model) -> Review:
    """Look at the files of a registered model: those that it is laid out anew from until it is."""
    return review(session, folder_of_model(model))


def folder_of_model(model: Model) -> Path:
    """Return the folder that a registered model's next work reads: what it is laid out anew from until it is."""
    return Path(model.path or model.source)


def what_is_needed(looked_at: Review) -> Message:
    """Say what an admin has to approve."""
    names = list(dict.fromkeys(danger.file for danger in looked_at.dangers))
    more = len(names) - MOST_NAMED
    return message(
        "This folder holds what can run code, and no admin has approved it yet: {files}. Look at it, then approve the "
        "hash {hash}.",
        files=", ".join(names[:MOST_NAMED]) + (f", +{more}" if more > 0 else ""),
        hash=looked_at.sha256,
    )


def approve(session: Session, folder: Path, *, sha256: str, source: str, by: str) -> ModelApproval:
    """
    Approve the dangerous files of a folder as they were shown.

    Args:
        sha256: the hash that was shown with them.
        source: what an admin calls the folder: its path, or a hub id.
        by: the admin's name.

    Raises:
        ConflictError: they are others by now.
    """
    looked_at = review(session, folder, anew=True)
    if not looked_at.sha256 or looked_at.sha256 != sha256:
        raise ConflictError(message("These files are not those that were shown. Look at them again."))
    if looked_at.approval is not None:
        return looked_at.approval
    files = [
        {"file": each.file, "kind": each.kind, "size_bytes": each.size_bytes, "sha256": each.sha256}
        for each in looked_at.dangers
    ]
    approval = ModelApproval(sha256=sha256, source=source, files=files, approved_by=by)
    stored = db.add_once(session, approval, key=["sha256"])
    if stored is None:  # somebody else was as quick
        return session.get_one(ModelApproval, sha256)
    _tell_of_approval(stored, action="approved", by=by)
    return stored


def revoke(session: Session, sha256: str, *, by: str) -> None:
    """Take an approval away: no run starts from such a folder any more; NotFoundError when there is none."""
    approval = session.get(ModelApproval, sha256)
    if approval is None:
        raise NotFoundError(message("Nothing with this hash is approved."))
    _tell_of_approval(approval, action="revoked", by=by)
    session.delete(approval)


def list_approvals(session: Session) -> Sequence[ModelApproval]:
    """Return what is approved, the newest first."""
    return session.exec(select(ModelApproval).order_by(col(ModelApproval.approved_at).desc())).all()


def _tell_of_approval(approval: ModelApproval, *, action: str, by: str) -> None:
    """Tell of a change of what is approved, in the server's log too."""
    audit.note("model-files", approval.sha256, source=approval.source)
    log.warning("%s %s the files %s of %s", by, action, approval.sha256, approval.source)


# ── Before a launch ────────────────────────────────────────────────────────


def check_approved(session: Session, folder: Path) -> None:
    """
    See that a model's folder is as it was approved, and that its weights can be mapped; every file is read anew.

    A folder that is not there is nobody's danger: whoever loads it says so.

    Raises:
        RefusedModelError: it is not.
    """
    if not folder.is_dir():
        return
    try:
        looked_at = review(session, folder, anew=True)
        if looked_at.is_needed:
            raise RefusedModelError(what_is_needed(looked_at))
        for file in folder.glob("*.safetensors"):
            read_header(file)
    except InvalidError as error:
        raise RefusedModelError(error.fields[0].message) from error
    except (ValueError, OSError) as error:
        text = message("The weights of this model cannot be read: {problem}.", problem=str(error))
        raise RefusedModelError(text) from error
