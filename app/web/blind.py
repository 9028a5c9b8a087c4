"""Blind votes: two answers to one question, without names; and what came of the votes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session

from app.domain import votes
from app.domain.blind_pairs import answers_named, name_of, names_key, next_pair, round_size
from app.domain.errors import NotFoundError
from app.domain.messages import message
from app.domain.vote_pools import VotePool, vote_pool
from app.domain.votes import Pair, Standing
from app.web.addresses import read_ids
from app.web.deps import ReadSession, WriteSession
from app.web.render import render

MOST_SKIPPED = 20  # pairs that an address remembers
SAME = "same"

router = APIRouter(prefix="/compare/blind", include_in_schema=False)


@dataclass(frozen=True)
class BlindQuery:
    """What is voted on, as it stands in the address."""

    runs: tuple[int, ...] = ()
    checkpoints: tuple[int, ...] = ()
    pair: str = ""
    """Names of two answers to show."""
    skipped: tuple[str, ...] = ()
    """Pairs that shall not come at once again."""
    more: bool = False
    """Go on although a round is whole."""

    def url(self, path: str = "", **changes: object) -> str:
        """Return an address below `/compare/blind` of the same checkpoints."""
        own = replace(self, **{"pair": "", "skipped": (), "more": False} | changes)  # type: ignore[arg-type]
        values = {"runs": ",".join(map(str, own.runs)), "checkpoints": ",".join(map(str, own.checkpoints)),
                  "pair": own.pair, "skipped": ",".join(own.skipped), "more": "1" if own.more else ""}  # fmt: skip
        query = urlencode({name: value for name, value in values.items() if value}, safe=",.")
        return f"/compare/blind{path}?{query}"

    @property
    def compare_url(self) -> str:
        """The same checkpoints with their names."""
        return self.url().replace("/compare/blind?", "/compare?")


Texts = Annotated[list[str], Query()]


def blind_query(
    *,
    runs: Texts = [],  # noqa: B006 - FastAPI copies it
    checkpoints: Texts = [],  # noqa: B006
    pair: Annotated[str, Query(max_length=64)] = "",
    skipped: Annotated[str, Query(max_length=64 * MOST_SKIPPED)] = "",
    more: bool = False,
) -> BlindQuery:
    """Read the address; InvalidError for what is no list of ids."""
    past = tuple(name for name in skipped.split(",") if name)[-MOST_SKIPPED:]
    return BlindQuery(read_ids("runs", runs), read_ids("checkpoints", checkpoints), pair, past, more)


AskedVote = Annotated[BlindQuery, Depends(blind_query)]


@dataclass(frozen=True)
class NamedAnswer:
    """An answer of the pair, with a name that tells nothing."""

    name: str
    text: str


@dataclass(frozen=True)
class BlindPage:
    """The pair to vote on, and how far the vote is."""

    query: BlindQuery
    question: str
    answers: tuple[NamedAnswer, ...]
    """Two; none where there is nothing left, or a round is whole."""
    voted: int
    wanted: int
    contenders: int
    pairs: int
    """Of different answers, all there are."""

    @property
    def pair(self) -> str:
        """The names of both."""
        return ".".join(answer.name for answer in self.answers)


@dataclass(frozen=True)
class ResultsPage:
    """Who won how often."""

    query: BlindQuery
    own: Sequence[Standing]
    everybody: Sequence[Standing]
    own_votes: int
    all_votes: int
    runs: int


@router.get("", name="blind.show")
def show(request: Request, session: ReadSession, query: AskedVote) -> Response:
    """Show the next pair, or that a round is whole."""
    user_id = request.state.user.user_id
    pool = _pool(session, query)
    own = votes.votes_on(session, pool, user_id=user_id)
    key, size = names_key(session, user_id), max(1, round_size(pool))
    is_whole = bool(own) and len(own) % size == 0 and not query.more and not query.pair
    pair, *skipped = _asked(pool, (query.pair, *query.skipped), key)
    if pair is None and not is_whole:
        past = {(min(each), max(each)) for each in skipped if each}
        pair = next_pair(pool, own, skipped=past, rng=SystemRandom())
    question, answers = _shown(pool, pair, key)
    rounds = -(-(len(own) + (pair is not None)) // size)
    page = BlindPage(query, question, answers, len(own), min(pool.pairs, max(1, rounds) * size),
                     len(pool.contenders), pool.pairs)  # fmt: skip
    return render(request, "blind/blind.html", page, partial="blind/_vote.html")


@router.post("", name="blind.vote")
def vote(
    request: Request,
    session: WriteSession,
    query: AskedVote,
    *,
    pair: Annotated[str, Form(max_length=64)],
    preferred: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Store a vote, or nothing for a pair that is skipped, and go to the next pair."""
    pool, user_id = _pool(session, query), request.state.user.user_id
    key = names_key(session, user_id)
    (asked,) = _asked(pool, [pair], key)
    if not preferred or asked is None:  # an answer that was given anew meanwhile is as good as skipped
        skipped = (*query.skipped, pair)[-MOST_SKIPPED:]
        return RedirectResponse(query.url(skipped=skipped, more=query.more), status_code=303)
    preferred_id = next((each for each in asked if name_of(each, key) == preferred), None)
    if preferred_id is None and preferred != SAME:
        raise NotFoundError(message("This answer is not one of the two."))
    votes.vote(session, user_id=user_id, answer_ids=asked, preferred_id=preferred_id)
    return RedirectResponse(query.url(skipped=query.skipped), status_code=303)


