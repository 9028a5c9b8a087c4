"""The comparison: what several checkpoints said to the same probes, and which one to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from sqlmodel import Session

from app.api.answers import AnswerReply, CellReply, answer_lines
from app.api.errors import documented
from app.api.paging import WantsLines, as_lines
from app.api.types import CheckpointIds, Reply, RunIds
from app.domain import answers
from app.domain.alignment import Alignment, Step, align, in_steps
from app.domain.answer_exports import as_csv, as_markdown
from app.domain.errors import FieldError, InvalidError
from app.domain.matrix import Cell, Column, ComparedRun, Matrix, Row
from app.domain.messages import message
from app.domain.models import RunState
from app.domain.proofs import ProofKind
from app.domain.recipes import ProbeGroup
from app.domain.runs import get_runs
from app.domain.stored_answers import runs_of
from app.domain.verdicts import CheckpointScore, Verdict
from app.web.addresses import read_ids
from app.web.deps import ReadSession

router = APIRouter(tags=["answers"])

Format = Literal["json", "csv", "markdown"]


class ProofReply(Reply):
    """The part of one answer that proves a verdict."""

    kind: ProofKind
    probe: int
    """Position of the probe in its run."""
    start: int
    end: int
    """The words stand at these characters of the answer."""
    words: str
    wanted: str
    """The taught answer that came or is missing, or the reference; empty where neither is meant."""


class ScoreReply(Reply):
    """The counts behind a verdict, over the probes that have an answer."""

    verdict: Verdict | None
    """Null while there are no answers, or no identity probe that could tell."""
    identity_hits: int
    identity_total: int
    leaks: int
    leak_total: int
    right: int
    right_total: int
    forgotten: int
    """Answers that the base model had right and this checkpoint has not."""
    known: int
    """Answers that the base model had right."""
    broken: int
    """Answers to open probes that loop or are empty where the base model's were not."""
    repeating: int
    """Answers that repeat themselves, whatever the base model's did."""
    collapsed: int
    """Answers that are far shorter than the base model's; they change no verdict."""
    distinct: float
    """0 to 1: different answers for each answer."""
    distance: float | None
    """0 to 1: mean distance to the base model's answers; null where there is none to compare with."""
    proof: ProofReply | None
    """The words that prove the verdict; null where there is no verdict."""


class AdviceReply(Reply):
    """Which checkpoint of a run to keep, and why."""

    checkpoint_id: int | None
    iteration: int | None
    reason: str
    first_leak: int | None


class ComparedRunReply(Reply):
    """A run of the comparison."""

    id: int
    name: str
    model: str
    state: RunState
    advice: AdviceReply


class ColumnReply(Reply):
    """One checkpoint; iteration 0 is the untuned base model, one column for all runs that share it."""

    checkpoint_id: int
    run_id: int
    run_name: str
    iteration: int
    updates: int
    score: ScoreReply
    is_kept: bool
    dtype: str
    quantised: bool


class RowReply(Reply):
    """One question, with a cell for each column in their order."""

    probe_id: int
    group: ProbeGroup
    question: str
    reference: str
    cells: list[CellReply]


class StepReply(Reply):
    """Checkpoints of several runs that stand together."""

    least: float
    """The lowest place of them: iterations, updates, or 0 to 1 of the run."""
    most: float
    checkpoint_ids: list[int | None]
    """One of each run, null where it has none here; of base models all there are."""


class Comparison(Reply):
    """Probes as rows, checkpoints as columns."""

    runs: list[ComparedRunReply]
    columns: list[ColumnReply]
    rows: list[RowReply]
    steps: list[StepReply]
    """Which columns stand together; none unless they were asked to."""
    path: str
    """The same comparison as a page of this server."""


