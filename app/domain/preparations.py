"""Models that must be re-laid before they can train: claimed, renewed and finished like any work."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, select

from app.domain.models import Model, ModelState, utc_now


def claim_preparation(session: Session, model_id: int, *, lease: timedelta) -> Model | None:
    """Take a model that waits to be prepared; None when another worker has it or it is gone."""
    now = utc_now()
    claimed = session.exec(
        update(Model)
        .where(col(Model.id) == model_id, col(Model.state) == ModelState.PREPARING, _is_free())
        .values(lease_until=now + lease)
    )
    return session.get_one(Model, model_id) if claimed.rowcount == 1 else None


def renew_preparation(session: Session, model_id: int, *, lease: timedelta) -> None:
    """Keep a claim on a model."""
    session.exec(update(Model).where(col(Model.id) == model_id).values(lease_until=utc_now() + lease))


def finish_preparation(session: Session, model_id: int, *, path: str) -> None:
    """Let runs start from a model, which is at `path` now."""
    _end(session, model_id, state=ModelState.READY, path=path)


def fail_preparation(session: Session, model_id: int, *, reason: str) -> None:
    """Write down why a model could not be prepared."""
    _end(session, model_id, state=ModelState.FAILED, reason=reason)


def unclaimed_preparations(session: Session) -> Sequence[Model]:
    """Return the models that wait, or whose worker stopped renewing its claim."""
    return session.exec(select(Model).where(Model.state == ModelState.PREPARING, _is_free())).all()


def _is_free() -> ColumnElement[bool]:
    return or_(col(Model.lease_until).is_(None), col(Model.lease_until) < utc_now())


def _end(session: Session, model_id: int, **values: object) -> None:
    session.exec(update(Model).where(col(Model.id) == model_id).values(lease_until=None, **values))
