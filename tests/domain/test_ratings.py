"""Stars and notes: each user's own, counted over all."""

import time

import pytest
from sqlmodel import Session, col, select

from app.domain import accounts
from app.domain.errors import InvalidError, NotFoundError
from app.domain.events import ingest
from app.domain.models import Answer, Rating, Role, Run, RunState, Vote
from app.domain.ratings import LONGEST_NOTE, StarCount, count_stars, own_rating, own_ratings, rate_answer, star_counts
from app.domain.runs import id_of
from app.domain.trainer_events import AnswerGiven, AnswersGiven
from app.domain.votes import vote
from tests.factories import attempt_of, make_checkpoint, make_run


@pytest.fixture
def ada(session: Session) -> int:
    """Return the first user."""
    return accounts.first_admin(session).id or 0


@pytest.fixture
def bea(session: Session) -> int:
    """Make another user, who may only look."""
    return accounts.add_user(session, "bea", role=Role.VIEWER).id or 0


@pytest.fixture
def run(session: Session) -> Run:
    """Store a run whose two checkpoints said three things each."""
    run = make_run(session, state=RunState.RUNNING)
    for iteration in (5, 10):
        make_checkpoint(session, run, iteration=iteration, texts=[f"{text} {iteration}" for text in "abc"])
    return run


def said(session: Session, text: str) -> int:
    """Return the id of the answer with a text."""
    return session.exec(select(Answer.id).where(Answer.text == text)).one() or 0


def test_a_rating_is_its_users_and_counts_for_all(session: Session, run: Run, ada: int, bea: int) -> None:
    """Each sees their own stars and note; a note without stars moves no mean."""
    first, second = said(session, "a 5"), said(session, "b 5")
    rate_answer(session, first, user_id=ada, stars=2, note=" dull\n")
    rate_answer(session, first, user_id=ada, stars=5, note="fine")
    rate_answer(session, first, user_id=bea, stars=4)
    rate_answer(session, second, user_id=bea, stars=None, note="only a note")

    own = own_rating(session, first, user_id=ada)
    assert own is not None
    assert (own.stars, own.note) == (5, "fine")
    assert count_stars(session, first) == StarCount(2, 4.5)
    assert count_stars(session, second) == StarCount()
    assert own_ratings(session, [id_of(run)], user_id=ada).keys() == {first}
    assert own_ratings(session, [id_of(run)], user_id=bea).keys() == {first, second}
    assert star_counts(session, [id_of(run)]) == {first: StarCount(2, 4.5)}


@pytest.mark.usefixtures("run")
def test_nothing_takes_a_rating_away(session: Session, ada: int) -> None:
    """Neither stars nor words: there is no row of it."""
    rate_answer(session, said(session, "a 5"), user_id=ada, stars=3, note="x")

    rate_answer(session, said(session, "a 5"), user_id=ada, stars=None, note="  ")

    assert session.exec(select(Rating)).all() == []


@pytest.mark.usefixtures("run")
def test_what_cannot_be_a_rating_is_named(session: Session, ada: int) -> None:
    """Every field that is wrong, and an answer that is not there."""
    for stars in (0, 6, -1):
        with pytest.raises(InvalidError) as error:
            rate_answer(session, said(session, "a 5"), user_id=ada, stars=stars, note="x" * (LONGEST_NOTE + 1))
        assert [each.field for each in error.value.fields] == ["stars", "note"]
    with pytest.raises(NotFoundError, match="no answer 9999"):
        rate_answer(session, 9999, user_id=ada, stars=3)


def test_an_answer_that_comes_again_keeps_what_was_thought_of_it(session: Session, run: Run, ada: int) -> None:
    """A resumed run answers anew: the same words keep ratings and votes, other words lose them."""
    same, other = said(session, "a 5"), said(session, "b 5")
    for each, later in ((same, "a 10"), (other, "b 10")):
        rate_answer(session, each, user_id=ada, stars=3)
        vote(session, user_id=ada, answer_ids=(said(session, later), each), preferred_id=each)
    texts = ["a 5", "new", "c 5"]
    answers = tuple(AnswerGiven(probe=n, text=text, tokens=1, ended="stop") for n, text in enumerate(texts))
    event = AnswersGiven(time=time.time(), iteration=5, answers=answers, seconds=1.0, dtype="float32", quantised=False)

    ingest(session, run, attempt_of(session, run), [event], size=1)

    assert session.exec(select(Rating.answer_id)).all() == [same]
    assert session.exec(select(Vote.first_answer_id)).all() == [same]
    stored = select(Answer.text).where(col(Answer.text).not_like("% 10")).order_by(col(Answer.probe_id))
    assert session.exec(stored).all() == texts
