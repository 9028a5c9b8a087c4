"""
Stars and notes: what each user thinks of an answer.

A user sees and changes their own. Of all users there are counts and means, and never a name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, delete, select

from app.domain.columns import utc_now
from app.domain.db import upsert
from app.domain.errors import FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Answer, Checkpoint, Rating

MOST_STARS = 5
LONGEST_NOTE = 2_000  # characters; a thought about one answer, not an essay


@dataclass(frozen=True, slots=True)
class StarCount:
    """How all users together rate an answer."""

    users: int = 0
    """Who gave it stars; a note alone does not count."""
    mean: float | None = None


def rate_answer(session: Session, answer_id: int, *, user_id: int, stars: int | None, note: str = "") -> None:
    """
    Store what a user thinks of an answer in place of what they did; nothing of both takes it away.

    Raises:
        NotFoundError: there is no such answer.
        InvalidError: there are not so many stars, or the note is too long.
    """
    note = note.replace("\x00", "").strip()
    _check(stars, note)
    check_answer(session, answer_id)
    if stars is None and not note:
        clear_rating(session, answer_id, user_id=user_id)
        return
    # One statement: a star and a note that are saved at the same moment must not both try to be the first.
    values = {"stars": stars, "note": note, "updated_at": utc_now()}
    upsert(session, Rating, key={"user_id": user_id, "answer_id": answer_id}, values=values)


def _check(stars: int | None, note: str) -> None:
    problems = []
    if stars is not None and not 1 <= stars <= MOST_STARS:
        problems.append(FieldError("stars", message("Give 1 to {most} stars, or none.", most=MOST_STARS)))
    if len(note) > LONGEST_NOTE:
        text = message("The note has {n} characters; {most} fit.", n=len(note), most=LONGEST_NOTE)
        problems.append(FieldError("note", text))
    if problems:
        raise InvalidError(problems)


def check_answer(session: Session, answer_id: int) -> None:
    """Do nothing where there is an answer; NotFoundError where there is none."""
    if session.get(Answer, answer_id) is None:
        raise NotFoundError(message("There is no answer {id}.", id=answer_id))


def clear_rating(session: Session, answer_id: int, *, user_id: int) -> None:
    """Take a user's stars and note away; there may be none."""
    session.exec(delete(Rating).where(col(Rating.answer_id) == answer_id, col(Rating.user_id) == user_id))


def own_rating(session: Session, answer_id: int, *, user_id: int) -> Rating | None:
    """Return what a user thinks of an answer."""
    return session.exec(select(Rating).where(Rating.answer_id == answer_id, Rating.user_id == user_id)).first()


def own_ratings(session: Session, run_ids: Sequence[int], *, user_id: int) -> dict[int, Rating]:
    """Return what a user thinks of the answers of some runs, by answer id."""
    found = select(Rating).join(Answer).join(Checkpoint).where(_of_runs(run_ids), Rating.user_id == user_id)
    return {rating.answer_id: rating for rating in session.exec(found)}


def has_rated(session: Session, user_id: int) -> bool:
    """Whether a user has given any answer stars or a note."""
    return session.exec(select(Rating.id).where(Rating.user_id == user_id).limit(1)).first() is not None


def count_stars(session: Session, answer_id: int) -> StarCount:
    """Return how all users rate one answer."""
    return _counted(session, col(Rating.answer_id) == answer_id).get(answer_id, StarCount())


def star_counts(session: Session, run_ids: Sequence[int]) -> Mapping[int, StarCount]:
    """Return how all users rate the answers of some runs, by answer id; what nobody gave stars is not there."""
    return _counted(session, _of_runs(run_ids))


def _of_runs(run_ids: Sequence[int]) -> ColumnElement[bool]:
    return col(Checkpoint.run_id).in_(run_ids)


def _counted(session: Session, which: ColumnElement[bool]) -> dict[int, StarCount]:
    stars = col(Rating.stars)
    found = sa_select(col(Rating.answer_id), func.count(stars), func.avg(stars)).join(Answer).join(Checkpoint)
    rows = session.execute(found.where(which, stars.is_not(None)).group_by(col(Rating.answer_id)))
    return {answer_id: StarCount(users, float(mean)) for answer_id, users, mean in rows}
