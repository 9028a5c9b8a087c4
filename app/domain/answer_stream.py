"""
All answers of a run, one after the other, however many there are.

A few checkpoints are read at a time, each time in a session of its own: neither memory nor a
transaction grows with the run.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.models import Answer, Checkpoint, Run, RunProbe
from app.domain.recipes import Mix, ProbeGroup
from app.domain.runs import get_run, id_of
from app.domain.scores import CUT, Said
from app.domain.thresholds import Thresholds, read_thresholds
from app.domain.verdicts import AnswerScore, judge_run

CHECKPOINTS_AT_ONCE = 20
GROUP_PLACES = {group: place for place, group in enumerate(ProbeGroup)}

Place = tuple[int, int, int]
"""Where an answer stands among those of its run: iteration, group, probe."""
START: Place = (-1, 0, 0)


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """One answer with its question and its score."""

    run_id: int
    checkpoint_id: int
    iteration: int
    probe: RunProbe
    answer_id: int
    text: str
    tokens: int
    ended: str
    asked_later: bool
    score: AnswerScore | None

    @property
    def place(self) -> Place:
        """Where it stands among those of its run."""
        return self.iteration, GROUP_PLACES[ProbeGroup(self.probe.group)], id_of(self.probe)


@dataclass(frozen=True)
class _Asked:
    """What is needed of a run to score any of its checkpoints."""

    run: Run
    mix: Mix
    probes: Sequence[RunProbe]
    base: Mapping[int, Said]
    limits: Thresholds


def stream_answers(
    run_id: int, *, after: Place = START, checkpoint_ids: Collection[int] | None = None
) -> Iterator[StreamedAnswer]:
    """
    Yield a run's answers by checkpoint, then by probe.

    Args:
        after: begins behind this place.
        checkpoint_ids: of these checkpoints and the base model alone; of all where it is None.

    Raises:
        NotFoundError: there is no such run; when the first answer is asked for.
    """
    with db.reading() as session:
        asked = _asked(session, run_id)
        found = select(Checkpoint.id, Checkpoint.iteration).where(Checkpoint.run_id == run_id)
        found = found.where(col(Checkpoint.iteration) >= after[0]).order_by(col(Checkpoint.iteration))
        wanted = [
            (checkpoint_id or 0, iteration)
            for checkpoint_id, iteration in session.exec(found)
            if checkpoint_ids is None or not iteration or checkpoint_id in checkpoint_ids
        ]
    for start in range(0, len(wanted), CHECKPOINTS_AT_ONCE):
        some = wanted[start : start + CHECKPOINTS_AT_ONCE]
        with db.reading() as session:
            given = _given(session, [checkpoint_id for checkpoint_id, _ in some])
        for checkpoint_id, iteration in some:
            answers = _scored(asked, checkpoint_id, iteration, given[checkpoint_id])
            yield from (each for each in answers if each.place > after)


def _asked(session: Session, run_id: int) -> _Asked:
    run = get_run(session, run_id)
    probes = session.exec(select(RunProbe).where(RunProbe.run_id == run_id)).all()
    base = sa_select(*map(col, (Answer.probe_id, Answer.text, Answer.ended))).join(Checkpoint)
    base = base.where(col(Checkpoint.run_id) == run_id, col(Checkpoint.iteration) == 0)
    said = {probe_id: Said(text, ended == CUT) for probe_id, text, ended in session.execute(base)}
    return _Asked(run, Mix.model_validate(run.recipe["mix"]), probes, said, read_thresholds(session))


_SAID = (Answer.id, Answer.text, Answer.tokens, Answer.ended, Answer.asking_id)


def _given(session: Session, checkpoint_ids: Sequence[int]) -> Mapping[int, Mapping[int, Sequence[Any]]]:
    answers: dict[int, dict[int, Sequence[Any]]] = defaultdict(dict)
    found = sa_select(*map(col, (Answer.checkpoint_id, Answer.probe_id, *_SAID))).where(
        col(Answer.checkpoint_id).in_(checkpoint_ids)
    )
    for checkpoint_id, probe_id, *rest in session.execute(found):
        answers[checkpoint_id][probe_id] = rest
    return answers


def _scored(
    asked: _Asked, checkpoint_id: int, iteration: int, given: Mapping[int, Sequence[Any]]
) -> list[StreamedAnswer]:
    said = {probe_id: Said(text, ended == CUT) for probe_id, (_, text, _, ended, _) in given.items()}
    scores = judge_run(asked.mix, asked.probes, {0: asked.base, iteration: said}, thresholds=asked.limits)[iteration]
    answers = [
        StreamedAnswer(
            run_id=id_of(asked.run),
            checkpoint_id=checkpoint_id,
            iteration=iteration,
            probe=probe,
            answer_id=answer_id,
            text=text,
            tokens=tokens,
            ended=ended,
            asked_later=asking_id is not None,
            score=scores.answers.get(probe.position),
        )
        for probe in asked.probes
        if id_of(probe) in given
        for answer_id, text, tokens, ended, asking_id in [given[id_of(probe)]]
    ]
    return sorted(answers, key=lambda each: each.place)
