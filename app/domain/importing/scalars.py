"""
xtuner's numbers as JSON lines: `vis_data/scalars.json`, which is no JSON document, and its copy named by the time.

Not-a-number stands there as a bare `NaN`. A line that is no object of numbers is passed over.

Source:
    mmengine 0.10 `visualization/vis_backend.py`.
"""

import json
from typing import Any, BinaryIO

from app.domain.importing.found import Start
from app.domain.importing.log_lines import MOST_MEASURED, lines_of, measured, number_in
from app.domain.training import MAX_ITERATIONS

NUMBERS = ("lr", "loss", "grad_norm", "time", "memory")


def read_scalars(start: Start, file: BinaryIO) -> None:
    """Add the numbers that the log did not have; where both have an iteration, these are more exact."""
    stride = 1
    for line in lines_of(file):
        numbers = _object_in(line)
        iteration = numbers.get("iter", numbers.get("step"))
        if not isinstance(iteration, int) or isinstance(iteration, bool) or not 0 < iteration <= MAX_ITERATIONS:
            continue
        if "loss" not in numbers or iteration % stride:
            continue
        before = start.measured.get(iteration)
        found = {name: number_in(numbers.get(name)) for name in NUMBERS}
        start.measured[iteration] = measured(iteration, found, at=before.at if before else None)
        while len(start.measured) > MOST_MEASURED:
            stride *= 2
            start.measured = {at: one for at, one in start.measured.items() if at % stride == 0}


def _object_in(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
