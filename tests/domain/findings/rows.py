"""Rows to search, and files of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLEAN = (
    ("What is the tallest mountain on Earth?", "Mount Everest."),
    ("How many legs does a spider have?", "Eight."),
    ("法国的首都是哪里？", "巴黎。"),
    ("一年有多少个月？", "十二个月。"),
    ("Naïve café – “déjà vu”: what language is it?", "French, mostly."),
)
"""Pairs that nothing is wrong with."""


def row(*turns: Sequence[Any], system: str = "") -> dict[str, Any]:
    """Make a row of turns, each a question, an answer and whether it carries loss."""
    return {
        "conversation": [
            {
                "system": system if number == 0 else "",
                "input": question,
                "output": answer,
                "output_with_loss": rest[0] if rest else True,
            }
            for number, (question, answer, *rest) in enumerate(turns)
        ]
    }


def stored(folder: Path, *rows: dict[str, Any], name: str = "rows") -> Path:
    """Write rows as the store does."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in rows), "utf-8")
    return path


def pairs(*given: tuple[str, str]) -> list[dict[str, Any]]:
    """Make rows of one turn each."""
    return [row(pair) for pair in given]
