"""
How often the verdicts say what a person says who only reads the answers.

Judges every labelled run under `tests/domain/labelled/`, prints the confusion tables and each answer
that was called something else, and writes the same into `docs/verdicts.md`.

Run: `python -m benchmarks.verdicts`. Exit 1 where fewer than 95 of 100 answers, or checkpoints, are right in all.
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
    read_all,
    read_labelled,
    share_right,
)

PAGE = Path(__file__).parents[1] / "docs" / "verdicts.md"
BEGIN, END = "<!-- labelled -->", "<!-- /labelled -->"
LONGEST = 120  # characters of an answer in the list of those that were called something else


def main() -> None:
    """Judge, print, write; exit 1 where too few are right."""
    files = {path.stem.replace("_", " ").capitalize(): read_labelled(path) for path in labelled_files()}
    every = read_all(files.values())
    text = "\n".join(_file(name, found) for name, found in {"All together": every, **files}.items())
    print(text)
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")
    raise SystemExit(0 if min(share_right(every.answers), share_right(every.checkpoints)) >= LEAST_RIGHT else 1)


def _file(name: str, found: LabelledSet) -> str:
    is_one = name != "All together"
    parts = [
        f"### {name}\n",
        _part("answers", found.answers, ANSWER_LABELS, names_wrong=is_one),
        _part("checkpoints", found.checkpoints, CHECKPOINT_LABELS, names_wrong=is_one),
    ]
    return "\n".join(parts)


def _part(name: str, labelled: Sequence[Labelled], labels: Sequence[str], *, names_wrong: bool) -> str:
    wrong = [each for each in labelled if each.label != each.found] if names_wrong else []
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
