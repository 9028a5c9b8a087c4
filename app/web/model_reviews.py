"""What could run code in a model's folder, for the admin who approves it or takes that back."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.domain.approvals import Review, approve, folder_of_model, review_of, revoke
from app.domain.errors import ConflictError, InvalidError
from app.domain.messages import Message
from app.domain.models import Model
from app.domain.registry import get_model
from app.web.deps import LARGEST_ID, Id, ReadSession, WriteSession
from app.web.render import render

router = APIRouter(include_in_schema=False)

Hash = Annotated[str, Form(min_length=64, max_length=64)]


@dataclass(frozen=True)
class ReviewPage:
    """The dangerous files of one model."""

    model: Model
    review: Review | None
    """None where the folder holds what nobody can approve."""
    trouble: Message | None = None
    """Why, or why an approval was not taken."""


@router.get("/models/review", name="model_reviews.show")
def show_review(request: Request, session: ReadSession, model: Annotated[int, Query(ge=1, le=LARGEST_ID)]) -> Response:
    """Show what is dangerous in a registered model's folder."""
    return _show(request, session, get_model(session, model))


def _show(request: Request, session: ReadSession, model: Model, *, refused: ConflictError | None = None) -> Response:
    status = HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT
    try:
        page = ReviewPage(model, review_of(session, model), refused.message if refused else None)
    except InvalidError as error:
        page = ReviewPage(model, None, error.fields[0].message)
    return render(request, "models/review.html", page, status)


@router.post("/models/{model_id}/approve", name="model_reviews.approve")
def approve_files(request: Request, session: WriteSession, model_id: Id, sha256: Hash) -> Response:
    """Approve the files as they were shown; or show them again where they are others by now."""
    model = get_model(session, model_id)
    folder = folder_of_model(model)
    try:
        approve(session, folder, sha256=sha256, source=model.source, by=request.state.user.name)
    except ConflictError as error:
        return _show(request, session, model, refused=error)
    return RedirectResponse("/models", status_code=HTTPStatus.SEE_OTHER)


@router.post("/models/{model_id}/revoke", name="model_reviews.revoke")
def revoke_approval(request: Request, session: WriteSession, model_id: Id, sha256: Hash) -> Response:
    """Take an approval back."""
    get_model(session, model_id)
    revoke(session, sha256, by=request.state.user.name)
    return RedirectResponse(f"/models/review?model={model_id}", status_code=HTTPStatus.SEE_OTHER)
