"""What a blind vote chooses from: some checkpoints, and what each answered to every question."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlmodel import Session

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.models import Checkpoint
from app.domain.runs import id_of
from app.domain.stored_answers import Question, Stored, read_answers, runs_of
from app.domain.texts import comparable

MAX_RUNS = 24  # as a comparison shows


@dataclass(frozen=True, slots=True)
class Contender:
    """A checkpoint that is voted on."""

    checkpoint_id: int
    run_id: int
    run_name: str
    iteration: int
    iterations: int
    """Planned for the run, for its place on the ramp."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    answer_id: int
    text: str


@dataclass(frozen=True)
class VotePool:
    """The checkpoints of a vote, and their answers."""

    contenders: tuple[Contender, ...]
    questions: Mapping[Question, Mapping[int, Said]]
    """Who said what, by checkpoint id."""

    @cached_property
    def checkpoint_of(self) -> dict[int, int]:
        """The checkpoint of each answer."""
        return {said.answer_id: checkpoint for each in self.questions.values() for checkpoint, said in each.items()}

    @cached_property
    def pairs(self) -> int:
        """How many pairs of different answers there are."""
        return sum(_different_pairs(said.text for said in each.values()) for each in self.questions.values())


def _different_pairs(texts: Iterable[str]) -> int:
    alike = Counter(map(comparable, texts))
    return math.comb(alike.total(), 2) - sum(math.comb(n, 2) for n in alike.values())


def vote_pool(session: Session, *, run_ids: Sequence[int] = (), checkpoint_ids: Sequence[int] = ()) -> VotePool:
    """
    Read what is voted on.

    Args:
        run_ids: every checkpoint of these runs that has answers; runs of one model share the first one's base model.
        checkpoint_ids: these checkpoints too.

    Raises:
        NotFoundError: a run or a checkpoint does not exist.
        InvalidError: too many runs.
    """
    wanted = list(dict.fromkeys([*run_ids, *runs_of(session, checkpoint_ids)]))
    if len(wanted) > MAX_RUNS:
        raise InvalidError([FieldError("runs", message("Compare at most {n} runs at once.", n=MAX_RUNS))])
    stored = read_answers(session, wanted)
    whole, chosen = set(run_ids), set(checkpoint_ids)
    checkpoints = [
        checkpoint
        for run_id in wanted
        for checkpoint in stored.checkpoints[run_id]
        if stored.answers[id_of(checkpoint)] and (run_id in whole or checkpoint.id in chosen)
    ]
    return _pool(stored, _with_one_base(stored, checkpoints))


def _with_one_base(stored: Stored, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Leave out the base model of a run whose model stands there already."""
    models: set[str] = set()
    kept = []
    for checkpoint in checkpoints:
        model = stored.models[checkpoint.run_id]
        if checkpoint.iteration or model not in models:
            kept.append(checkpoint)
        if not checkpoint.iteration:
            models.add(model)
    return kept


def _pool(stored: Stored, checkpoints: Sequence[Checkpoint]) -> VotePool:
    runs = {id_of(run): run for run in stored.runs}
    questions: dict[Question, dict[int, Said]] = {}
    for checkpoint in checkpoints:
        given = stored.answers[id_of(checkpoint)]
        for question, probe in stored.questions(checkpoint.run_id).items():
            if said := given.get(id_of(probe)):
                questions.setdefault(question, {})[id_of(checkpoint)] = Said(said.answer_id, said.text)
    contenders = [
        Contender(id_of(each), each.run_id, runs[each.run_id].name, each.iteration, runs[each.run_id].iterations)
        for each in checkpoints
    ]
    return VotePool(tuple(contenders), questions)
