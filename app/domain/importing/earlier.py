"""
What an earlier import of a folder left, laid beside what the folder tells now.

A checkpoint that the folder still tells of stays: by its file, or by a log, where old files were cleared away. One
that it no longer tells of goes, with everything that hangs on it. Of one that was trained again goes what was made of
the weights before: its adapter, artifacts, and the answers that somebody asked for here.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import event
from sqlmodel import Session, col, delete, select, update

from app.config import settings
from app.domain.claims import withdraw_askings
from app.domain.given_answers import replace_answers
from app.domain.importing.found import FileKind, FoundCheckpoint, FoundRun
from app.domain.importing.telling import ProbePositions
from app.domain.models import Answer, Artifact, Checkpoint, Run, RunProbe, StoredScore
from app.domain.recipes import Recipe
from app.domain.runs import id_of
from app.domain.stored_scores import renew_scores
from app.domain.taught import folded
from app.domain.trainer_events import AnswerGiven

Written = Mapping[str, Sequence[int]]
"""By the iteration of a checkpoint: the size of its file in bytes, and when it was written, in nanoseconds."""

Asked = Mapping[int, Answer]
"""By probe position: answers that somebody asked for here."""


@dataclass(frozen=True)
class Kept:
    """What holds of an earlier import, and is not in the folder."""

    adapters: Mapping[int, tuple[str, int]]
    """By iteration: each with its size in bytes."""
    asked: Mapping[int, Asked]
    """By iteration."""

    @property
    def given(self) -> dict[int, dict[int, AnswerGiven]]:
        """The answers as a trainer tells them, by iteration and probe position."""
        return {
            iteration: {
                at: AnswerGiven.model_validate({**said.model_dump(), "probe": at}) for at, said in asked.items()
            }
            for iteration, asked in self.asked.items()
        }


@dataclass(frozen=True)
class _Stored:
    """A stored checkpoint, beside what the folder tells of it."""

    row: Checkpoint
    told: FoundCheckpoint | None
    answers: Mapping[int, Answer]
    """By probe position."""
    said: Mapping[int, str]
    """By probe position: what it answers, as the folder tells."""
    written: Sequence[int] | None
    """What its file was."""
    is_same_base: bool

    @cached_property
    def holds(self) -> bool:
        """Whether its weights are those of before, as far as their file and their answers show."""
        if self.row.iteration == 0:
            return self.is_same_base
        if self.told is None or (self.written and mark_of(self.told) not in {None, tuple(self.written)}):
            return False
        given = {at: answer.text for at, answer in self.answers.items() if not answer.asking_id}
        return all(given.get(at, text) == text for at, text in self.said.items())

    @cached_property
    def asked(self) -> Asked:
        """The answers that somebody asked for, and that are still those of its weights."""
        asked = {at: answer for at, answer in self.answers.items() if answer.asking_id and at not in self.said}
        return {at: _copy(answer) for at, answer in asked.items()} if self.holds else {}

    @property
    def is_gone(self) -> bool:
        """Whether nothing tells of it any more; a base model without answers may be waiting to be asked."""
        return self.told is None and not self.asked and bool(self.row.iteration or self.answers)


def mark_of(checkpoint: FoundCheckpoint) -> tuple[int, int] | None:
    """Return the size of a checkpoint's file and when it was written; None where there is none."""
    return None if checkpoint.kind is FileKind.NONE else (checkpoint.size_bytes, checkpoint.changed_ns)


def written_in(found: FoundRun, before: Written) -> dict[str, Sequence[int]]:
    """Return what the files of a run are; of one that was cleared away, what it was."""
    marks = {str(each.iteration): mark_of(each) or before.get(str(each.iteration)) for each in found.checkpoints}
    return {iteration: mark for iteration, mark in marks.items() if mark}


# ── Before the folder is told ──────────────────────────────────────────────


