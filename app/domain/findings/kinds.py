"""
What may be wrong with rows: the kinds, one finding, its proposed repair, and all findings of a source.

`Findings` is written as JSON beside a dataset; its sentences stay templates until they are shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from app.domain.datasets.refusals import from_data, to_data
from app.domain.messages import N_, Message

RULES = 1
"""Number of the rule set: findings that an older one made are made anew."""
MOST_EXAMPLES = 200  # of a kind; counts are of all rows


class FindingKind(StrEnum):
    """What is wrong with a row."""

    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    EMPTY_ANSWER = "empty-answer"
    EMPTY_QUESTION = "empty-question"
    ENCODING_DAMAGE = "encoding-damage"
    TAUGHT_IN_GENERAL = "taught-in-general"
    NO_LOSS = "no-loss"
    ODD_TURNS = "odd-turns"


TITLES = {
    FindingKind.CONFLICT: N_("One question, two answers"),
    FindingKind.DUPLICATE: N_("Duplicates"),
    FindingKind.NEAR_DUPLICATE: N_("Near-duplicates"),
    FindingKind.EMPTY_ANSWER: N_("Empty answers"),
    FindingKind.EMPTY_QUESTION: N_("Empty questions"),
    FindingKind.ENCODING_DAMAGE: N_("Damaged text"),
    FindingKind.TAUGHT_IN_GENERAL: N_("Identity in general rows"),
    FindingKind.NO_LOSS: N_("Rows without loss"),
    FindingKind.ODD_TURNS: N_("Role markers in the text"),
}
"""What a page calls each kind."""
IDENTITY, GENERAL = "mix.identity", "mix.general"
"""What findings call the lists of a form: their fields, which no set is named after."""


class Field(StrEnum):
    """A text of a turn, as xtuner names it."""

    SYSTEM = "system"
    INPUT = "input"
    OUTPUT = "output"


class RepairAction(StrEnum):
    """What a repair does with a row."""

    DROP_ROW = "drop-row"
    KEEP_FIRST = "keep-first"
    """Take the answer that the question got first."""
    REPLACE_TEXT = "replace-text"


@dataclass(frozen=True, slots=True)
class Repair:
    """A proposal; nothing is changed before somebody chooses it."""

    action: RepairAction
    sentence: Message
    text: str | None = None
    """What would stand there instead; None where the row would go."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one row; rows and turns are counted from 1, as people count."""

    kind: FindingKind
    source: str
    row: int
    sentence: Message
    text: str
    """The beginning of the text that is meant."""
    turn: int | None = None
    field: Field | None = None
    other_source: str | None = None
    other_row: int | None = None
    other_text: str = ""
    """The beginning of the other row's text."""
    repair: Repair | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found: counts over all rows, and the first examples of each kind in order of row."""

    rows: int = 0
    counts: Mapping[FindingKind, int] = field(default_factory=dict)
    """Kinds that were not found are left out."""
    examples: tuple[Finding, ...] = ()
    unread: tuple[str, ...] = ()
    """Sources that were not searched yet."""
    is_partial: bool = False
    """The texts are too many and too long to be held against each other while somebody types: not all were."""

    @property
    def total(self) -> int:
        """How much was found of all kinds."""
        return sum(self.counts.values())

    def of(self, kind: FindingKind) -> tuple[Finding, ...]:
        """Return the examples of one kind."""
        return tuple(finding for finding in self.examples if finding.kind is kind)

    def as_json(self) -> dict[str, Any]:
        """Return what is written beside a dataset."""
        return {
            "rules": RULES,
            "rows": self.rows,
            "counts": self.counts,
            "examples": [_written(e) for e in self.examples],
        }

    def named(self, source: str) -> Self:
        """Return the findings of one source under its name: content that is stored has none of its own."""
        examples = (
            replace(each, source=source, other_source=source if each.other_source is not None else None)
            for each in self.examples
        )
        return replace(self, examples=tuple(examples))

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> Self | None:
        """Read what was written; None when another rule set made it."""
        if made.get("rules") != RULES:
            return None
        counts = {FindingKind(kind): count for kind, count in made["counts"].items()}
        return cls(made["rows"], counts, tuple(_read(each) for each in made["examples"]))


def merged(parts: Iterable[Findings]) -> Findings:
    """Put the findings of several sources together."""
    parts = tuple(parts)
    counts = {kind: sum(part.counts.get(kind, 0) for part in parts) for kind in FindingKind}
    examples = {kind: [each for part in parts for each in part.of(kind)][:MOST_EXAMPLES] for kind in FindingKind}
    return Findings(
        rows=sum(part.rows for part in parts),
        counts={kind: count for kind, count in counts.items() if count},
        examples=tuple(each for kind in FindingKind for each in examples[kind]),
        unread=tuple(dict.fromkeys(name for part in parts for name in part.unread)),
        is_partial=any(part.is_partial for part in parts),
    )


def _written(finding: Finding) -> dict[str, Any]:
    repair = finding.repair
    return asdict(finding) | {
        "sentence": to_data(finding.sentence),
        "repair": repair and {"action": repair.action, "sentence": to_data(repair.sentence), "text": repair.text},
    }


def _read(made: Mapping[str, Any]) -> Finding:
    repair, field_name = made["repair"], made["field"]
    read = {
        "kind": FindingKind(made["kind"]),
        "field": Field(field_name) if field_name else None,
        "sentence": from_data(made["sentence"]),
        "repair": repair and Repair(RepairAction(repair["action"]), from_data(repair["sentence"]), text=repair["text"]),
    }
    return Finding(**{**made, **read})
