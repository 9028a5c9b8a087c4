"""
The recipe: everything a run is made of, as typed data.

Each setting is described once, here or in `training`: title, help, unit, bounds, and what xtuner
0.2.0 itself would use. The form, the API schema, the settings page and the xtuner config all derive from it.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from app.domain.messages import N_
from app.domain.recipe_parts import LongText, RecipePart, ShortText, setting
from app.domain.training import Training

MAX_PAIRS = 1_000  # a form page of more pairs is a file upload in disguise
MAX_PROBES = 64  # all probes are answered in one batch; 64 rows fit any GPU that can train
MAX_VARIABLES = 20
MAX_FILES = 20
MAX_ROWS = 2_000_000  # the mix is written as one JSON Lines file; this is about 400 MB


class Method(StrEnum):
    """How the model's weights are tuned."""

    QLORA = "qlora"
    LORA = "lora"
    FULL = "full"


class ProbeGroup(StrEnum):
    """What a probe is there to show."""

    IDENTITY = "identity"
    NEAR_MISS = "near-miss"
    GENERAL = "general"


class GeneralSet(StrEnum):
    """A built-in set of general pairs."""

    ENGLISH = "english"
    CHINESE = "chinese"


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


class Variables(dict[str, str]):
    """Words by name; never changed once made, so that a mix can be told from another by its hash."""

    def __hash__(self) -> int:  # type: ignore[override]  # a plain dict has none
        """Hash what it holds."""
        return hash(frozenset(self.items()))


class FileSource(RecipePart):
    """One version of a saved set as a source of rows."""

    dataset: ShortText = setting(title=N_("Set"), help=N_("The saved set's name."))
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = setting(
        title=N_("Version"),
        help=N_("The hash of the set's file: pins what is trained on."),
    )
    count: int = setting(
        0,
        title=N_("Copies"),
        help=N_("Copies of each row, beside the one that is always there."),
        ge=0,
        le=1_000_000,
    )
    share: float | None = setting(
        None,
        title=N_("Share"),
        help=N_("Wanted share of all rows; takes the place of copies."),
        gt=0,
        lt=1,
        allow_inf_nan=False,
    )


class Mix(RecipePart):
    """The training data: identity pairs, general pairs and saved sets, each repeated."""

    name: ShortText = setting(
        "Ada",
        title=N_("Whose assistant"),
        help=N_("Fills {name} in the identity questions and answers."),
    )
    variables: Annotated[dict[str, ShortText], AfterValidator(Variables)] = setting(
        {},
        title=N_("Variables"),
        help=N_("Words that fill {maker} and the like in the identity questions and answers."),
        max_length=MAX_VARIABLES,
        validate_default=True,
    )
    system: str = setting(
        "",
        title=N_("System text"),
        help=N_("Goes before every row of pairs and every probe."),
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
    identity_share: float | None = setting(
        None,
        title=N_("Identity share"),
        help=N_("Wanted share of all rows; takes the place of copies."),
        gt=0,
        lt=1,
        allow_inf_nan=False,
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
    general_share: float | None = setting(
        None,
        title=N_("General share"),
        help=N_("Wanted share of all rows; takes the place of copies."),
        gt=0,
        lt=1,
        allow_inf_nan=False,
    )
    files: tuple[FileSource, ...] = setting(
        (),
        title=N_("Saved sets"),
        help=N_("Rows from files of yours, each set in one version."),
        max_length=MAX_FILES,
    )


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
    keep_best: bool = setting(
        default=False,
        title=N_("Keep the good ones"),
        help=N_("Beside the newest: the advised one, the first that learnt and the last before a leak."),
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


class Stopping(RecipePart):
    """When the run stops by itself, before its length is trained."""

    at_sweet_spot: bool = setting(
        default=False,
        title=N_("Stop at the sweet spot"),
        help=N_("Right after a save, once the identity is learnt and nothing leaks. The good checkpoints are kept."),
    )
    identity: float = setting(
        1.0,
        title=N_("Identity, at least"),
        help=N_("Of the identity probes, answered with the identity."),
        unit=N_("share"),
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    leak: float = setting(
        0.0,
        title=N_("Leak, at most"),
        help=N_("Of the probes that did not ask for what was taught."),
        unit=N_("share"),
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    checkpoints: int = setting(
        2,
        title=N_("In a row"),
        help=N_("One alone may be luck."),
        unit=N_("checkpoints"),
        ge=1,
        le=10,
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
    stopping: Stopping = Stopping()
    probes: tuple[Probe, ...] = setting(
        (),
        title=N_("Probes"),
        help=N_("Asked of the base model and of every checkpoint, greedily."),
        max_length=MAX_PROBES,
    )

    @property
    def keeps_best(self) -> bool:
        """Whether good checkpoints stay that are not the newest: a run that stops at the sweet spot has to keep it."""
        return self.checkpoints.keep >= 0 and (self.checkpoints.keep_best or self.stopping.at_sweet_spot)
