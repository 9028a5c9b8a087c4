"""Storing what a checkpoint answered, with what depends on it: the search index, and what users thought of it."""

from collections.abc import Sequence

from sqlmodel import Session, col, delete, or_, select

from app.domain.answer_search import index_answers
from app.domain.models import Answer, Rating, Vote


def replace_answers(session: Session, checkpoint_id: int, answers: Sequence[Answer]) -> None:
    """
    Store everything that a checkpoint answers, in place of what it did.

    An answer that is word for word what it was stays, with its ratings and votes, and says how it came anew; those
    of another text go with it.
    """
    stored = select(Answer).where(Answer.checkpoint_id == checkpoint_id).execution_options(populate_existing=True)
    before = {answer.probe_id: answer for answer in session.exec(stored)}
    same = {each.probe_id: each for each in answers if (old := before.get(each.probe_id)) and old.text == each.text}
    _forget(session, [answer.id or 0 for probe_id, answer in before.items() if probe_id not in same])
    for probe_id, answer in same.items():
        kept = before[probe_id]
        kept.tokens, kept.ended, kept.asking_id = answer.tokens, answer.ended, answer.asking_id
        session.add(kept)
    session.add_all(answer for answer in answers if answer.probe_id not in same)
    index_answers(session, [checkpoint_id])


def _forget(session: Session, answer_ids: Sequence[int]) -> None:
    if not answer_ids:
        return
    pairs = (col(Vote.first_answer_id).in_(answer_ids), col(Vote.second_answer_id).in_(answer_ids))
    session.exec(delete(Vote).where(or_(*pairs)))
    session.exec(delete(Rating).where(col(Rating.answer_id).in_(answer_ids)))
    session.exec(delete(Answer).where(col(Answer.id).in_(answer_ids)))
