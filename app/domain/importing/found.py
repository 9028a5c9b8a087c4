"""What is found in a work folder, before anything of it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from app.domain.messages import Message
from app.domain.recipes import Mix


class FileKind(StrEnum):
    """What a checkpoint is on the disk."""

    PLAIN = "plain"
    """One pickled file."""
    SHARDS = "shards"
    """A folder of DeepSpeed's."""
    NONE = "none"
    """Deleted since, or never saved: only what it said is left."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of numbers; the loss is a mean over the iterations since the line before."""

    iteration: int
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    seconds: float
    memory_bytes: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as it is stored: without prompt, markers and end tokens."""

    question: str
    text: str
    ended: Literal["stop", "length"]


@dataclass
class Start:
    """One start of xtuner: a folder named by its time. Made while it is read."""

    name: str
    began_at: datetime | None = None
    ended_at: datetime | None = None
    resumed_from: int = 0
    planned: int = 0
    """Iterations in all, as the log counts them."""
    per_epoch: int = 0
    """Iterations of an epoch, where the log counts in epochs."""
    measured: dict[int, Measured] = field(default_factory=dict)
    said: dict[int, list[str]] = field(default_factory=dict)
    """Whole texts by the iteration that their checkpoint has; 0 is the base model."""
    answer_seconds: dict[int, float] = field(default_factory=dict)
    saved: list[int] = field(default_factory=list)
    failure: str = ""
    has_ended: bool = False
    """It came to the end of its training."""

    @property
    def last(self) -> int:
        """The last iteration that anything is known of."""
        return max([self.resumed_from, *self.measured, *self.said, *self.saved], default=0)

    @property
    def has_trained(self) -> bool:
        """Whether it got further than loading."""
        return bool(self.measured or self.saved or any(at > self.resumed_from for at in self.said))


@dataclass(frozen=True)
class FoundCheckpoint:
    """One checkpoint with what it said."""

    iteration: int
    kind: FileKind
    name: str = ""
    """Of its file or folder, relative to the work folder."""
    size_bytes: int = 0
    changed_ns: int = 0
    """When its file was last written to, in nanoseconds; of a folder, the last of its files."""
    said: tuple[Said, ...] = ()
    answer_seconds: float = 0.0


@dataclass(frozen=True)
class FoundConfig:
    """What a config says, as far as it is plain values."""

    name: str
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Nested, by the recipe's own names."""
    model: str = ""
    """Where the base model was."""
    template: str = ""
    """xtuner's name of the prompt template."""
    system: str = ""
    questions: tuple[str, ...] = ()
    evaluation_every: int = 0
    is_greedy: bool = False
    data_files: tuple[str, ...] = ()
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True)
class FoundMix:
    """The mix as far as the rows, or the user, tell it."""

    mix: Mix
    rows: int
    """Of the file; 0 where there is none."""
    rest: int = 0
    """Rows that are no pairs of the mix, and become a saved set."""
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True)
class FoundRun:
    """Everything of a work folder that a run is made of."""

    folder: str
    name: str
    fingerprint: str
    config: FoundConfig | None
    starts: Sequence[Start]
    """Those that trained, in their order, cut to one line."""
    checkpoints: Sequence[FoundCheckpoint]
    """By iteration; 0 is the base model."""
    iterations: int
    """Planned, or reached where no log says it."""
    notes: tuple[Message, ...]
    log_end: str = ""
    """The last lines of the newest log."""

    @property
    def iteration(self) -> int:
        """The last iteration that was trained."""
        return max((start.last for start in self.starts), default=0) or self._last_saved

    @property
    def _last_saved(self) -> int:
        return max((each.iteration for each in self.checkpoints), default=0)
