"""Stars, notes and blind votes: the caller's own, and how all users together see it."""

from datetime import datetime
from random import SystemRandom
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from app.api.errors import documented
from app.api.paging import Cursor, Page, cut
from app.api.types import LARGEST_ID, MOST_LISTED, CheckpointIds, Id, Limit, Reply, RunIds
from app.domain import ratings, votes
from app.domain.blind_pairs import next_pair
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.models import Vote
from app.domain.ratings import LONGEST_NOTE, MOST_STARS, StarCount
from app.domain.runs import get_run
from app.domain.vote_pools import VotePool, vote_pool
from app.domain.votes import Standing
from app.web.addresses import read_ids
from app.web.deps import ReadSession, WriteSession

router = APIRouter(tags=["ratings"])

AnswerId = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class PutRating(BaseModel):
    """What the caller thinks of an answer."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    stars: Annotated[int, Field(ge=1, le=MOST_STARS)] | None = None
    """Null for a note alone."""
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""


class RatingReply(Reply):
    """An answer's rating: the caller's own, and everybody's."""

    answer_id: int
    stars: int | None
    """The caller's; null where there are none."""
    note: str
    """The caller's: no other user sees it."""
    users: int
    """Who gave it stars, the caller included."""
    mean_stars: float | None


class RatingList(Page):
    """Every answer of a run that somebody rated."""

    ratings: list[RatingReply]


class PostVote(BaseModel):
    """Which of two answers to one question the caller prefers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    answer_ids: tuple[AnswerId, AnswerId]
    preferred_answer_id: AnswerId | None = None
    """One of the two; null where both are as good."""


class VoteReply(Reply):
    """One vote of the caller's."""

    answer_ids: tuple[int, int]
    preferred_answer_id: int | None
    created_at: datetime


class ShownAnswer(Reply):
    """One of two answers to choose from."""

    answer_id: int
    text: str


class PairReply(Reply):
    """Two different answers to one question, in random order; null where every pair is voted on."""

    question: str | None
    answers: list[ShownAnswer] | None


class UndoneVote(Reply):
    """The answers whose vote was taken back; null where there was none."""

    answer_ids: list[int] | None


class StandingReply(Reply):
    """How a checkpoint fares."""

    checkpoint_id: int
    run_id: int
    iteration: int
    votes: int
    wins: int
    losses: int
    ties: int
    share: float | None
    """Of its votes that it won, one that ended as good counted half."""
    interval: tuple[float, float]
    """The share's 95 % interval, after Wilson."""


class VoteResults(Page):
    """What came of the votes on some checkpoints."""

    votes: list[VoteReply]
    """The caller's, the earliest first."""
    own: list[StandingReply]
    everybody: list[StandingReply]


@router.put("/answers/{answer_id}/rating", summary="Rate an answer", responses=documented(404))
def put_rating(request: Request, answer_id: Id, rating: PutRating, session: WriteSession) -> RatingReply:
    """Store the caller's stars and note in place of what they were; nothing of both takes them away."""
    user_id = request.state.user.user_id
    ratings.rate_answer(session, answer_id, user_id=user_id, stars=rating.stars, note=rating.note)
    own = ratings.own_rating(session, answer_id, user_id=user_id)
    everybody = ratings.count_stars(session, answer_id)
    return _rating(answer_id, own.stars if own else None, own.note if own else "", everybody)


@router.delete("/answers/{answer_id}/rating", status_code=204, summary="Unrate an answer", responses=documented(404))
def delete_rating(request: Request, answer_id: Id, session: WriteSession) -> None:
    """Take the caller's stars and note away."""
    ratings.check_answer(session, answer_id)
    ratings.clear_rating(session, answer_id, user_id=request.state.user.user_id)


@router.get("/runs/{run_id}/ratings", summary="Ratings of a run's answers", responses=documented(404))
def list_ratings(
    request: Request, run_id: Id, session: ReadSession, *, cursor: Cursor = "", limit: Limit = MOST_LISTED
) -> RatingList:
    """Return each answer that the caller or anybody rated, by the answers' ids."""
    get_run(session, run_id)
    own = ratings.own_ratings(session, [run_id], user_id=request.state.user.user_id)
    everybody = ratings.star_counts(session, [run_id])
    replies = []
    for answer_id in sorted(own.keys() | everybody.keys()):
        mine = own.get(answer_id)
        count = everybody.get(answer_id, StarCount())
        replies.append(_rating(answer_id, mine.stars if mine else None, mine.note if mine else "", count))
    page, more = cut(replies, "ratings", run_id, cursor=cursor, limit=limit, place=lambda each: (each.answer_id,))
    return RatingList(ratings=page, next_cursor=more)


