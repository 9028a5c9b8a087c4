"""Length: what is forecast of rows, against what xtuner's own dataset code makes of them in a child."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.truth.pages import ROOT, Table


@dataclass(frozen=True)
class Length:
    """What was forecast of a case, and what came true."""

    rows: int
    forecast: dict[str, Any]
    came: dict[str, Any]

    @property
    def is_equal(self) -> bool:
        """Whether every number is the same."""
        return all(self.came.get(name) == value for name, value in self.forecast.items())


def measure_lengths(cases: Sequence[Any], model: Path, folder: Path) -> list[Length]:
    """Forecast each case, and let xtuner make its dataset; `folder` takes configs."""
    from app.domain.forecasts import forecast_recipe  # noqa: PLC0415 - after the home is set
    from app.domain.mixes import count_rows, keep_rows, rows_file  # noqa: PLC0415
    from app.domain.models import Model  # noqa: PLC0415
    from app.domain.xtuner_config import render_config  # noqa: PLC0415

    made = []
    for number, case in enumerate(cases):
        recipe = case.recipe()
        rows = count_rows(recipe.mix).total
        config = render_config(
            recipe,
            model_path=str(model),
            template=case.template,
            run_folder=str(folder),
            data_file=str(rows_file(keep_rows(recipe.mix))),
            rows=rows,
            device="cpu",
        )
        path = folder / f"case_{number}.py"
        path.write_text(config.text, "utf-8")
        known = forecast_recipe(recipe, model=Model(name="m", source="", path=str(model), template=case.template))
        tokens = known.tokens
        if tokens is None:
            raise SystemExit(f"{case.name}: {[str(each) for each in known.unknown]}")
        forecast = {
            "samples": known.packs,
            "iterations_per_epoch": known.iterations_per_epoch,
            "tokens": tokens.tokens,
            "loss_tokens": tokens.loss_tokens,
        }
        made.append((path, rows, forecast))
    came = _xtuner_samples([path for path, _, _ in made], cache=folder / "cache")
    return [Length(rows, forecast, true) for (_, rows, forecast), true in zip(made, came, strict=True)]


def _xtuner_samples(configs: Sequence[Path], *, cache: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.truth.xtuner_samples", *map(str, configs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != len(configs):
        raise SystemExit(done.stderr[-2_000:])
    return lines


def lengths_table(model: Path, home: Path) -> Table:
    """Hold every case against xtuner."""
    from benchmarks.truth.cases import CASES  # noqa: PLC0415 - after the home is set

    lengths = measure_lengths(CASES, model, home)
    head = (
        "| case | template | rows | length | packs | batch | forecast: samples, iterations an epoch, tokens, learnt |"
        " xtuner | equal |\n|---|---|--:|--:|---|--:|---|---|---|\n"
    )
    body = "".join(_length_row(case, length) for case, length in zip(CASES, lengths, strict=True))
    equal = sum(length.is_equal for length in lengths)
    return Table(f"{head}{body}\n{equal} of {len(lengths)} equal.\n", equal < len(lengths))


def _length_row(case: Any, length: Length) -> str:  # noqa: ANN401 - a case
    training = case.recipe().training
    forecast, came = (
        " · ".join(f"{numbers[name]:,}" if name in numbers else "-" for name in length.forecast)
        for numbers in (length.forecast, length.came)
    )
    packing = "yes" if training.packing else "no"
    return (
        f"| {case.name} | {case.template} | {length.rows:,} | {training.max_length:,} | {packing} | "
        f"{training.batch_size} | {forecast} | {came} | {'yes' if length.is_equal else '**no**'} |\n"
    )
