"""
Which files of a run's checkpoints stay.

The newest ones as the recipe says, and at least two while the run may go on; the good ones where the
recipe keeps them; those that a person pinned, that something was made of, or that are being read. Of
those that stay, only the newest two keep what a run needs to go on; the rest shrink to what
answers: the adapter, or the weights. Answers are never deleted.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sqlalchemy.orm import selectinload
from sqlmodel import Session, col, select

from app.config import settings
from app.domain.advice import advise
from app.domain.askings import live_asking
from app.domain.checkpoints import is_in_passing
from app.domain.columns import utc_now
from app.domain.disk import size_of
from app.domain.models import ArtifactState, Checkpoint, Event, Run, RunState
from app.domain.recipes import Recipe
from app.domain.runs import id_of
from app.domain.stored_scores import scores_of
from app.domain.thresholds import Thresholds, read_thresholds
from app.domain.verdicts import CheckpointVerdict, is_learnt

LEAST_KEPT = 2  # while a run may go on: the newest may prove damaged
MOST_GOOD = 3  # beside the newest: the advised one, the first that learnt, the last before a leak

_BEING_READ = {ArtifactState.QUEUED, ArtifactState.RUNNING}


def apply_retention(session: Session, run: Run) -> None:
    """Let go of what no longer has to stay; `remove_strays` then deletes the files. Of imported runs all stays."""
    if run.imported_from:
        return
    saved = _saved(session, run)
    recipe = Recipe.model_validate(run.recipe)
    for checkpoint in _passed_over(saved, recipe, run):
        session.delete(checkpoint)
        saved.remove(checkpoint)
    good = (
        good_ones(
            scores_of(session, [run])[id_of(run)], {row.iteration for row in saved}, thresholds=read_thresholds(session)
        )
        if recipe.keeps_best
        else set()
    )
    stays = _stays(saved, recipe.checkpoints.keep, run, good)
    if _are_asked(session, run):
        stays = saved  # each of them is being read, or soon will be; the end of the asking comes back here
    resumable = [] if run.state is RunState.FINISHED else [row for row in saved if row.state_file][-LEAST_KEPT:]
    for checkpoint in saved:
        if checkpoint not in stays:
            _retire(session, checkpoint, run)
        elif checkpoint not in resumable and not _is_being_read(checkpoint):
            _shrink(checkpoint)
            session.add(checkpoint)
    session.flush()


def _are_asked(session: Session, run: Run) -> bool:
    """Whether checkpoints are being asked, or will be next: those of a run that goes on first have to see its end."""
    asking = live_asking(session, id_of(run))
    return asking is not None and (asking.state is ArtifactState.RUNNING or run.state.is_final)


def _saved(session: Session, run: Run) -> list[Checkpoint]:
    """Read the checkpoints that have files, locked: nobody may ask for an artifact of one meanwhile."""
    statement = (
        select(Checkpoint)
        .where(Checkpoint.run_id == run.id, col(Checkpoint.deleted_at).is_(None), Checkpoint.iteration > 0)
        .order_by(col(Checkpoint.iteration))
        .options(selectinload(Checkpoint.artifacts), selectinload(Checkpoint.answers))  # type: ignore[arg-type]
        .with_for_update(of=Checkpoint)
        .execution_options(populate_existing=True)
    )
    return [row for row in session.exec(statement) if row.file or row.adapter]


def _passed_over(saved: Sequence[Checkpoint], recipe: Recipe, run: Run) -> list[Checkpoint]:
    """Return those that were only saved to go on from, once the run has gone on: they were never asked."""
    every = recipe.checkpoints.every
    return [
        row
        for row in saved[:-1]
        if is_in_passing(row, run, every=every, is_answered=bool(row.answers)) and not (row.artifacts or row.is_pinned)
    ]


def good_ones(judged: Sequence[CheckpointVerdict], saved: Collection[int], *, thresholds: Thresholds) -> set[int]:
    """
    Return the iterations of the good checkpoints: the advised one, the first that learnt, the last before a leak.

    Args:
        judged: the run's, by iteration.
        saved: iterations that have files; one that has none is not advised where another will do.
        thresholds: those that the run was judged by.
    """
    tuned = [each for each in judged if each.iteration > 0 and each.score.answered]
    gone = {each.iteration for each in tuned} - set(saved)
    advice = advise(tuned, gone=gone)
    learnt = next((each.iteration for each in tuned if is_learnt(each.score, thresholds)), None)
    before = [each.iteration for each in tuned if advice.first_leak is None or each.iteration < advice.first_leak]
    return {at for at in (advice.iteration, learnt, before[-1] if before else None) if at is not None}


def _stays(saved: Sequence[Checkpoint], keep: int, run: Run, good: Collection[int]) -> list[Checkpoint]:
    if keep < 0:
        return list(saved)
    newest = max(keep, 1 if run.state is RunState.FINISHED else LEAST_KEPT)
    return [
        row for at, row in enumerate(saved) if at >= len(saved) - newest or row.iteration in good or _is_protected(row)
    ]


def _is_protected(checkpoint: Checkpoint) -> bool:
    return checkpoint.is_pinned or any(each.state is not ArtifactState.FAILED for each in checkpoint.artifacts)


def _is_being_read(checkpoint: Checkpoint) -> bool:
    return any(each.state in _BEING_READ for each in checkpoint.artifacts)


def forget_files(checkpoint: Checkpoint) -> None:
    """Write down that nothing is left of a checkpoint but its answers."""
    checkpoint.deleted_at, checkpoint.file, checkpoint.state_file, checkpoint.adapter = utc_now(), "", "", ""


def retire_unreadable(session: Session, run: Run, iteration: int) -> None:
    """Forget the files of a checkpoint that could not be read: it is asked no more, and the ledger tells."""
    for checkpoint in _saved(session, run):
        if checkpoint.iteration == iteration:
            _retire(session, checkpoint, run)


def _retire(session: Session, checkpoint: Checkpoint, run: Run) -> None:
    forget_files(checkpoint)
    session.add(checkpoint)
    session.add(
        Event(
            run_id=checkpoint.run_id,
            attempt=run.attempt,
            kind="retired",
            iteration=checkpoint.iteration,
            data={"iteration": checkpoint.iteration},
        )
    )


def _shrink(checkpoint: Checkpoint) -> None:
    checkpoint.state_file = ""
    if checkpoint.adapter:
        checkpoint.file = ""
    folder = settings().run_folder(checkpoint.run_id)
    checkpoint.size_bytes = sum(size_of(folder / name) for name in (checkpoint.file, checkpoint.adapter) if name)


# ── Files ──────────────────────────────────────────────────────────────────


def named_files(session: Session, run_id: int) -> set[str]:
    """Return the files and folders that the run's checkpoints name, relative to the run's folder."""
    rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run_id)).all()
    return {name for row in rows for name in (row.file, row.adapter, row.state_file) if name}


def remove_strays(session: Session, run_id: int, *, newest: int) -> None:
    """
    Delete the files of checkpoints that no row names any more, or that were never whole.

    Args:
        newest: the last iteration that is known to be saved; files beyond it are left alone, since
            their trainer may not have told of them yet.
    """
    kept, folder = named_files(session, run_id), settings().run_folder(run_id)
    for path in _checkpoint_files(folder):
        if str(path.relative_to(folder)) not in kept and _iteration_of(path) <= newest:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _checkpoint_files(folder: Path) -> Iterator[Path]:
    for pattern in ("iter_*.pth", "states/iter_*.pth", "adapters/iter_*"):
        yield from folder.glob(pattern)


def _iteration_of(path: Path) -> int:
    digits = path.stem.removeprefix("iter_")
    return int(digits) if digits.isdecimal() else 0


def remove_parts(run_id: int) -> None:
    """Delete what a killed trainer had half written; only while the run has no trainer."""
    for folder in (".", "states", "adapters"):
        for path in (settings().run_folder(run_id) / folder).glob(".*.part"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
