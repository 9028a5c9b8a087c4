"""Blind votes: symmetric, one for each pair and user, and fair to every checkpoint."""

import math
from collections import Counter
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from app.domain import accounts
from app.domain.blind_pairs import answers_named, name_of, names_key, next_pair, round_size
from app.domain.errors import InvalidError, NotFoundError
from app.domain.models import Role, RunState, Vote
from app.domain.runs import id_of
from app.domain.texts import comparable
from app.domain.vote_pools import Contender, Said, VotePool, vote_pool
from app.domain.votes import Standing, standings, undo_vote, vote, votes_on, wilson_interval
from tests.factories import make_checkpoint, make_run
from tests.stories import make_story


def chance(seed: int) -> Random:
    """Return what chooses, the same way every time."""
    return Random(seed)  # noqa: S311 - no secret


POOL = VotePool(
    tuple(Contender(n, 1, "run", n, 60) for n in range(1, 7)),
    {(f"question {q}", 0): {n: Said(100 * q + n, f"{q} {n}") for n in range(1, 7)} for q in range(1, 8)},
)


@pytest.fixture
def ada(session: Session) -> int:
    """Return the first user."""
    return accounts.first_admin(session).id or 0


def voted(pair: tuple[int, int], preferred: int | None, number: int = 0) -> Vote:
    """Make a vote as the database holds it."""
    first, second = sorted(pair)
    return Vote(id=number, user_id=1, first_answer_id=first, second_answer_id=second, preferred_answer_id=preferred)


def play(pool: VotePool, votes: int, *, seed: int = 0) -> list[Vote]:
    """Vote so often: the later checkpoint of a pair is always better."""
    rng, done = chance(seed), list[Vote]()
    while len(done) < votes and (pair := next_pair(pool, done, rng=rng)):
        done.append(voted(pair, max(pair), len(done)))
    return done


# ── Votes ──────────────────────────────────────────────────────────────────


def test_a_vote_is_the_same_from_both_sides_and_counts_once(session: Session, ada: int) -> None:
    """Whichever stood on the left; the last word on a pair is the one that counts, each user has their own."""
    pool = vote_pool(session, run_ids=[id_of(make_story(session))])
    question = next(iter(pool.questions.values()))
    one, *_, other = (said.answer_id for said in question.values())
    bea = accounts.add_user(session, "bea", role=Role.VIEWER).id or 0

    vote(session, user_id=ada, answer_ids=(other, one), preferred_id=one)
    vote(session, user_id=ada, answer_ids=(one, other), preferred_id=other)
    vote(session, user_id=bea, answer_ids=(other, one), preferred_id=None)

    own = votes_on(session, pool, user_id=ada)
    assert [(each.first_answer_id, each.second_answer_id, each.preferred_answer_id) for each in own] == [
        (one, other, other)
    ]
    by_checkpoint = {each.contender.checkpoint_id: each for each in standings(pool, votes_on(session, pool))}
    assert (by_checkpoint[pool.checkpoint_of[other]].wins, by_checkpoint[pool.checkpoint_of[one]].losses) == (1, 1)
    assert by_checkpoint[pool.checkpoint_of[one]].ties == 1


def test_what_is_no_pair_is_refused(session: Session, ada: int) -> None:
    """Answers to two questions, one answer twice, two equal texts, and a third answer preferred."""
    pool = vote_pool(session, run_ids=[id_of(make_story(session))])
    first, second = (list(question.values()) for question in list(pool.questions.values())[:2])
    equal = next(pair for pair in combinations(first, 2) if pair[0].text == pair[1].text)
    for pair, preferred in (
        ((first[0], second[1]), None),
        ((first[0], first[0]), None),
        (equal, None),
        ((first[0], first[2]), second[0].answer_id),
    ):
        with pytest.raises(InvalidError):
            vote(session, user_id=ada, answer_ids=(pair[0].answer_id, pair[1].answer_id), preferred_id=preferred)

    assert session.exec(select(Vote)).all() == []


def test_the_last_vote_is_undone_first(session: Session, ada: int) -> None:
    """Also where it was a second word on an earlier pair; there may be none left."""
    pool = vote_pool(session, run_ids=[id_of(make_story(session))])
    one, two, three = (said.answer_id for said in list(next(iter(pool.questions.values())).values())[:3])
    for pair in ((one, two), (two, three), (one, two)):
        vote(session, user_id=ada, answer_ids=pair, preferred_id=pair[0])

    assert undo_vote(session, pool, user_id=ada) == (one, two)
    assert undo_vote(session, pool, user_id=ada) == (two, three)
    assert undo_vote(session, pool, user_id=ada) is None


# ── What is voted on ───────────────────────────────────────────────────────


