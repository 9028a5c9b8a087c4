"""Models that must be re-laid before they can train: claimed, renewed and finished like any work."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.models import Model, ModelState


def claim_preparation(session: Session, model_id: int) -> Model | None:
    """Take a model that waits to be prepared; None when another worker has it or it is gone."""
    claimed = session.exec(
        update(Model)
        .where(col(Model.id) == model_id, _waits(), col(Model.renewed_at).is_(None))
        .values(renewed_at=utc_now())
    )
    return session.get_one(Model, model_id) if claimed.rowcount == 1 else None


def renew_preparation(session: Session, model_id: int) -> bool:
    """Keep a claim on a model; False when nobody waits for it any more."""
    return _write(session, model_id, renewed_at=utc_now())


def release_preparation(session: Session, model_id: int) -> None:
    """Give up a claim on a model: another worker may take it."""
    _write(session, model_id, renewed_at=None)


def finish_preparation(session: Session, model_id: int, *, path: str) -> None:
    """Let runs start from a model, which is at `path` now."""
    _write(session, model_id, renewed_at=None, state=ModelState.READY, path=path)


def fail_preparation(session: Session, model_id: int, *, reason: str) -> None:
    """Write down why a model could not be prepared."""
    _write(session, model_id, renewed_at=None, state=ModelState.FAILED, reason=reason)


def unprepared_models(session: Session) -> Sequence[Model]:
    """Return the models that are still to be prepared; those with a `renewed_at` are in some worker's hands."""
    return session.exec(select(Model).where(Model.state == ModelState.PREPARING)).all()


def _waits() -> ColumnElement[bool]:
    return col(Model.state) == ModelState.PREPARING


def _write(session: Session, model_id: int, **values: object) -> bool:
    """Write to a model that still waits: of two workers that prepared the same folder, the first one's word stands."""
    return session.exec(update(Model).where(col(Model.id) == model_id, _waits()).values(**values)).rowcount == 1
