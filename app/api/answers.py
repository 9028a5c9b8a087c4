"""Answers over the API: one cell of a comparison, and the answers of runs one after the other."""

from collections.abc import Collection, Iterator

from app.api.paging import numbers_in
from app.api.types import Reply
from app.domain.answer_stream import START, Place, StreamedAnswer, stream_answers
from app.domain.matrix import CellState
from app.domain.recipes import ProbeGroup
from app.domain.runs import id_of


class CellReply(Reply):
    """What one column says to one probe."""

    checkpoint_id: int
    state: CellState
    text: str
    tokens: int
    ended: str
    """`stop`, or `length` when cut at the limit of new tokens."""
    is_hit: bool
    """The identity came where it was asked for."""
    is_leak: bool
    """Something taught came where it was not asked for."""
    is_right: bool | None
    """Null where nothing says what would be right."""
    answer_id: int | None
    """Names it in ratings and votes; null where there is no answer."""
    asked_later: bool
    """It was asked for after the run, and not given to the trainer: a word may differ for that alone."""


class AnswerReply(CellReply):
    """One answer with its question."""

    run_id: int
    iteration: int
    probe_id: int
    group: ProbeGroup
    question: str


def answer_reply(given: StreamedAnswer) -> AnswerReply:
    """Return an answer as the API shows it."""
    score = given.score
    return AnswerReply(
        run_id=given.run_id,
        checkpoint_id=given.checkpoint_id,
        iteration=given.iteration,
        probe_id=id_of(given.probe),
        group=ProbeGroup(given.probe.group),
        question=given.probe.question,
        state=CellState.GIVEN,
        text=given.text,
        tokens=given.tokens,
        ended=given.ended,
        is_hit=score is not None and score.is_hit,
        is_leak=score is not None and score.counts and score.leak is not None,
        is_right=score.is_right if score is not None else None,
        answer_id=given.answer_id,
        asked_later=given.asked_later,
    )


def answer_lines(run_id: int, checkpoint_ids: Collection[int] | None = None) -> Iterator[AnswerReply]:
    """Yield the answers of a run; of its base model and some checkpoints alone, where they are named."""
    return map(answer_reply, stream_answers(run_id, checkpoint_ids=checkpoint_ids))


def place_in(cursor: str, *of: object) -> Place:
    """Return the place of an answer that a cursor names; the start without one."""
    place = numbers_in(cursor, *of, count=len(START))
    return START if place is None else (place[0], place[1], place[2])
