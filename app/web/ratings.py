"""Stars and notes in the comparison: shown with an answer, saved as they are given."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session

from app.domain import ratings
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.ratings import MOST_STARS
from app.web.addresses import path_on_this_server
from app.web.compare_details import CellDetail
from app.web.compare_pages import ComparePage
from app.web.deps import Id, WriteSession
from app.web.rating_view import RatingPart, RatingView
from app.web.render import is_fragment, render

INVALID = 422

router = APIRouter(include_in_schema=False)


@router.post("/answers/{answer_id}/rating", name="answers.rate")
def rate(
    request: Request,
    answer_id: Id,
    session: WriteSession,
    *,
    stars: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/compare",
) -> Response:
    """Save what the reader thinks of an answer; without a script, show the page again that it came from."""
    user_id, note = request.state.user.user_id, note.replace("\r\n", "\n")
    try:
        ratings.rate_answer(session, answer_id, user_id=user_id, stars=_stars(stars), note=note)
    except InvalidError as error:
        problems = {each.field: each.message for each in error.fields}
        view = replace(_view(session, answer_id, user_id=user_id), note=note, problems=problems)
        return render(request, "compare/_rating.html", RatingPart(view), INVALID)
    if not is_fragment(request):
        return RedirectResponse(path_on_this_server(back), status_code=303)
    view = replace(_view(session, answer_id, user_id=user_id), is_saved=True)
    return render(request, "compare/_rating.html", RatingPart(view))


def _stars(text: str) -> int | None:
    if not text:
        return None
    if len(text) == 1 and text.isascii() and text.isdigit():
        return int(text)
    raise InvalidError([FieldError("stars", message("Give 1 to {most} stars, or none.", most=MOST_STARS))])


def _view(session: Session, answer_id: int, *, user_id: int) -> RatingView:
    own = ratings.own_rating(session, answer_id, user_id=user_id)
    everybody = ratings.count_stars(session, answer_id)
    return RatingView(answer_id, own.stars if own else None, own.note if own else "", everybody)


def with_rating(session: Session, detail: CellDetail, *, user_id: int) -> CellDetail:
    """Put what the reader thinks of an answer beside it."""
    if detail.cell.answer_id is None:
        return detail
    return replace(detail, rating=_view(session, detail.cell.answer_id, user_id=user_id))


def with_ratings(session: Session, page: ComparePage, *, user_id: int) -> ComparePage:
    """Put what the reader thinks of answers beside them."""
    detail = page.detail and with_rating(session, page.detail, user_id=user_id)
    return replace(page, detail=detail, ratings=ratings.own_ratings(session, page.run_ids, user_id=user_id))
