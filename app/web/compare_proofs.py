"""The words that prove a verdict, as the comparison shows them under a run: what to keep, and the first leak."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.matrix import Column, ComparedRun, Matrix, Row
from app.domain.proofs import Proof

LONGEST = 110  # characters of an answer in one line


@dataclass(frozen=True, slots=True)
class ProofView:
    """One checkpoint's verdict with the words that prove it."""

    column: Column
    row: Row
    proof: Proof
    words: str
    """Those of the answer, short enough for a line."""


def proofs_of(matrix: Matrix, run: ComparedRun) -> tuple[ProofView, ...]:
    """Return the proof of the checkpoint to keep, or of the newest one, and that of the first leak."""
    judged = [column for column in run.checkpoints if not column.is_base and column.score.proof]
    kept = next((column for column in judged if column.is_kept), judged[-1] if judged else None)
    leak = next((column for column in judged if column.is_first_leak), None)
    columns = dict.fromkeys(column.checkpoint_id for column in (kept, leak) if column)
    shown = [column for column in judged if column.checkpoint_id in columns]
    return tuple(view for column in shown if (view := _view(column, matrix.rows)))


def _view(column: Column, rows: Sequence[Row]) -> ProofView | None:
    proof = column.score.proof
    score = column.score.answers.get(proof.probe) if proof else None
    row = next((row for row in rows if row.cells[column.checkpoint_id].score is score), None)
    if proof is None or row is None:
        return None
    words = " ".join(proof.words.split())
    return ProofView(column, row, proof, words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")
