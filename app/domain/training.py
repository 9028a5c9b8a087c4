"""How a mix is trained on: the hyperparameters of a recipe, with xtuner 0.2.0's own values beside them."""

from enum import StrEnum

from app.domain.messages import N_
from app.domain.recipe_parts import RecipePart, setting

MAX_ITERATIONS = 1_000_000


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


_QUERY_VALUE = ("q_proj", "v_proj", "qkv_proj")  # phi3 holds the three in one layer
_ATTENTION = (*_QUERY_VALUE, "k_proj", "o_proj", "dense")  # phi's output
_FEED_FORWARD = (
    *("gate_proj", "up_proj", "down_proj"),
    "gate_up_proj",  # phi3 and glm: gate and up in one layer
    *("c_fc", "c_proj"),  # starcoder2
    *("fc1", "fc2"),  # phi
    *("w1", "w2", "w3"),  # mixtral's experts
)
TARGETS: dict[LoraTargets, tuple[str, ...]] = {
    LoraTargets.ALL: (*_ATTENTION, *_FEED_FORWARD),
    LoraTargets.ATTENTION: _ATTENTION,
    LoraTargets.QUERY_VALUE: _QUERY_VALUE,
}
"""
Linear layers by name, of every model type that can be registered: peft adapts those that a model has.

Left open, xtuner would adapt the head of some models too.

Source:
    The modules of transformers 4.57.6 for the types in `model_folders.NATIVE_TYPES`.
"""


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
        le=MAX_ITERATIONS,
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
