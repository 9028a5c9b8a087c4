"""
Answers as a matrix: probes as rows, checkpoints as columns, the base model first.

Reads with a fixed number of statements, however many columns and rows there are. Probes of
different runs meet in one row when they ask the same question.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlmodel import Session

from app.domain.advice import Advice, advise
from app.domain.checkpoints import is_in_passing
from app.domain.errors import FieldError, InvalidError
from app.domain.matrix import Cell, CellState, Column, ComparedRun, Matrix, Row
from app.domain.messages import message
from app.domain.models import Checkpoint, Run, RunProbe
from app.domain.recipes import ProbeGroup, Recipe
from app.domain.runs import id_of, recipe_of
from app.domain.stored_answers import Question, Stored, read_answers, runs_of
from app.domain.taught import taught_by
from app.domain.thresholds import Thresholds, read_thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, held_out_of, judge_run

__all__ = ["MAX_RUNS", "Cell", "CellState", "Column", "ComparedRun", "Matrix", "Row", "compare"]

MAX_RUNS = 24  # a class of students; each more costs about 5 ms

GROUP_ORDER = {group: place for place, group in enumerate(ProbeGroup)}


def compare(
    session: Session,
    *,
    run_ids: Sequence[int] = (),
    checkpoint_ids: Sequence[int] = (),
    hidden_ids: Iterable[int] = (),
) -> Matrix:
    """
    Read a comparison.

    Args:
        run_ids: show these runs with all their checkpoints.
        checkpoint_ids: show these checkpoints, and the base model of each run they are from.
        hidden_ids: checkpoints to leave out of the columns; their verdicts are still there.

    Raises:
        NotFoundError: a run or a checkpoint does not exist.
        InvalidError: too many runs.
    """
    wanted = list(dict.fromkeys([*run_ids, *runs_of(session, checkpoint_ids)]))
    if len(wanted) > MAX_RUNS:
        raise InvalidError([FieldError("runs", message("Compare at most {n} runs at once.", n=MAX_RUNS))])
    loaded = read_answers(session, wanted)
    chosen, hidden, whole = set(checkpoint_ids), set(hidden_ids), set(run_ids)
    limits = read_thresholds(session)
    runs = _share_bases([_compared(run, loaded, chosen, limits) for run in loaded.runs], loaded)
    bases = {run.base_id for run in runs}
    columns = [
        column
        for run in runs
        for column in run.checkpoints
        if column.checkpoint_id not in hidden
        and (
            column.checkpoint_id in bases
            if column.is_base
            else column.run_id in whole or column.checkpoint_id in chosen
        )
    ]
    return Matrix(tuple(runs), tuple(columns), _rows(runs, loaded), limits)


# ── Columns ────────────────────────────────────────────────────────────────


def _compared(run: Run, loaded: Stored, chosen: Collection[int], limits: Thresholds) -> ComparedRun:
    run_id, recipe = id_of(run), recipe_of(run)
    every = recipe.checkpoints.every
    checkpoints = [  # what was saved in passing is never asked: it would stand there as if an answer were missing
        each
        for each in loaded.checkpoints[run_id]
        if each.id in chosen or not is_in_passing(each, run, every=every, is_answered=bool(loaded.answers[id_of(each)]))
    ]
    said = {
        each.iteration: {probe_id: given.said for probe_id, given in loaded.answers[id_of(each)].items()}
        for each in checkpoints
    }
    scores = judge_run(recipe.mix, loaded.probes[run_id], said, thresholds=limits)
    verdicts = [
        CheckpointVerdict(id_of(each), each.iteration, scores[each.iteration], held_out_of(each))
        for each in checkpoints
    ]
    base_id = next((id_of(each) for each in checkpoints if each.iteration == 0), None)
    advice = advise(verdicts, gone={each.iteration for each in checkpoints if each.deleted_at is not None})
    columns = tuple(
        _column(run, checkpoint, recipe=recipe, score=verdict.score, advice=advice)
        for checkpoint, verdict in zip(checkpoints, verdicts, strict=True)
    )
    return ComparedRun(
        id=run_id,
        name=run.name,
        model=loaded.models[run_id],
        template=loaded.templates[run_id],
        state=run.state,
        recipe=recipe,
        advice=advice,
        checkpoints=columns,
        base_id=base_id,
        is_imported=bool(run.imported_from),
    )


def _column(run: Run, checkpoint: Checkpoint, *, recipe: Recipe, score: CheckpointScore, advice: Advice) -> Column:
    return Column(
        checkpoint_id=id_of(checkpoint),
        run_id=id_of(run),
        run_name=run.name,
        iteration=checkpoint.iteration,
        iterations=run.iterations,
        updates=checkpoint.updates,
        score=score,
        is_kept=checkpoint.id == advice.checkpoint_id,
        is_first_leak=checkpoint.iteration == advice.first_leak,
        is_deleted=checkpoint.deleted_at is not None,
        is_answered=checkpoint.answered_seconds is not None,
        seconds=checkpoint.answered_seconds,
        dtype=checkpoint.dtype,
        quantised=checkpoint.quantised,
        max_new_tokens=recipe.checkpoints.max_new_tokens,
        held_out=held_out_of(checkpoint),
        is_elsewhere=bool(run.imported_from) and not checkpoint.adapter,
        run_ids=(id_of(run),),
    )


def _share_bases(runs: list[ComparedRun], loaded: Stored) -> list[ComparedRun]:
    """Let runs of one model share its column, where the base model said the same in each of them."""
    shared: list[ComparedRun] = []
    for run in runs:
        twin = next((other for other in shared if _has_same_base(other, run, loaded)), None)
        if twin is None:
            shared.append(run)
            continue
        first, *rest = twin.checkpoints
        together = replace(first, run_ids=(*first.run_ids, run.id))
        shared[shared.index(twin)] = replace(twin, checkpoints=(together, *rest))
        shared.append(replace(run, base_id=twin.base_id))
    return shared


def _has_same_base(one: ComparedRun, other: ComparedRun, loaded: Stored) -> bool:
    if one.model != other.model or not (one.checkpoints and other.checkpoints):
        return False
    first, second = one.checkpoints[0], other.checkpoints[0]
    if one.base_id != first.checkpoint_id or other.base_id != second.checkpoint_id:
        return False  # has no base model, or borrows another run's already
    said, also_said = _texts(first, loaded), _texts(second, loaded)
    both = said.keys() & also_said.keys()
    return bool(both) and all(said[question] == also_said[question] for question in both)


def _texts(column: Column, loaded: Stored) -> dict[Question, str]:
    given = loaded.answers[column.checkpoint_id]
    questions = loaded.questions(column.run_id)
    return {question: given[id_of(probe)].text for question, probe in questions.items() if id_of(probe) in given}


# ── Rows ───────────────────────────────────────────────────────────────────


def _rows(runs: Sequence[ComparedRun], loaded: Stored) -> tuple[Row, ...]:
    questions = {run.id: loaded.questions(run.id) for run in runs}
    every = dict.fromkeys(question for run in runs for question in questions[run.id])
    rows = []
    for question in every:
        asking = [(run, questions[run.id][question]) for run in runs if question in questions[run.id]]
        first = asking[0][1]
        taught = {run.id: taught_by(run.recipe.mix).rows_of(probe.question) for run, probe in asking}
        cells = {
            column.checkpoint_id: _cell(column, question, questions, loaded)
            for run in runs
            for column in run.checkpoints
        }
        rows.append(Row(id_of(first), ProbeGroup(first.group), first.question, first.reference, taught, cells))
    return tuple(sorted(rows, key=lambda row: GROUP_ORDER[row.group]))


def _cell(
    column: Column, question: Question, questions: Mapping[int, Mapping[Question, RunProbe]], loaded: Stored
) -> Cell:
    state = CellState.NOT_ASKED
    for run_id in column.run_ids:  # a shared base model: whichever of its runs asked
        probe = questions[run_id].get(question)
        if probe is None:
            continue
        base_id = column.checkpoint_id if run_id == column.run_id else _base_id(run_id, loaded)
        given = loaded.answers[base_id].get(id_of(probe))
        if given is not None:
            score = column.score.answers.get(probe.position) if run_id == column.run_id else None
            asked = loaded.askings.get(given.asking_id or 0)
            return Cell(CellState.GIVEN, given.text, given.tokens, given.ended, score, given.answer_id, asked)
        is_over = next(run for run in loaded.runs if run.id == run_id).state.is_final
        state = CellState.MISSING if is_over else CellState.WAITING
    return Cell(state)


def _base_id(run_id: int, loaded: Stored) -> int:
    return next(id_of(each) for each in loaded.checkpoints[run_id] if each.iteration == 0)
