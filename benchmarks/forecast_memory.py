"""
The forecast of a GPU's memory against what trainings really took of one.

Reads what `benchmarks.truth.gpu_memory` measured on GPUs, so it needs none itself. Writes the table
into docs/forecast.md; exits 1 when a figure is off by more than a tenth.

Run: `python -m benchmarks.forecast_memory`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from app.domain.memory import gpu_bytes
from app.domain.recipes import Method, Recipe
from benchmarks.truth.gpu_memory import HELD_OUT, NAMES, SHAPES, recipe_of
from benchmarks.truth.pages import write_page

MEASURED = Path(__file__).parent / "truth" / "gpu_memory.jsonl"
MOST_OFF = 0.1
HEAD = (
    "| model | method | precision | length | batch | checkpointing | r, on, dropout |"
    " measured GB | forecast GB | off |\n"
    "|---|---|---|--:|--:|---|---|--:|--:|--:|\n"
)


def main() -> int:
    """Write the table and print the worst; return the exit code."""
    lines = [json.loads(line) for line in MEASURED.read_text("utf-8").splitlines()]
    rows = [(line, _forecast(line)) for line in lines]
    worst = max(abs(_off(line, forecast)) for line, forecast in rows)
    held_out = max(abs(_off(line, forecast)) for line, forecast in rows if _setting(line) in HELD_OUT)
    summary = (
        f"\nWorst of {len(rows)}: {worst:.1%}; of the {len(HELD_OUT)} that nothing was fitted to: {held_out:.1%}.\n"
    )
    write_page("memory", HEAD + "".join(_row(*each) for each in rows) + summary)
    print(summary.strip())
    return int(worst > MOST_OFF)


def _setting(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in NAMES)


def _forecast(line: dict[str, Any]) -> int:
    recipe = Recipe.model_validate(recipe_of(_setting(line)))  # type: ignore[arg-type]
    return gpu_bytes(SHAPES[line["model"]], recipe, Method(line["method"])) or 0


def _off(line: dict[str, Any], forecast: int) -> float:
    return float(forecast / line["bytes"] - 1)


def _row(line: dict[str, Any], forecast: int) -> str:
    method, precision, tokens, batch, checkpointing, r, targets, dropout = _setting(line)
    lora = "–" if method == Method.FULL else f"{r}, {targets}, {dropout:g}"
    cells = (
        f"{line['model']} ({line['device']})", method, precision, f"{tokens:,}", batch,
        "on" if checkpointing else "off", lora, f"{line['bytes'] / 1e9:.2f}", f"{forecast / 1e9:.2f}",
        f"{_off(line, forecast):+.1%}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    sys.exit(main())
