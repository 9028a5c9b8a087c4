"""
What a trainer tells its supervisor: one JSON object a line in `events.jsonl`.

The trainer appends and flushes; the supervisor reads by byte offset. Both sides use these
types and nothing else, so a field added here is known to both. They hold what both databases
store: a value that one of them refuses would be refused again at every try, and the trainer's
supervisor would store nothing more.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from app.domain.texts import storable


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("it holds a character that cannot be shown")
    return name


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
LargeCount = Annotated[int, Field(ge=0, le=2**63 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
"""Not-a-number and infinity are written as null: neither browsers nor Postgres can read them."""
Name = Annotated[str, AfterValidator(_printable)]
Words = Annotated[str, AfterValidator(storable)]
"""A text of whatever a program or a model said."""


class TrainerEvent(BaseModel):
    """What every event has: the trainer's clock, in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)
    time: Number


class PhaseBegan(TrainerEvent):
    """The trainer does something else now."""

    kind: Literal["phase"] = "phase"
    phase: Literal["loading", "tokenising", "training", "saving", "answering", "finishing"]
    iteration: Count = 0


class PlanMade(TrainerEvent):
    """Known once the data is packed: how long the run is."""

    kind: Literal["plan"] = "plan"
    iterations: Count
    updates: Count
    samples: LargeCount
    """Packs, or rows where packing is off, in one epoch."""
    trainable_parameters: LargeCount
    parameters: LargeCount


class MetricMeasured(TrainerEvent):
    """One iteration was trained."""

    kind: Literal["metric"] = "metric"
    iteration: Count
    """Counted from 1: iteration 5 is the state that `iter_5.pth` holds."""
    loss: Number | None
    learning_rate: Number
    grad_norm: Number | None = None
    """Of the update made at this iteration; null where none was made."""
    seconds: Number
    """Wall time of the iteration without answering and saving."""
    memory_bytes: LargeCount
    """Highest so far: of the GPU where there is one, else of the process."""


class CheckpointSaved(TrainerEvent):
    """A checkpoint is whole on disk: written aside, fsynced and renamed."""

    kind: Literal["checkpoint"] = "checkpoint"
    iteration: Count
    updates: Count
    file: Name
    """Relative to the run's folder, such as `iter_5.pth`."""
    adapter: Name | None
    """Folder in Hugging Face form relative to the run's folder; null when the whole model is tuned."""
    state_file: Name = ""
    """What the optimizer needs to go on from here, relative to the run's folder."""
    sha256: Name = ""
    """Of the weights' file and of the optimizer's, joined by a plus: a run goes on only from what was written."""
    size_bytes: LargeCount
    """Of all of these."""


class DamagedCheckpoint(BaseModel):
    """A checkpoint that a run could not go on from."""

    model_config = ConfigDict(frozen=True)
    iteration: Count
    problem: Words


class TrainingResumed(TrainerEvent):
    """The run goes on from a checkpoint; what was measured after it is measured again."""

    kind: Literal["resumed"] = "resumed"
    iteration: Count
    """0 when no checkpoint was whole, and the run begins anew."""
    damaged: tuple[DamagedCheckpoint, ...] = ()
    """Newer ones that were passed over."""


class AnswerGiven(BaseModel):
    """One probe's answer; `probe` is its position in the recipe, from 0."""

    model_config = ConfigDict(frozen=True)
    probe: int
    text: Words
    tokens: Count
    ended: Literal["stop", "length"]
    """`length`: cut at the limit of new tokens."""


class AnswersGiven(TrainerEvent):
    """All probes were answered in one batch; iteration 0 is the base model."""

    kind: Literal["answers"] = "answers"
    iteration: Count
    answers: tuple[AnswerGiven, ...]
    seconds: Number
    """Wall time of the whole batch, and of measuring the likelihoods."""
    dtype: Name
    quantised: bool
    identity_nll: Number | None = None
    """Mean negative log-likelihood, in nats a token, of held-out identity pairs; null where it was not measured."""
    general_nll: Number | None = None
    """The same of held-out general pairs."""


class CheckpointPassedOver(TrainerEvent):
    """A checkpoint could not be asked after its run: files of it are missing or damaged."""

    kind: Literal["passed-over"] = "passed-over"
    iteration: Count
    problem: Words


class TrainerEnded(TrainerEvent):
    """The last line: how the trainer itself saw its end."""

    kind: Literal["end"] = "end"
    outcome: Literal["finished", "failed", "stopped"]
    """`stopped`: it was asked to save and leave, and has."""
    reason: Words = ""
    """Of a failure: one of `ReasonKind`'s values."""
    detail: Words = ""
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