def test_runs_of_one_model_share_its_untuned_answers(session: Session) -> None:
    """A base model stands there once, and chosen checkpoints bring no others."""
    one, two = make_story(session), make_story(session)
    waiting = make_run(session, state=RunState.QUEUED)
    alone = make_checkpoint(session, waiting, iteration=5, texts=["a", "b", "c"])

    pool = vote_pool(session, run_ids=[id_of(one), id_of(two)], checkpoint_ids=[id_of(alone)])

    assert Counter(each.iteration for each in pool.contenders)[0] == 1
    assert [each.run_id for each in pool.contenders].count(waiting.id or 0) == 1
    assert pool.pairs == sum(
        comparable(one.text) != comparable(other.text)
        for said in pool.questions.values()
        for one, other in combinations(said.values(), 2)
    )
    with pytest.raises(NotFoundError):
        vote_pool(session, run_ids=[999])


# ── The next pair ──────────────────────────────────────────────────────────


def test_every_checkpoint_is_seen_about_as_often() -> None:
    """After each vote of a round no two are more than two apart."""
    votes = play(POOL, round_size(POOL))

    for end in range(1, len(votes) + 1):
        seen = [each.votes for each in standings(POOL, votes[:end])]
        assert max(seen) - min(seen) <= 2


def test_every_pair_comes_once_and_then_none() -> None:
    """Answers to one question, of two checkpoints; each is to the left as often as chance has it."""
    rng, votes, lefts = chance(1), list[Vote](), 0
    while pair := next_pair(POOL, votes, rng=rng):
        assert pair[0] // 100 == pair[1] // 100
        assert pair[0] != pair[1]
        lefts += pair[0] < pair[1]
        votes.append(voted(pair, None))

    assert len({(each.first_answer_id, each.second_answer_id) for each in votes}) == len(votes) == POOL.pairs
    assert abs(lefts - POOL.pairs / 2) < 3 * math.sqrt(POOL.pairs / 4)


def test_equal_answers_never_meet_and_skipped_ones_come_last() -> None:
    """Two texts that differ by spaces, case and marks alone are equal."""
    said = {1: Said(1, "same"), 2: Said(2, " Same.\n"), 3: Said(3, "other")}
    pool = VotePool(tuple(Contender(n, 1, "run", n, 3) for n in said), {("?", 0): said})

    firsts = {tuple(sorted(next_pair(pool, [], skipped={(1, 3)}, rng=chance(seed)) or ())) for seed in range(20)}
    assert firsts == {(2, 3)}
    assert pool.pairs == 2
    assert sorted(next_pair(pool, [voted((2, 3), None)], skipped={(1, 3)}, rng=chance(0)) or ()) == [1, 3]
    assert next_pair(pool, [voted((2, 3), None), voted((1, 3), None)], rng=chance(0)) is None


def test_names_tell_nothing_and_are_each_users_own(session: Session, ada: int) -> None:
    """Their order is not that of the ids, and nobody finds another's answers by them."""
    bea = accounts.add_user(session, "bea", role=Role.VIEWER).id or 0
    keys = names_key(session, ada), names_key(session, bea)
    ids = sorted(POOL.checkpoint_of)

    names = [name_of(each, keys[0]) for each in ids]

    assert names != sorted(names)
    assert answers_named(POOL, names[:3], keys[0]) == dict(zip(names[:3], ids, strict=False))
    assert answers_named(POOL, names, keys[1]) == {}


# ── Counting ───────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.sampled_from(list(combinations(range(101, 107), 2))), st.sampled_from([0, 1, None]))))
@settings(max_examples=50)
def test_what_one_wins_another_loses(said: list[tuple[tuple[int, int], int | None]]) -> None:
    """Shares of all votes make a half on average, and each lies within its interval."""
    votes = [voted(pair, None if side is None else pair[side]) for pair, side in said]

    counted = standings(POOL, votes)

    assert sum(each.wins for each in counted) == sum(each.losses for each in counted)
    assert sum(each.votes for each in counted) == 2 * len(votes)
    assert sum((each.share or 0) * each.votes for each in counted) == pytest.approx(len(votes))
    for each in counted:
        low, high = each.interval
        assert 0 <= low <= (0.5 if each.share is None else each.share) <= high <= 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_an_interval_is_that_of_wilson(wins: int, losses: int) -> None:
    """Mirrored when wins and losses change places, and narrower the more votes there are."""
    votes = wins + losses
    low, high = wilson_interval(wins, votes)

    assert (1 - high, 1 - low) == pytest.approx(wilson_interval(losses, votes))
    if votes:
        more = wilson_interval(4 * wins, 4 * votes)
        assert more[1] - more[0] < high - low


def test_the_interval_of_a_known_case() -> None:
    """Eight of ten: 0.490 to 0.943, as tables of Wilson's interval say."""
    assert Standing(POOL.contenders[0], wins=7, losses=1, ties=2).interval == pytest.approx((0.490, 0.943), abs=5e-4)