def _rating(answer_id: int, stars: int | None, note: str, everybody: StarCount) -> RatingReply:
    return RatingReply(answer_id=answer_id, stars=stars, note=note, users=everybody.users, mean_stars=everybody.mean)


# ── Votes ──────────────────────────────────────────────────────────────────


@router.post("/votes", status_code=204, summary="Vote on two answers", responses=documented())
def create_vote(request: Request, vote: PostVote, session: WriteSession) -> None:
    """Store which of two answers the caller prefers; a pair counts once, the last vote on it."""
    user_id, preferred_id = request.state.user.user_id, vote.preferred_answer_id
    votes.vote(session, user_id=user_id, answer_ids=vote.answer_ids, preferred_id=preferred_id)


@router.post("/votes/undo", summary="Take the last vote back", responses=documented(404))
def undo_vote(
    request: Request, session: WriteSession, *, checkpoints: CheckpointIds = "", runs: RunIds = ""
) -> UndoneVote:
    """Take back the caller's last vote on the answers of some checkpoints."""
    pool = _pool(session, checkpoints, runs)
    undone = votes.undo_vote(session, pool, user_id=request.state.user.user_id)
    return UndoneVote(answer_ids=None if undone is None else list(undone))


@router.get("/votes/pair", summary="Two answers to vote on", responses=documented(404))
def get_pair(
    request: Request, session: ReadSession, *, checkpoints: CheckpointIds = "", runs: RunIds = ""
) -> PairReply:
    """Return the pair whose vote says most next; whose answers they are is not said."""
    pool = _pool(session, checkpoints, runs)
    own = votes.votes_on(session, pool, user_id=request.state.user.user_id)
    pair = next_pair(pool, own, rng=SystemRandom())
    if pair is None:
        return PairReply(question=None, answers=None)
    for (question, _number), said in pool.questions.items():
        texts = {each.answer_id: each.text for each in said.values()}
        if texts.keys() >= set(pair):
            shown = [ShownAnswer(answer_id=each, text=texts[each]) for each in pair]
            return PairReply(question=question, answers=shown)
    raise RuntimeError("a pair is of answers to one question")


@router.get("/votes", summary="Results of votes", responses=documented(404))
def list_votes(
    request: Request,
    session: ReadSession,
    *,
    checkpoints: CheckpointIds = "",
    runs: RunIds = "",
    cursor: Cursor = "",
    limit: Limit = MOST_LISTED,
) -> VoteResults:
    """Return the caller's votes on some checkpoints, and how each of these fares; the standings are of all votes."""
    pool = _pool(session, checkpoints, runs)
    every = votes.votes_on(session, pool)
    own = [each for each in every if each.user_id == request.state.user.user_id]
    of, place = ("votes", checkpoints, runs), lambda each: (each.created_at.isoformat(), each.id or 0)
    page, more = cut(own, *of, cursor=cursor, limit=limit, place=place)
    return VoteResults(
        votes=[_vote(each) for each in page],
        next_cursor=more,
        own=_standings(votes.standings(pool, own)),
        everybody=_standings(votes.standings(pool, every)),
    )


def _vote(vote: Vote) -> VoteReply:
    return VoteReply(
        answer_ids=(vote.first_answer_id, vote.second_answer_id),
        preferred_answer_id=vote.preferred_answer_id,
        created_at=vote.created_at,
    )


def _pool(session: Session, checkpoints: str, runs: str) -> VotePool:
    run_ids, checkpoint_ids = read_ids("runs", [runs]), read_ids("checkpoints", [checkpoints])
    if not run_ids and not checkpoint_ids:
        raise InvalidError([FieldError("runs", message("Say what to look at: checkpoints=1,2,3 or runs=7,8."))])
    return vote_pool(session, run_ids=run_ids, checkpoint_ids=checkpoint_ids)


def _standings(standings: list[Standing]) -> list[StandingReply]:
    return [
        StandingReply(
            checkpoint_id=each.contender.checkpoint_id,
            run_id=each.contender.run_id,
            iteration=each.contender.iteration,
            votes=each.votes,
            wins=each.wins,
            losses=each.losses,
            ties=each.ties,
            share=each.share,
            interval=each.interval,
        )
        for each in standings
    ]