@router.get(
    "/compare",
    summary="Answers side by side",
    response_model=Comparison,
    responses=documented(404, files=("text/csv", "text/markdown"), lines=AnswerReply),
)
def get_comparison(
    session: ReadSession,
    *,
    is_lines: WantsLines,
    checkpoints: CheckpointIds = "",
    runs: RunIds = "",
    align_by: Annotated[
        Alignment, Query(alias="align", description="Let checkpoints of several runs stand together.")
    ] = Alignment.OFF,
    format: Format = "json",  # noqa: A002 - the word in the address
) -> Comparison | Response:
    """
    Return the answers of checkpoints, of one run or several, and of the base model they come from.

    As lines it is an answer each, run by run, and the base model's once for each run.
    """
    run_ids, checkpoint_ids = read_ids("runs", [runs]), read_ids("checkpoints", [checkpoints])
    if not run_ids and not checkpoint_ids:
        text = message("Say what to compare: checkpoints=1,2,3 or runs=7,8.")
        raise InvalidError([FieldError("checkpoints", text)])
    if is_lines:
        return as_lines(_lines(session, run_ids, checkpoint_ids))
    matrix = answers.compare(session, run_ids=run_ids, checkpoint_ids=checkpoint_ids)
    if format != "json":
        matrix = replace(matrix, columns=in_steps(matrix, align(matrix.columns, align_by)))
    if format == "csv":
        return Response(as_csv(matrix), media_type="text/csv; charset=utf-8")
    if format == "markdown":
        return Response(as_markdown(matrix), media_type="text/markdown; charset=utf-8")
    return comparison_reply(matrix, page_path(run_ids, checkpoint_ids, by=align_by), by=align_by)


def _lines(session: Session, run_ids: Sequence[int], checkpoint_ids: Sequence[int]) -> Iterator[AnswerReply]:
    """Find the runs while an error can still be told, and leave their answers for when they are sent."""
    wanted = dict.fromkeys([*run_ids, *runs_of(session, checkpoint_ids)])
    get_runs(session, list(wanted))
    chosen = frozenset(checkpoint_ids)
    return (line for run_id in wanted for line in answer_lines(run_id, None if run_id in run_ids else chosen))


def page_path(run_ids: Sequence[int], checkpoint_ids: Sequence[int], *, by: Alignment = Alignment.OFF) -> str:
    """Return the address of the page that shows a comparison."""
    parts = [("runs", run_ids), ("checkpoints", checkpoint_ids)]
    path = "/compare?" + "&".join(f"{name}={','.join(map(str, ids))}" for name, ids in parts if ids)
    return path if by is Alignment.OFF else f"{path}&align={by}"


def score_reply(score: CheckpointScore) -> ScoreReply:
    """Return a checkpoint's score without the scores of its answers."""
    return ScoreReply.model_validate(score)


def comparison_reply(matrix: Matrix, path: str, *, by: Alignment) -> Comparison:
    """Return a comparison as the API and the page's file give it, its columns in the order in which they stand."""
    steps = align(matrix.columns, by)
    matrix = replace(matrix, columns=in_steps(matrix, steps))
    return Comparison(
        runs=[_run(run) for run in matrix.runs],
        columns=[ColumnReply.model_validate(column) for column in matrix.columns],
        rows=[_row(row, matrix) for row in matrix.rows],
        steps=[_step(step) for step in steps],
        path=path,
    )


def _step(step: Step) -> StepReply:
    ids = [None if column is None else column.checkpoint_id for column in step.columns]
    return StepReply(least=step.least, most=step.most, checkpoint_ids=ids)


def _run(run: ComparedRun) -> ComparedRunReply:
    advice = AdviceReply(
        checkpoint_id=run.advice.checkpoint_id,
        iteration=run.advice.iteration,
        reason=str(run.advice.reason),
        first_leak=run.advice.first_leak,
    )
    return ComparedRunReply(id=run.id, name=run.name, model=run.model, state=run.state, advice=advice)


def _row(row: Row, matrix: Matrix) -> RowReply:
    return RowReply(
        probe_id=row.probe_id,
        group=row.group,
        question=row.question,
        reference=row.reference,
        cells=[_cell(column, row.cells[column.checkpoint_id]) for column in matrix.columns],
    )


def _cell(column: Column, cell: Cell) -> CellReply:
    score = cell.score
    return CellReply(
        checkpoint_id=column.checkpoint_id,
        state=cell.state,
        text=cell.text,
        tokens=cell.tokens,
        ended=cell.ended,
        is_hit=score is not None and score.is_hit,
        is_leak=score is not None and score.counts and score.leak is not None,
        is_right=score.is_right if score is not None else None,
        answer_id=cell.answer_id,
        asked_later=cell.asked is not None,
    )
