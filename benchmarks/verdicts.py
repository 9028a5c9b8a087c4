"""
How often the verdicts say what a person says who only reads the answers.

Judges every labelled run under `tests/domain/labelled/`, prints the confusion tables and each answer
that was called something else, and writes the same into `docs/verdicts.md`.

Run: `python -m benchmarks.verdicts`. Exit 1 where fewer than 95 of 100 are right.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.labelled import (
    ANSWER_LABELS,
    CHECKPOINT_LABELS,
    LEAST_RIGHT,
    Labelled,
    LabelledSet,
    confusion_table,
    labelled_files,
    read_labelled,
    share_right,
)

PAGE = Path(__file__).parents[1] / "docs" / "verdicts.md"
BEGIN, END = "<!-- labelled -->", "<!-- /labelled -->"
LONGEST = 120  # characters of an answer in the list of those that were called something else


def main() -> None:
    """Judge, print, write; exit 1 where too few are right."""
    files = {path: read_labelled(path) for path in labelled_files()}
    text = "\n".join(_file(path, found) for path, found in files.items())
    print(text)
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")
    every = [part for found in files.values() for part in (found.answers, found.checkpoints)]
    raise SystemExit(0 if all(share_right(part) >= LEAST_RIGHT for part in every) else 1)


def _file(path: Path, found: LabelledSet) -> str:
    parts = [
        f"### {path.stem.replace('_', ' ').capitalize()}\n",
        _part("answers", found.answers, ANSWER_LABELS),
        _part("checkpoints", found.checkpoints, CHECKPOINT_LABELS),
    ]
    return "\n".join(parts)


def _part(name: str, labelled: Sequence[Labelled], labels: Sequence[str]) -> str:
    wrong = [each for each in labelled if each.label != each.found]
    lines = [
        f"{len(labelled)} {name}, {100 * share_right(labelled):.1f} % of them right:\n",
        confusion_table(labelled, labels),
    ]
    if wrong:
        lines.append("Where it is wrong:\n")
        lines += [
            f"- {each.where}: {each.label}, found {each.found or 'nothing'}{_quoted(each.words)}" for each in wrong
        ]
        lines.append("")
    return "\n".join(lines)


def _quoted(words: str) -> str:
    short = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
    return f": “{' '.join(short.split())}”" if words else ""


if __name__ == "__main__":
    main()
