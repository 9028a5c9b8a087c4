"""
A matrix as text that leaves Temper: CSV for spreadsheets, Markdown for notes and issues.

Answers are made by models and may hold anything: a cell that a spreadsheet would take for a
formula gets an apostrophe before it, and Markdown's own marks are escaped.
"""

import csv
import io
import re
from collections.abc import Sequence

from app.domain.matrix import Column, Matrix

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also what some programs trim to one
BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads Chinese as Latin-1
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def heading(column: Column, *, is_alone: bool) -> str:
    """Name a column in a table that has no other place for its run."""
    name = "base model" if column.is_base else f"iteration {column.iteration}"
    return name if is_alone or len(column.run_ids) > 1 else f"{column.run_id} {column.run_name}: {name}"


def as_csv(matrix: Matrix) -> str:
    """Write one line for each probe, and above them one with each checkpoint's verdict."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(_safe, ["group", "probe", "reference", *_headings(matrix)]))
    verdicts = [column.score.verdict.value if column.score.verdict else "" for column in matrix.columns]
    writer.writerow(map(_safe, ["", "verdict", "", *verdicts]))
    for row in matrix.rows:
        cells = [row.cells[column.checkpoint_id].text for column in matrix.columns]
        writer.writerow(map(_safe, [row.group.value, row.question, row.reference, *cells]))
    return BYTE_ORDER_MARK + out.getvalue()


def as_markdown(matrix: Matrix) -> str:
    """Write a table with the verdicts as its first line, and below it what to keep of each run."""
    verdicts = [column.score.verdict.value if column.score.verdict else "" for column in matrix.columns]
    lines = [
        _line(["probe", *_headings(matrix)]),
        _line(["---"] * (1 + len(matrix.columns)), is_raw=True),
        _line(["verdict", *verdicts]),
    ]
    lines += [
        _line([row.question, *(row.cells[column.checkpoint_id].text for column in matrix.columns)])
        for row in matrix.rows
    ]
    for run in matrix.runs:
        kept = "keep nothing" if run.advice.iteration is None else f"keep iteration {run.advice.iteration}"
        lines.append(f"\nRun {run.id}, {_escaped(run.name)}: {kept}. {_escaped(str(run.advice.reason))}")
    return "\n".join(lines) + "\n"


def _headings(matrix: Matrix) -> list[str]:
    return [heading(column, is_alone=len(matrix.runs) == 1) for column in matrix.columns]


def _safe(value: str) -> str:
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA_STARTS) else value


def _line(cells: Sequence[str], *, is_raw: bool = False) -> str:
    return "| " + " | ".join(cells if is_raw else map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    marked = _MARKS.sub(r"\\\1", text.strip())
    return "<br>".join(marked.splitlines())
