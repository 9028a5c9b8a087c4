"""
Blind votes: which of two answers to one question a user prefers, not knowing whose they are.

A pair counts once for each user, whichever of the two stood on the left. What came of the votes is
a share of wins with its interval: no model of strengths is fitted, which few votes would not bear.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, delete, select

from app.domain.columns import utc_now
from app.domain.db import upsert
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.models import Answer, Checkpoint, RunProbe, Vote
from app.domain.texts import comparable
from app.domain.vote_pools import Contender, VotePool

Z_95 = 1.959964  # of the normal distribution: 95 % lie within

Pair = tuple[int, int]
"""Two answer ids, the lower first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a checkpoint fares in votes."""

    contender: Contender
    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def votes(self) -> int:
        """How often one of its answers was voted on."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> float | None:
        """Share of its votes that it won, one that ended as good counted half; None without votes."""
        return (self.wins + self.ties / 2) / self.votes if self.votes else None

    @property
    def interval(self) -> tuple[float, float]:
        """The share's 95 % interval."""
        return wilson_interval(self.wins + self.ties / 2, self.votes)


def wilson_interval(wins: float, votes: int) -> tuple[float, float]:
    """
    Return the interval that holds the true share of wins in 95 of 100 cases; all there is without votes.

    Source:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not votes:
        return 0.0, 1.0
    share, weight = wins / votes, Z_95**2 / votes
    middle = (share + weight / 2) / (1 + weight)
    reach = Z_95 / (1 + weight) * math.sqrt(share * (1 - share) / votes + weight / (4 * votes))
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


# ── Voting ─────────────────────────────────────────────────────────────────


def vote(session: Session, *, user_id: int, answer_ids: Pair, preferred_id: int | None) -> None:
    """
    Store which of two answers a user prefers, in place of what they said of the pair before.

    Args:
        preferred_id: None where both are as good.

    Raises:
        InvalidError: these are not two different answers to one question, or the preferred one is neither.
    """
    first, second = sorted(answer_ids)
    _check_pair(session, first, second)
    if preferred_id not in {None, first, second}:
        raise InvalidError([FieldError("preferred_answer_id", message("Prefer one of the two answers, or neither."))])
    key = {"user_id": user_id, "first_answer_id": first, "second_answer_id": second}
    upsert(session, Vote, key=key, values={"preferred_answer_id": preferred_id, "created_at": utc_now()})


def _check_pair(session: Session, first: int, second: int) -> None:
    asked = select(Answer.checkpoint_id, Answer.text, RunProbe.question).join(RunProbe)
    found = session.exec(asked.where(col(Answer.id).in_([first, second]))).all()
    checkpoints, texts, questions = (
        {(row[0], comparable(row[1]), comparable(row[2]))[part] for row in found} for part in range(3)
    )
    if (len(checkpoints), len(texts), len(questions)) != (2, 2, 1):
        text = message("Give two answers of different checkpoints to one question, whose texts differ.")
        raise InvalidError([FieldError("answer_ids", text)])


def votes_on(session: Session, pool: VotePool, *, user_id: int | None = None) -> list[Vote]:
    """Return the votes on a pool's answers, the earliest first: one user's, or all."""
    run_ids = {contender.run_id for contender in pool.contenders}
    found = select(Vote).join(Answer, col(Answer.id) == Vote.first_answer_id).join(Checkpoint)
    found = found.where(col(Checkpoint.run_id).in_(run_ids)).order_by(col(Vote.created_at), col(Vote.id))
    if user_id is not None:
        found = found.where(Vote.user_id == user_id)
    known = pool.checkpoint_of
    return [each for each in session.exec(found) if each.first_answer_id in known and each.second_answer_id in known]


def undo_vote(session: Session, pool: VotePool, *, user_id: int) -> Pair | None:
    """Take a user's last vote back and return its pair; None when there is none."""
    own = votes_on(session, pool, user_id=user_id)
    if not own:
        return None
    session.exec(delete(Vote).where(col(Vote.id) == own[-1].id))
    return own[-1].first_answer_id, own[-1].second_answer_id


# ── What came of it ────────────────────────────────────────────────────────


def standings(pool: VotePool, votes: Iterable[Vote]) -> list[Standing]:
    """Count each checkpoint's votes, in the order of the pool."""
    wins, losses, ties = Counter[int](), Counter[int](), Counter[int]()
    for each in votes:
        first, second = (pool.checkpoint_of[answer] for answer in (each.first_answer_id, each.second_answer_id))
        if each.preferred_answer_id is None:
            ties.update((first, second))
        else:
            is_first = each.preferred_answer_id == each.first_answer_id
            wins[first if is_first else second] += 1
            losses[second if is_first else first] += 1
    return [
        Standing(each, wins[each.checkpoint_id], losses[each.checkpoint_id], ties[each.checkpoint_id])
        for each in pool.contenders
    ]
