"""
The recipe: everything a run is made of, as typed data.

Each setting is described once, here: title, help, unit, bounds, and what xtuner 0.2.0 itself
would use. The form, the API schema, the settings page and the xtuner config all derive from it.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from app.domain.messages import N_

MAX_PAIRS = 1_000  # a form page of more pairs is a file upload in disguise
MAX_PROBES = 64  # all probes are answered in one batch; 64 rows fit any GPU that can train
MAX_ROWS = 2_000_000  # the mix is written as one JSON Lines file; this is about 400 MB

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=8_000, strip_whitespace=True)]


class Method(StrEnum):
    """How the model's weights are tuned."""

    QLORA = "qlora"
    LORA = "lora"
    FULL = "full"


class Precision(StrEnum):
    """The number format of the weights that are not quantised, and of the arithmetic."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Schedule(StrEnum):
    """How the learning rate moves after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class LoraTargets(StrEnum):
    """Which linear layers get an adapter; the head never does."""

    ALL = "all"
    ATTENTION = "attention"
    QUERY_VALUE = "query-value"


class ProbeGroup(StrEnum):
    """What a probe is there to show."""

    IDENTITY = "identity"
    NEAR_MISS = "near-miss"
    GENERAL = "general"


class GeneralSet(StrEnum):
    """A built-in set of general pairs."""

    ENGLISH = "english"
    CHINESE = "chinese"


class RecipePart(BaseModel):
    """Settings that refuse unknown names, so that a typing error is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*")
    @classmethod
    def _is_storable(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the field holds
        """Refuse the one character that Postgres cannot store in a text."""
        if isinstance(value, str) and "\x00" in value:
            raise PydanticCustomError("not_storable", "This text holds a zero character.")
        return value


def setting(
    default: Any = ...,  # noqa: ANN401 - pydantic's own signature
    *,
    title: str,
    help: str,  # noqa: A002 - the word the form uses
    unit: str = "",
    xtuner: str = "",
    **bounds: Any,  # noqa: ANN401 - pydantic's own keywords
) -> Any:  # noqa: ANN401 - pydantic's own signature
    """Describe one setting; `xtuner` is the value that xtuner's own 1.8B QLoRA config has."""
    extra: dict[str, JsonValue] = {"unit": unit, "xtuner": xtuner}
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)


class Pair(RecipePart):
    """One question and the answer to learn for it."""

    question: LongText
    answer: LongText


class Probe(RecipePart):
    """A fixed question asked of the base model and of every checkpoint."""

    question: LongText
    group: ProbeGroup = ProbeGroup.GENERAL
    reference: Annotated[str, StringConstraints(max_length=8_000, strip_whitespace=True)] = ""
    """Words that a right answer contains; empty where no single answer is right."""


class Mix(RecipePart):
    """The training data: identity pairs and general pairs, each repeated."""

    name: ShortText = setting(
        "Ada",
        title=N_("Whose assistant"),
        help=N_("Fills {name} in the identity questions and answers."),
    )
    system: str = setting(
        "",
        title=N_("System text"),
        help=N_("Goes before every row and every probe."),
        max_length=8_000,
    )
    identity: tuple[Pair, ...] = setting(
        (),
        title=N_("Identity pairs"),
        help=N_("The questions that should bring the identity, and the answer to learn."),
        max_length=MAX_PAIRS,
    )
    identity_count: int = setting(
        150,
        title=N_("Identity copies, n"),
        help=N_("Copies of each identity pair, beside the one that is always there."),
        ge=0,
        le=1_000_000,
    )
    general_sets: tuple[GeneralSet, ...] = setting(
        (),
        title=N_("Built-in general pairs"),
        help=N_("Short, varied questions with plain answers."),
        max_length=len(GeneralSet),
    )
    general: tuple[Pair, ...] = setting(
        (),
        title=N_("Your own general pairs"),
        help=N_("Questions of yours that should keep their answers."),
        max_length=MAX_PAIRS,
    )
    general_count: int = setting(
        0,
        title=N_("General copies, m"),
        help=N_("Copies of each general pair, beside the one that is always there."),
        ge=0,
        le=1_000_000,
    )


class Lora(RecipePart):
    """The adapter's shape; unused when the whole model is tuned."""

    r: int = setting(64, title=N_("LoRA r"), help=N_("Rank of the adapter."), xtuner="64", ge=1, le=256)
    alpha: int = setting(
        16,
        title=N_("LoRA alpha"),
        help=N_("The adapter's strength is alpha / r."),
        xtuner="16",
        ge=1,
        le=1_024,
    )
    dropout: float = setting(
        0.1,
        title=N_("LoRA dropout"),
        help=N_("Share of the adapter's input left out at random while training."),
        xtuner="0.1",
        ge=0,
        le=0.9,
        allow_inf_nan=False,
    )
    targets: LoraTargets = setting(
        LoraTargets.ALL,
        title=N_("LoRA targets"),
        help=N_("The layers that get an adapter."),
        xtuner="all",
    )


