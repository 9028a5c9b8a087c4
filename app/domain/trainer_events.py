"""
What a trainer tells its supervisor: one JSON object a line in `events.jsonl`.

The trainer appends and flushes; the supervisor reads by byte offset. Both sides use these
types and nothing else, so a field added here is known to both. Not-a-number and infinity are
written as null: neither browsers nor Postgres can read them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class TrainerEvent(BaseModel):
    """What every event has: the trainer's clock, in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)
    time: float


class PhaseBegan(TrainerEvent):
    """The trainer does something else now."""

    kind: Literal["phase"] = "phase"
    phase: Literal["loading", "tokenising", "training", "saving", "answering", "finishing"]
    iteration: int = 0


class PlanMade(TrainerEvent):
    """Known once the data is packed: how long the run is."""

    kind: Literal["plan"] = "plan"
    iterations: int
    updates: int
    samples: int
    """Packs, or rows where packing is off, in one epoch."""
    trainable_parameters: int
    parameters: int


class MetricMeasured(TrainerEvent):
    """One iteration was trained."""

    kind: Literal["metric"] = "metric"
    iteration: int
    """Counted from 1: iteration 5 is the state that `iter_5.pth` holds."""
    loss: float | None
    learning_rate: float
    grad_norm: float | None = None
    """Of the update made at this iteration; null where none was made."""
    seconds: float
    """Wall time of the iteration without answering and saving."""
    memory_bytes: int
    """Highest so far: of the GPU where there is one, else of the process."""


class CheckpointSaved(TrainerEvent):
    """A checkpoint is whole on disk: written aside, fsynced and renamed."""

    kind: Literal["checkpoint"] = "checkpoint"
    iteration: int
    updates: int
    file: str
    """Relative to the run's folder, such as `iter_5.pth`."""
    adapter: str | None
    """Folder in Hugging Face form relative to the run's folder; null when the whole model is tuned."""
    state_file: str = ""
    """What the optimizer needs to go on from here, relative to the run's folder."""
    sha256: str = ""
    """Of the weights' file and of the optimizer's, joined by a plus: a run goes on only from what was written."""
    size_bytes: int
    """Of all of these."""


class DamagedCheckpoint(BaseModel):
    """A checkpoint that a run could not go on from."""

    model_config = ConfigDict(frozen=True)
    iteration: int
    problem: str


class TrainingResumed(TrainerEvent):
    """The run goes on from a checkpoint; what was measured after it is measured again."""

    kind: Literal["resumed"] = "resumed"
    iteration: int
    """0 when no checkpoint was whole, and the run begins anew."""
    damaged: tuple[DamagedCheckpoint, ...] = ()
    """Newer ones that were passed over."""


class AnswerGiven(BaseModel):
    """One probe's answer; `probe` is its position in the recipe, from 0."""

    model_config = ConfigDict(frozen=True)
    probe: int
    text: str
    tokens: int
    ended: Literal["stop", "length"]
    """`length`: cut at the limit of new tokens."""


class AnswersGiven(TrainerEvent):
    """All probes were answered in one batch; iteration 0 is the base model."""

    kind: Literal["answers"] = "answers"
    iteration: int
    answers: tuple[AnswerGiven, ...]
    seconds: float
    """Wall time of the whole batch, and of measuring the likelihoods."""
    dtype: str
    quantised: bool
    identity_nll: float | None = None
    """Mean negative log-likelihood, in nats a token, of held-out identity pairs; null where it was not measured."""
    general_nll: float | None = None
    """The same of held-out general pairs."""


class CheckpointPassedOver(TrainerEvent):
    """A checkpoint could not be asked after its run: files of it are missing or damaged."""

    kind: Literal["passed-over"] = "passed-over"
    iteration: int
    problem: str


class TrainerEnded(TrainerEvent):
    """The last line: how the trainer itself saw its end."""

    kind: Literal["end"] = "end"
    outcome: Literal["finished", "failed", "stopped"]
    """`stopped`: it was asked to save and leave, and has."""
    reason: str = ""
    """Of a failure: one of `ReasonKind`'s values."""
    detail: str = ""
    """Of a failure: the exception's own words, for the log and the details view."""


AnyTrainerEvent = Annotated[
    PhaseBegan
    | PlanMade
    | MetricMeasured
    | CheckpointSaved
    | TrainingResumed
    | AnswersGiven
    | CheckpointPassedOver
    | TrainerEnded,
    Field(discriminator="kind"),
]
trainer_event_adapter: TypeAdapter[AnyTrainerEvent] = TypeAdapter(AnyTrainerEvent)
