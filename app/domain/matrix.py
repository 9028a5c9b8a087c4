"""
The matrix: what a comparison is made of. Probes are rows, checkpoints columns, the base model first.

Holds what `answers` has read; what stands beside what is in `alignment`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.advice import Advice
from app.domain.models import RunState
from app.domain.recipes import ProbeGroup, Recipe
from app.domain.stored_answers import Asked
from app.domain.thresholds import DEFAULTS, Thresholds
from app.domain.verdicts import AnswerScore, CheckpointScore


class CellState(StrEnum):
    """Whether a cell has an answer, and if not, why."""

    GIVEN = "given"
    WAITING = "waiting"
    """The checkpoint's run still works, so the answer may come."""
    MISSING = "missing"
    """Asked for, and never answered: the run ended before, or was told not to answer."""
    NOT_ASKED = "not-asked"
    """The probe is not one of this column's run."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one column says to one probe."""

    state: CellState
    text: str = ""
    tokens: int = 0
    ended: str = ""
    score: AnswerScore | None = None
    answer_id: int | None = None
    asked: Asked | None = None
    """How it was asked after the run; None where the trainer asked."""

    @property
    def is_given(self) -> bool:
        """Whether there is an answer, be it an empty one."""
        return self.state is CellState.GIVEN

    @property
    def is_leak(self) -> bool:
        """Whether something taught came where it was not asked for, and counts."""
        return self.score is not None and self.score.counts and self.score.leak is not None


@dataclass(frozen=True, slots=True)
class Column:
    """One checkpoint; a base model that several runs share is one column."""

    checkpoint_id: int
    run_id: int
    run_name: str
    iteration: int
    iterations: int
    """Planned for the run, for the column's place on the ramp."""
    updates: int
    score: CheckpointScore
    is_kept: bool
    """The advice for its run is to keep it."""
    is_first_leak: bool
    is_deleted: bool
    """Retention deleted its files; its answers are here."""
    is_answered: bool
    seconds: float | None
    dtype: str
    quantised: bool
    max_new_tokens: int
    held_out: float | None = None
    """Negative log-likelihood of held-out pairs in nats a token, identity and general together."""
    is_elsewhere: bool = False
    """It was imported, and its files stay in a folder that is not Temper's."""
    run_ids: tuple[int, ...] = ()
    """The runs it stands for: several only where they share their base model."""

    @property
    def is_base(self) -> bool:
        """Whether it is an untuned model."""
        return self.iteration == 0


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    probe_id: int
    """Of the first run that asks it: names the row in an address."""
    group: ProbeGroup
    question: str
    reference: str
    taught_rows: Mapping[int, int]
    """Rows of each run's mix that ask it, by run id; only of runs that have the probe."""
    cells: Mapping[int, Cell] = field(default_factory=dict)
    """By checkpoint id, of every column, shown or not."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run of the matrix, with all its checkpoints and what to keep of them."""

    id: int
    name: str
    model: str
    template: str
    """xtuner's name of the prompt template."""
    state: RunState
    recipe: Recipe
    advice: Advice
    checkpoints: tuple[Column, ...]
    base_id: int | None
    """The checkpoint id of the base column that stands for this run."""
    is_imported: bool = False
    """It was made by hand with xtuner, and answered by it."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Everything a comparison shows."""

    runs: tuple[ComparedRun, ...]
    columns: tuple[Column, ...]
    """Shown ones, in the order they stand."""
    rows: tuple[Row, ...]
    thresholds: Thresholds = DEFAULTS
    """What its verdicts are held against."""

    def run(self, run_id: int) -> ComparedRun:
        """Return a run of the matrix; StopIteration for another one."""
        return next(run for run in self.runs if run.id == run_id)

    def column(self, checkpoint_id: int) -> Column | None:
        """Return a column by its checkpoint, hidden ones too."""
        every = (column for run in self.runs for column in run.checkpoints)
        return next((column for column in every if column.checkpoint_id == checkpoint_id), None)

    def base_of(self, column: Column) -> Column | None:
        """Return the column of the base model that a column was trained from."""
        base_id = next((run.base_id for run in self.runs if run.id == column.run_id), None)
        return None if base_id is None else self.column(base_id)
