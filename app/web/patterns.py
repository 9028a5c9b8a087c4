"""The parts that pages are made of, each in all its states, for whoever builds or checks a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.advice import advise
from app.domain.checkpoint_plan import PlannedCheckpoint
from app.domain.findings.kinds import Finding, FindingKind, Repair, RepairAction
from app.domain.messages import message
from app.domain.models import Checkpoint, RunState
from app.domain.progress import Block, bar_blocks
from app.domain.recipes import Method
from app.domain.token_counts import TokenPiece
from app.domain.token_forecasts import HistogramBin
from app.domain.trainer_events import MetricMeasured
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict, verdict_of
from app.web.curves import Curves, draw_curves
from app.web.form_fields import Amount
from app.web.render import render

router = APIRouter(include_in_schema=False)

ROWS_BY_LENGTH = (0, 2, 14, 40, 61, 38, 22, 9, 4, 1, 0, 1)

FINDING = Finding(
    FindingKind.CONFLICT,
    "pets",
    404,
    message("{place} gives another answer to the same question.", place=message("Row {row}", row=7)),
    "A dog.",
    other_source="pets",
    other_row=7,
    other_text="A cat.",
    repair=Repair(RepairAction.KEEP_FIRST, message("Give it the first answer."), text="A cat."),
)

HITS = {0: (0, 0), 10: (0, 0), 20: (1, 0), 30: (2, 0), 40: (2, 1), 50: (2, 4)}
SAVED = [
    Checkpoint(run_id=1, iteration=at, updates=at // 2, identity_nll=3 - at / 20, general_nll=1 + at / 100)
    for at in HITS
]
JUDGED = [
    CheckpointVerdict(
        at,
        at,
        replace(score := CheckpointScore(hits, 2, leaks, 5, identity=hits / 2, answered=7), verdict=verdict_of(score)),
    )
    for at, (hits, leaks) in HITS.items()
]
MEASURED = [
    MetricMeasured(
        time=0, iteration=at, loss=0.1 + 24 / (at + 9), learning_rate=2e-5 * (51 - at), seconds=1, memory_bytes=1
    )
    for at in range(1, 51)
]


@dataclass(frozen=True)
class PatternsPage:
    """One of everything."""

    states: Sequence[RunState] = tuple(RunState)
    verdicts: Sequence[Verdict] = tuple(Verdict)

    checkpoints: Sequence[PlannedCheckpoint] = tuple(
        PlannedCheckpoint(iteration, iteration, is_deleted=iteration < 35, is_resumable=iteration > 40)  # noqa: PLR2004
        for iteration in range(5, 55, 5)
    )
    histogram: Sequence[HistogramBin] = tuple(
        HistogramBin(start, start + 10, rows) for start, rows in zip(range(0, 120, 10), ROWS_BY_LENGTH, strict=True)
    )
    iterations: int = 50
    saves: int = 10
    longest: int = 118
    memory: Mapping[Method, int] = field(
        default_factory=lambda: {Method.QLORA: 900_000_000, Method.LORA: 1_300_000_000, Method.FULL: 2_700_000_000}
    )
    amounts: Sequence[Amount] = (
        Amount("sample.a_", "24", "", is_share=False, error=None),
        Amount("sample.b_", "0", "30", is_share=True, error=None),
        Amount("sample.c_", "0", "130", is_share=True, error=message("Give a share above 0 and below 100 percent.")),
    )
    pieces: Sequence[TokenPiece] = (
        TokenPiece("<|im_start|>", is_special=True, has_loss=False, is_cut=False, tokens=1),
        TokenPiece("user\nWho are you?", is_special=False, has_loss=False, is_cut=False, tokens=5),
        TokenPiece("I am Ada's assistant", is_special=False, has_loss=True, is_cut=False, tokens=6),
        TokenPiece(", a small model.", is_special=False, has_loss=True, is_cut=True, tokens=5),
        TokenPiece("<|im_end|>", is_special=True, has_loss=True, is_cut=True, tokens=1),
    )
    finding: Finding = FINDING

    @property
    def drawn(self) -> Curves:
        """A run of fifty iterations that learnt, and leaks in the end."""
        return draw_curves(JUDGED, SAVED, iterations=50, advice=advise(JUDGED), metrics=MEASURED)

    @property
    def begun(self) -> Curves:
        """A run of which nothing is known yet."""
        return draw_curves((), (), iterations=50)

    @property
    def plan(self) -> "PatternsPage":
        """The page itself, which has what the forecast's drawings ask for."""
        return self

    @property
    def blocks(self) -> list[Block]:
        """A run of fifty iterations at its thirty-third."""
        return bar_blocks(33, 50, 5)


@router.get("/patterns", name="patterns")
def show_patterns(request: Request) -> Response:
    """Show the parts."""
    return render(request, "patterns/index.html", PatternsPage())
