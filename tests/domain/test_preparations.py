"""Models that are prepared: claimed once, and the first end stands."""

from sqlmodel import Session

from app.domain.models import ModelState
from app.domain.preparations import (
    claim_preparation,
    fail_preparation,
    finish_preparation,
    release_preparation,
    renew_preparation,
)
from app.domain.runs import id_of
from tests.factories import make_model


def test_a_model_is_claimed_once(session: Session) -> None:
    """Until the claim is given up."""
    model_id = id_of(make_model(session, name="later", state=ModelState.PREPARING))

    assert claim_preparation(session, model_id) is not None
    assert claim_preparation(session, model_id) is None
    release_preparation(session, model_id)
    assert claim_preparation(session, model_id) is not None


def test_the_end_of_a_preparation_stands(session: Session) -> None:
    """A worker that was given up for lost and fails later changes nothing, and learns that it may stop."""
    model = make_model(session, name="later", state=ModelState.PREPARING)
    claim_preparation(session, id_of(model))
    finish_preparation(session, id_of(model), path="/ready")

    fail_preparation(session, id_of(model), reason="too late")

    session.refresh(model)
    assert (model.state, model.path, model.reason) == (ModelState.READY, "/ready", "")
    assert not renew_preparation(session, id_of(model))