def keep(
    session: Session, run: Run, found: FoundRun, probes: ProbePositions, *, written: Written, is_same_base: bool
) -> Kept:
    """
    Let go of what no longer holds of a run, and return what does.

    Args:
        session: what goes is gone once it is committed, files too.
        written: what the files were when the run was last imported.
        is_same_base: whether the run is of the base model that it was of.
    """
    told = {each.iteration: each for each in found.checkpoints}
    rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id)).all()
    stored = [
        _Stored(
            row,
            told.get(row.iteration),
            _answers_of(session, row),
            said_by(told.get(row.iteration), probes),
            written.get(str(row.iteration)),
            is_same_base,
        )
        for row in rows
    ]
    kept = Kept(
        {each.row.iteration: (each.row.adapter, each.row.size_bytes) for each in stored if each.holds},
        {each.row.iteration: each.asked for each in stored if each.asked},
    )
    _forget(session, run, stored)
    return kept


def said_by(told: FoundCheckpoint | None, probes: ProbePositions) -> dict[int, str]:
    """Return what a checkpoint answers by the position of the probe, as far as the run has one."""
    said = {probes.get(folded(each.question).text): each.text for each in told.said} if told else {}
    return {position: text for position, text in said.items() if position is not None}


def _answers_of(session: Session, row: Checkpoint) -> dict[int, Answer]:
    given = select(RunProbe.position, Answer).join(RunProbe).where(Answer.checkpoint_id == row.id)
    return dict(session.exec(given).all())


def _copy(answer: Answer) -> Answer:
    return Answer(**answer.model_dump(exclude={"id"}))


def _forget(session: Session, run: Run, stored: Sequence[_Stored]) -> None:
    for each in stored:
        if not each.said:  # nothing else will say what it answers
            replace_answers(session, id_of(each.row), [_copy(answer) for answer in each.asked.values()])
    anew = [each.row for each in stored if not each.holds or each.is_gone]
    silent = [id_of(each.row) for each in stored if not (each.said or each.asked)]
    gone = [id_of(each.row) for each in stored if each.is_gone]
    _forget_made(session, run, anew)
    session.exec(delete(StoredScore).where(col(StoredScore.checkpoint_id).in_(silent)))
    session.exec(delete(Checkpoint).where(col(Checkpoint.id).in_(gone)))
    session.expire(run, ["checkpoints"])


def _forget_made(session: Session, run: Run, rows: Sequence[Checkpoint]) -> None:
    """Forget what was made of weights that are no more, and who is asking them."""
    if not rows:
        return
    made = col(Artifact.checkpoint_id).in_([id_of(row) for row in rows])
    names = [row.adapter for row in rows if row.adapter]
    names += [each.folder for each in session.exec(select(Artifact).where(made)) if each.folder]
    session.exec(delete(Artifact).where(made))
    withdraw_askings(session, id_of(run))  # else its worker would go on with the weights that it has loaded
    _remove_after_commit(session, [settings().run_folder(id_of(run)) / name for name in names])


def _remove_after_commit(session: Session, folders: Sequence[Path]) -> None:
    def remove(_session: object) -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    event.listen(session, "after_commit", remove, once=True)


# ── After it was told ──────────────────────────────────────────────────────


def put_back(session: Session, run: Run, kept: Kept) -> None:
    """Name the adapters that hold, and who asked for answers; of questions that are asked no more, none is left."""
    for row in session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id)).all():
        row.adapter, row.size_bytes = kept.adapters.get(row.iteration, ("", 0))
        session.add(row)
        asked = kept.asked.get(row.iteration, {})
        for answer in asked.values():
            same = (col(Answer.checkpoint_id) == row.id, col(Answer.probe_id) == answer.probe_id)
            session.exec(update(Answer).where(*same).values(asking_id=answer.asking_id))
        if asked:
            renew_scores(session, run, row)  # by what the recipe says now
    _remove_idle_probes(session, run)


def _remove_idle_probes(session: Session, run: Run) -> None:
    asked = {folded(probe.question).text for probe in Recipe.model_validate(run.recipe).probes}
    answered = set(session.exec(select(Answer.probe_id).join(RunProbe).where(RunProbe.run_id == run.id)))
    idle = [
        probe.id
        for probe in session.exec(select(RunProbe).where(RunProbe.run_id == run.id))
        if not probe.added_at and probe.id not in answered and folded(probe.question).text not in asked
    ]
    session.exec(delete(RunProbe).where(col(RunProbe.id).in_(idle)))
    session.expire(run, ["probes"])
