"""
What the database holds of some runs' answers, in a fixed number of statements.

How many columns and rows there are changes how much is read, never how often the database is
asked.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from app.domain.errors import NotFoundError
from app.domain.messages import message
from app.domain.models import Answer, Asking, Checkpoint, Model, Run, RunProbe
from app.domain.runs import id_of
from app.domain.scores import CUT, Said

Question = tuple[str, int]
"""A question and its number among the same ones of its run: what joins rows across runs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How answers were made that were asked for after the run."""

    dtype: str
    quantised: bool
    seconds: float | None
    """Of all answers of that asking."""
    answers: int
    device: str


@dataclass(frozen=True, slots=True)
class Given:
    """One answer as it was given."""

    text: str
    tokens: int
    ended: str
    answer_id: int
    asking_id: int | None = None
    """The asking that brought it; None where the trainer gave it."""

    @property
    def said(self) -> Said:
        """What is scored of it."""
        return Said(self.text, self.ended == CUT)


@dataclass(frozen=True, slots=True)
class Stored:
    """Some runs with everything they answered."""

    runs: list[Run]
    models: dict[int, str]
    templates: dict[int, str]
    """Of prompts, by run id."""
    probes: dict[int, list[RunProbe]]
    checkpoints: dict[int, list[Checkpoint]]
    answers: dict[int, dict[int, Given]]
    """By checkpoint id, then by probe id."""
    askings: dict[int, Asked]
    """By id; only those that brought an answer."""

    def questions(self, run_id: int) -> dict[Question, RunProbe]:
        """Return a run's probes by what joins them with those of other runs."""
        seen: Counter[str] = Counter()
        questions: dict[Question, RunProbe] = {}
        for probe in self.probes[run_id]:
            question = probe.question.strip()
            questions[question, seen[question]] = probe
            seen[question] += 1
        return questions


def runs_of(session: Session, checkpoint_ids: Sequence[int]) -> list[int]:
    """Return the run of each checkpoint; NotFoundError when one does not exist."""
    if not checkpoint_ids:
        return []
    statement = sa_select(col(Checkpoint.id), col(Checkpoint.run_id)).where(col(Checkpoint.id).in_(checkpoint_ids))
    run_of = {found or 0: run_id for found, run_id in session.execute(statement)}
    for checkpoint_id in checkpoint_ids:
        if checkpoint_id not in run_of:
            raise NotFoundError(message("There is no checkpoint {id}.", id=checkpoint_id))
    return [run_of[checkpoint_id] for checkpoint_id in checkpoint_ids]


def read_answers(session: Session, run_ids: Sequence[int]) -> Stored:
    """Read runs, in the order asked for, with at most five statements; NotFoundError when one does not exist."""
    found = _read_runs(session, run_ids)
    probes: dict[int, list[RunProbe]] = defaultdict(list)
    checkpoints: dict[int, list[Checkpoint]] = defaultdict(list)
    of_runs = col(RunProbe.run_id).in_(run_ids)
    for probe in session.exec(select(RunProbe).where(of_runs).order_by(col(RunProbe.position))):
        probes[probe.run_id].append(probe)
    of_runs = col(Checkpoint.run_id).in_(run_ids)
    for checkpoint in session.exec(select(Checkpoint).where(of_runs).order_by(col(Checkpoint.iteration))):
        checkpoints[checkpoint.run_id].append(checkpoint)
    answers: dict[int, dict[int, Given]] = defaultdict(dict)
    asking_ids: set[int] = set()
    # Columns and not rows of the table: a thousand objects would cost more than all the rest of the page.
    given = sa_select(*map(col, _COLUMNS)).join(Checkpoint).where(of_runs)
    for checkpoint_id, probe_id, *said in session.execute(given):
        answers[checkpoint_id][probe_id] = made = Given(*said)
        if made.asking_id is not None:
            asking_ids.add(made.asking_id)
    return Stored(
        runs=[found[run_id][0] for run_id in run_ids],
        models={run_id: found[run_id][1] for run_id in run_ids},
        templates={run_id: found[run_id][2] for run_id in run_ids},
        probes=probes,
        checkpoints=checkpoints,
        answers=answers,
        askings=_read_askings(session, asking_ids),
    )


_COLUMNS = (
    Answer.checkpoint_id,
    Answer.probe_id,
    Answer.text,
    Answer.tokens,
    Answer.ended,
    Answer.id,
    Answer.asking_id,
)


def _read_runs(session: Session, run_ids: Sequence[int]) -> dict[int, tuple[Run, str, str]]:
    statement = select(Run, Model.name, Model.template).join(Model).where(col(Run.id).in_(run_ids))
    found = {id_of(run): (run, name, template) for run, name, template in session.exec(statement)}
    for run_id in run_ids:
        if run_id not in found:
            raise NotFoundError(message("There is no run {id}.", id=run_id))
    return found


def _read_askings(session: Session, ids: Collection[int]) -> dict[int, Asked]:
    if not ids:
        return {}
    found = session.exec(select(Asking).where(col(Asking.id).in_(ids)))
    return {each.id or 0: Asked(each.dtype, each.quantised, each.seconds, each.answers, each.device) for each in found}
