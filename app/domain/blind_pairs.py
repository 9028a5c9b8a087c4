"""
Which pair of answers comes next in a blind vote, and names for them that say nothing.

Ids grow as a run goes on, so that a page which held them would tell the later answer from the
earlier. Its names for answers are made with a key that only the database holds.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from random import Random

from sqlmodel import Session

from app.domain.models import User, Vote
from app.domain.texts import comparable
from app.domain.vote_pools import VotePool
from app.domain.votes import Pair, standings

VOTES_A_CHECKPOINT = 5  # pairs of a round for each checkpoint: each is then seen about ten times
NAME_LENGTH = 22  # hexadecimal digits; chance gives no two of a million answers the same


def round_size(pool: VotePool) -> int:
    """Return how many pairs say something about every checkpoint."""
    return min(pool.pairs, VOTES_A_CHECKPOINT * len(pool.contenders))


def next_pair(pool: VotePool, votes: Sequence[Vote], *, skipped: Collection[Pair] = (), rng: Random) -> Pair | None:
    """
    Choose two different answers to one question, in random order.

    The checkpoint with the fewest votes meets one that it met seldom and that is about as strong:
    between such two a vote says most. Of the questions that they have left, a seldom asked one comes.

    Args:
        votes: the user's own; their pairs come no more.
        skipped: pairs that come only when nothing else is left.

    Returns:
        Two answer ids, the left one first; None when every pair is voted on.
    """
    done = {(each.first_answer_id, each.second_answer_id) for each in votes}
    if len(done) >= pool.pairs:
        return None  # found without trying them all
    return _choose(pool, votes, done | set(skipped), rng) or _choose(pool, votes, done, rng)


def _choose(pool: VotePool, votes: Sequence[Vote], done: Collection[Pair], rng: Random) -> Pair | None:
    here = {each.contender.checkpoint_id: each for each in standings(pool, votes)}
    known = pool.checkpoint_of
    met = Counter(frozenset((known[each.first_answer_id], known[each.second_answer_id])) for each in votes)

    def strength(one: int) -> float:
        return (here[one].wins + here[one].ties / 2 + 1) / (here[one].votes + 2)

    for one in sorted(here, key=lambda each: (here[each].votes, rng.random())):
        others = sorted(
            here.keys() - {one},
            key=lambda each: (
                met[frozenset((one, each))],
                here[each].votes,
                abs(strength(one) - strength(each)),
                rng.random(),
            ),
        )
        for other in others:
            if pair := _on_some_question(pool, votes, two=(one, other), done=done, rng=rng):
                return pair
    return None


def _on_some_question(
    pool: VotePool, votes: Iterable[Vote], *, two: tuple[int, int], done: Collection[Pair], rng: Random
) -> Pair | None:
    asked = Counter(answer for each in votes for answer in (each.first_answer_id, each.second_answer_id))
    left: list[tuple[int, float, Pair]] = []
    for said in pool.questions.values():
        here = [said[each] for each in two if each in said]
        if len(here) < len(two) or comparable(here[0].text) == comparable(here[1].text):
            continue
        ids = (here[0].answer_id, here[1].answer_id)
        if (min(ids), max(ids)) not in done:
            times = sum(asked[each.answer_id] for each in said.values())
            left.append((times, rng.random(), rng.choice((ids, ids[::-1]))))
    return min(left)[2] if left else None


# ── Names ──────────────────────────────────────────────────────────────────


def names_key(session: Session, user_id: int) -> bytes:
    """Return the key of a user's names for answers: of facts that neither pages nor the API tell."""
    user = session.get_one(User, user_id)
    return hashlib.sha256(f"{user_id}\n{user.created_at.isoformat()}\n{user.password_hash}".encode()).digest()


def name_of(answer_id: int, key: bytes) -> str:
    """Name an answer so that nothing can be told from the name."""
    return hmac.new(key, str(answer_id).encode(), hashlib.sha256).hexdigest()[:NAME_LENGTH]


def answers_named(pool: VotePool, names: Collection[str], key: bytes) -> dict[str, int]:
    """Return the answers of a pool that some names are of, by name."""
    if not names:
        return {}
    wanted = set(names)
    return {name: each for each in pool.checkpoint_of if (name := name_of(each, key)) in wanted}
