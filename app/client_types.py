"""Bodies of the REST API as a program reads them: the fields that the `temper` command needs, by name."""

from typing import Any, TypedDict


class Reason(TypedDict):
    """Why a run failed."""

    kind: str
    message: str
    detail: str


class Attempt(TypedDict):
    """One trainer process of a run."""

    number: int
    resumed_from: int
    reason: Reason | None


class Run(TypedDict):
    """A run; `recipe` and what follows it come only when one run is asked for."""

    id: int
    name: str
    model: str
    state: str
    phase: str
    iteration: int
    iterations: int
    updates: int
    loss: float | None
    seconds_per_iteration: float | None
    newest_answer: str
    reason: Reason | None
    is_stopping: bool
    stopped_by: str | None
    imported_from: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    recipe: dict[str, Any]
    attempts: list[Attempt]
    place: int | None
    stop_reason: str | None
    log_tail: str


class RunList(TypedDict):
    """One page of runs."""

    runs: list[Run]
    total: int
    next_cursor: str | None


class ForecastSource(TypedDict):
    """One source of a mix in an epoch."""

    key: str
    title: str
    rows: int
    tokens: int
    loss_tokens: int
    loss_share: float


class ForecastTokens(TypedDict):
    """One epoch in tokens."""

    tokens: int
    loss_tokens: int
    dropped_tokens: int
    sources: list[ForecastSource]


class Forecast(TypedDict):
    """What a recipe will do."""

    rows: int | None
    packs: int | None
    iterations: int | None
    updates: int | None
    epochs: float | None
    tokens: ForecastTokens | None
    saves: int | None
    answers: int | None
    disk_bytes: int | None
    peak_bytes: int | None
    memory: dict[str, int] | None
    training_seconds: float | None
    answering_seconds: float | None
    measured_on: str
    warnings: list[str]
    unknown: list[str]


class Artifact(TypedDict):
    """An adapter or merged model."""

    id: int
    checkpoint_id: int
    kind: str
    state: str
    reason_message: str
    files: list[dict[str, Any]]
    size_bytes: int


class Proof(TypedDict):
    """The part of one answer that proves a verdict."""

    kind: str
    probe: int
    start: int
    end: int
    words: str
    wanted: str


class Score(TypedDict):
    """The counts behind a verdict."""

    verdict: str | None
    identity_hits: int
    identity_total: int
    leaks: int
    leak_total: int
    right: int
    right_total: int
    forgotten: int
    known: int
    broken: int
    repeating: int
    collapsed: int
    distinct: float
    distance: float | None
    proof: Proof | None


class Checkpoint(TypedDict):
    """What a run saved at an iteration."""

    id: int
    iteration: int
    updates: int
    size_bytes: int
    is_deleted: bool
    is_kept: bool
    score: Score
    artifacts: list[Artifact]


class Cell(TypedDict):
    """What one column says to one probe."""

    checkpoint_id: int
    state: str
    text: str
    is_hit: bool
    is_leak: bool
    is_right: bool | None


class Row(TypedDict):
    """One question."""

    group: str
    question: str
    cells: list[Cell]


class Advice(TypedDict):
    """Which checkpoint of a run to keep, and why."""

    checkpoint_id: int | None
    iteration: int | None
    reason: str


class ComparedRun(TypedDict):
    """A run of a comparison."""

    id: int
    name: str
    advice: Advice


class Column(TypedDict):
    """One checkpoint of a comparison."""

    checkpoint_id: int
    run_id: int
    run_name: str
    iteration: int
    score: Score
    is_kept: bool


class Comparison(TypedDict):
    """Probes as rows, checkpoints as columns."""

    runs: list[ComparedRun]
    columns: list[Column]
    rows: list[Row]
    path: str


class Model(TypedDict):
    """A base model."""

    id: int
    name: str
    source: str
    template: str
    architecture: str
    parameters: int
    size_bytes: int
    state: str
    reason: str


class Turn(TypedDict):
    """One turn of a conversation."""

    system: str
    input: str
    output: str
    output_with_loss: bool


class DatasetRow(TypedDict):
    """One row of a dataset."""

    conversation: list[Turn]


class Dataset(TypedDict):
    """One version of a saved set of rows; the last two come only when one is asked for."""

    id: int
    name: str
    sha256: str
    rows: int
    left_out: int
    size_bytes: int
    form: str
    container: str
    source_name: str
    created_at: str
    versions: list["Dataset"]
    used_by: int


class DatasetList(TypedDict):
    """One page of sets."""

    datasets: list[Dataset]
    total: int
    next_cursor: str | None


class Repair(TypedDict):
    """What would put a row right."""

    action: str
    sentence: str
    text: str | None


class Finding(TypedDict):
    """One thing that is wrong with one row; rows and turns are counted from 1."""

    kind: str
    row: int
    turn: int | None
    field: str | None
    text: str
    other_row: int | None
    other_text: str
    sentence: str
    repair: Repair | None


class DatasetFindings(TypedDict):
    """What is wrong with a version's rows: counts over all of them, and examples."""

    dataset_id: int
    is_ready: bool
    rows: int
    total: int
    counts: dict[str, int]
    findings: list[Finding]
