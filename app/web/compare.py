"""The comparison page: probes as rows, checkpoints as columns, and what to keep."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session

from app.api.compare import comparison_reply
from app.domain import ratings
from app.domain.alignment import align, in_steps
from app.domain.answer_exports import as_csv, as_markdown
from app.domain.answers import compare
from app.domain.errors import NotFoundError
from app.domain.matrix import Matrix
from app.domain.messages import message
from app.domain.run_lists import list_runs
from app.web.addresses import read_ids
from app.web.compare_columns import columns_of
from app.web.compare_details import CellPart, cell_detail
from app.web.compare_pages import ColumnMenu, RunChoices, StartPage, compare_page, news_of
from app.web.compare_query import AskedComparison, CompareQuery, Texts
from app.web.deps import ReadSession
from app.web.kept_pages import kept
from app.web.ratings import with_rating, with_ratings
from app.web.render import render

NEWEST = 12  # runs proposed on the empty page and in the dialog
NOTHING_NEW = 204

router = APIRouter(include_in_schema=False)


@router.get("/compare", name="compare.show")
def show(request: Request, query: AskedComparison) -> Response:
    """Show a comparison, or the newest runs to choose from."""
    if not query.is_empty and not query.is_plain:
        return RedirectResponse(query.url(), status_code=303)

    def make(session: Session) -> Response:
        if query.is_empty:
            newest = list_runs(session, limit=NEWEST)
            return render(request, "compare/start.html", StartPage(newest.runs))
        page = with_ratings(session, compare_page(query, _matrix(session, query)), user_id=request.state.user.user_id)
        return render(request, "compare/compare.html", page, partial="compare/_compare.html")

    user_id = request.state.user.user_id
    return kept(request, make, has_own=lambda session: ratings.has_rated(session, user_id))


@router.get("/compare/columns", name="compare.columns")
def columns(session: ReadSession, query: AskedComparison, shown: Texts = []) -> Response:  # noqa: B006
    """Take the boxes of the column dialog and go to the shortest address that shows them."""
    matrix = _matrix(session, CompareQuery(runs=query.runs, checkpoints=query.checkpoints))
    wanted = set(read_ids("shown", shown))
    every = columns_of(matrix)
    hidden = tuple(column.checkpoint_id for column in every if column.checkpoint_id not in wanted)
    kept = tuple(column.checkpoint_id for column in every if column.checkpoint_id in wanted)
    runs = tuple(run.id for run in matrix.runs)
    bases = tuple(column.checkpoint_id for column in every if column.is_base and column.checkpoint_id in hidden)
    if not kept or len(hidden) <= len(kept):
        return RedirectResponse(query.url(runs=runs, checkpoints=(), hide=hidden if kept else ()), status_code=303)
    return RedirectResponse(query.url(runs=(), checkpoints=kept, hide=bases), status_code=303)


@router.get("/compare/news", name="compare.news")
def news(request: Request, session: ReadSession, query: AskedComparison, seen: str = "") -> Response:
    """Answer with the page again when a run under way has got further than the reader has seen."""
    matrix = _matrix(session, query)
    if news_of(matrix) == seen:
        return Response(status_code=NOTHING_NEW)
    page = with_ratings(session, compare_page(query, matrix), user_id=request.state.user.user_id)
    return render(request, "compare/_compare.html", page)


@router.get("/compare/cell", name="compare.cell")
def cell(request: Request, session: ReadSession, query: AskedComparison) -> Response:
    """Open one answer in full."""
    detail = cell_detail(query, _matrix(session, query))
    if detail is None:
        raise NotFoundError(message("This answer is not part of the comparison any more."))
    detail = with_rating(session, detail, user_id=request.state.user.user_id)
    return render(request, "compare/_cell_detail.html", CellPart(detail))


@router.get("/compare/menu", name="compare.menu")
def menu(request: Request, session: ReadSession, query: AskedComparison, column: int) -> Response:
    """Say what can be done with one column."""
    found = _matrix(session, query).column(column)
    if found is None:
        raise NotFoundError(message("This checkpoint is not part of the comparison any more."))
    return render(request, "compare/_column_menu.html", ColumnMenu(query, found, query.pin == column))


@router.get("/compare/runs", name="compare.runs")
def runs(
    request: Request, session: ReadSession, query: AskedComparison, words: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Find runs to add."""
    found = list_runs(session, query=words, limit=NEWEST)
    return render(request, "compare/_run_choices.html", RunChoices(query, words, found.runs))


@router.get("/compare/export.csv", name="compare.csv")
def export_csv(session: ReadSession, query: AskedComparison) -> Response:
    """Give the shown columns as CSV, in the order in which they stand."""
    return _file(as_csv(_in_order(session, query)), "text/csv", "csv", query)


@router.get("/compare/export.md", name="compare.markdown")
def export_markdown(session: ReadSession, query: AskedComparison) -> Response:
    """Give the shown columns as Markdown, in the order in which they stand."""
    return _file(as_markdown(_in_order(session, query)), "text/markdown", "md", query)


@router.get("/compare/export.json", name="compare.json")
def export_json(session: ReadSession, query: AskedComparison) -> Response:
    """Give the shown columns as the API gives them."""
    reply = comparison_reply(_matrix(session, query), query.url(cell=None), by=query.align)
    return _file(reply.model_dump_json(indent=1), "application/json", "json", query)


def _in_order(session: ReadSession, query: CompareQuery) -> Matrix:
    matrix = _matrix(session, query)
    return replace(matrix, columns=in_steps(matrix, align(matrix.columns, query.align)))


def _matrix(session: ReadSession, query: CompareQuery) -> Matrix:
    return compare(session, run_ids=query.runs, checkpoint_ids=query.checkpoints, hidden_ids=query.hide)


def _file(text: str, media_type: str, suffix: str, query: CompareQuery) -> Response:
    chosen = query.runs or query.checkpoints
    name = f"compare-{'-'.join(map(str, chosen[:8]))}.{suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type=f"{media_type}; charset=utf-8", headers=headers)
