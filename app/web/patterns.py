"""The parts that pages are made of, each in all its states, for whoever builds or checks a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.models import RunState
from app.domain.progress import Block, bar_blocks
from app.domain.verdicts import Verdict
from app.web.render import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PatternsPage:
    """One of everything."""

    states: Sequence[RunState] = tuple(RunState)
    verdicts: Sequence[Verdict] = tuple(Verdict)

    @property
    def blocks(self) -> list[Block]:
        """A run of fifty iterations at its thirty-third."""
        return bar_blocks(33, 50, 5)


@router.get("/patterns", name="patterns")
def show_patterns(request: Request) -> Response:
    """Show the parts."""
    return render(request, "patterns/index.html", PatternsPage())