@router.post("/undo", name="blind.undo")
def undo(request: Request, session: WriteSession, query: AskedVote) -> Response:
    """Take the last vote back, and show its pair again."""
    user_id = request.state.user.user_id
    undone = votes.undo_vote(session, _pool(session, query), user_id=user_id)
    key = names_key(session, user_id)
    names = [name_of(each, key) for each in undone or ()]
    pair = ".".join(SystemRandom().sample(names, len(names)))  # as stored it would tell which is the earlier
    return RedirectResponse(query.url(pair=pair, skipped=query.skipped), status_code=303)


@router.get("/results", name="blind.results")
def results(request: Request, session: ReadSession, query: AskedVote) -> Response:
    """Show what came of the votes: the reader's own, and everybody's."""
    pool = _pool(session, query)
    every = votes.votes_on(session, pool)
    own = [each for each in every if each.user_id == request.state.user.user_id]
    page = ResultsPage(
        query=query,
        own=_ranked(votes.standings(pool, own)),
        everybody=_ranked(votes.standings(pool, every)),
        own_votes=len(own),
        all_votes=len(every),
        runs=len({each.run_id for each in pool.contenders}),
    )
    return render(request, "blind/results.html", page)


def _pool(session: Session, query: BlindQuery) -> VotePool:
    if not query.runs and not query.checkpoints:
        raise NotFoundError(message("Say what to vote on: runs=7,8 or checkpoints=1,2,3."))
    return vote_pool(session, run_ids=query.runs, checkpoint_ids=query.checkpoints)


def _asked(pool: VotePool, pairs: Sequence[str], key: bytes) -> list[Pair | None]:
    """Return the two answers of each pair of names, in their order; None where they are no longer there."""
    split = [pair.partition(".")[::2] for pair in pairs]
    found = answers_named(pool, {name for names in split for name in names if name}, key)
    return [
        (found[first], found[second]) if first != second and {first, second} <= found.keys() else None
        for first, second in split
    ]


def _shown(pool: VotePool, pair: Pair | None, key: bytes) -> tuple[str, tuple[NamedAnswer, ...]]:
    if pair is None:
        return "", ()
    for (question, _number), said in pool.questions.items():
        texts = {each.answer_id: each.text for each in said.values()}
        if texts.keys() >= set(pair):
            return question, tuple(NamedAnswer(name_of(each, key), texts[each]) for each in pair)
    return "", ()


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    """Sort: the best first, those without votes last."""
    return sorted(standings, key=lambda each: (each.share is None, -(each.share or 0.0), -each.votes))