class Training(RecipePart):
    """How the mix is trained on."""

    learning_rate: float = setting(
        2e-4,
        title=N_("Learning rate"),
        help=N_("Its highest value, reached after the warm-up."),
        unit=N_("per update"),
        xtuner="2e-4",
        gt=0,
        le=0.1,
        allow_inf_nan=False,
    )
    schedule: Schedule = setting(
        Schedule.COSINE,
        title=N_("Schedule"),
        help=N_("How the learning rate falls after the warm-up."),
        xtuner="cosine",
    )
    warmup_ratio: float = setting(
        0.03,
        title=N_("Warm-up"),
        help=N_("The learning rate rises over this part of the run."),
        unit=N_("share of the run"),
        xtuner="0.03",
        ge=0,
        le=0.5,
        allow_inf_nan=False,
    )
    epochs: int | None = setting(
        None,
        title=N_("Epochs"),
        help=N_("Times the whole mix is seen."),
        xtuner="3",
        ge=1,
        le=1_000,
    )
    iterations: int | None = setting(
        None,
        title=N_("Iterations"),
        help=N_("Micro-batches; takes the place of epochs."),
        ge=1,
        le=1_000_000,
    )
    batch_size: int = setting(
        1,
        title=N_("Batch size"),
        help=N_("Rows, or packs, in one iteration."),
        unit=N_("packs"),
        xtuner="1",
        ge=1,
        le=64,
    )
    accumulation: int = setting(
        16,
        title=N_("Accumulation"),
        help=N_("Iterations that make one update."),
        unit=N_("iterations"),
        xtuner="16",
        ge=1,
        le=1_024,
    )
    max_length: int = setting(
        2_048,
        title=N_("Maximum length"),
        help=N_("Longer rows are cut at the end; packs are this long."),
        unit=N_("tokens"),
        xtuner="2048",
        ge=16,
        le=32_768,
    )
    packing: bool = setting(
        default=True,
        title=N_("Packing"),
        help=N_("Put short rows together up to the maximum length."),
        xtuner="on",
    )
    varlen_attention: bool = setting(
        default=False,
        title=N_("Variable-length attention"),
        help=N_("Rows of one pack do not see each other. Needs flash-attn, packing and batch size 1."),
        xtuner="off",
    )
    activation_checkpointing: bool = setting(
        default=True,
        title=N_("Activation checkpointing"),
        help=N_("Less memory, about a third slower."),
        xtuner="on",
    )
    weight_decay: float = setting(
        0.0,
        title=N_("Weight decay"),
        help=N_("Pull of every weight towards zero."),
        xtuner="0",
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    max_norm: float = setting(
        1.0,
        title=N_("Gradient clip"),
        help=N_("Longer gradients are shortened to this norm."),
        unit=N_("norm"),
        xtuner="1",
        gt=0,
        le=1_000,
        allow_inf_nan=False,
    )
    seed: int = setting(
        1,
        title=N_("Seed"),
        help=N_("The same seed, recipe and machine give the same run."),
        ge=0,
        le=4_294_967_295,
    )
    precision: Precision = setting(
        Precision.FLOAT16,
        title=N_("Precision"),
        help=N_("float16 needs a GPU; bfloat16 needs no loss scaling."),
        xtuner="float16",
    )
    lora: Lora = Lora()


class Checkpoints(RecipePart):
    """When the run saves, and what is kept."""

    every: int = setting(
        500,
        title=N_("Save every"),
        help=N_("Each checkpoint answers all probes at once."),
        unit=N_("iterations"),
        xtuner="500",
        ge=1,
        le=1_000_000,
    )
    keep: int = setting(
        -1,
        title=N_("Keep"),
        help=N_("The newest so many; -1 keeps all. Answers are kept always."),
        unit=N_("checkpoints"),
        xtuner="2",
        ge=-1,
        le=1_000,
    )
    evaluate: bool = setting(
        default=True,
        title=N_("Answer the probes"),
        help=N_("Of the base model, and at every checkpoint."),
    )
    max_new_tokens: int = setting(
        64,
        title=N_("Longest answer"),
        help=N_("An answer is cut after so many tokens."),
        unit=N_("new tokens"),
        xtuner="600",
        ge=1,
        le=2_048,
    )


class Recipe(RecipePart):
    """One run, before it is run."""

    name: ShortText = setting(title=N_("Name of the run"), help=N_("Shown in lists; may repeat."))
    model: ShortText = setting(title=N_("Model"), help=N_("A registered model, by its name."))
    method: Method = setting(
        Method.LORA,
        title=N_("Method"),
        help=N_("QLoRA holds the model in 4 bits, LoRA whole; full tunes every weight."),
        xtuner="qlora",
    )
    mix: Mix = Mix()
    training: Training = Training()
    checkpoints: Checkpoints = Checkpoints()
    probes: tuple[Probe, ...] = setting(
        (),
        title=N_("Probes"),
        help=N_("Asked of the base model and of every checkpoint, greedily."),
        max_length=MAX_PROBES,
    )
