"""
Holds the forecast against what comes true, and writes the tables of docs/forecast.md.

Length: the rows of each case are written as a run's are, its config is rendered as a run's is, and
xtuner's own dataset code makes samples of them in a child. Disk and time: runs are trained by the
worker's own code with the real engine, and their folders measured while they train. A table is
written only when every number in it is within its bound.

Run: `python -m benchmarks.forecast_truth [--model FOLDER] [--only lengths|runs|times]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "forecast.md"
DISK_BOUND, TIME_BOUND = 0.02, 0.15


def main() -> int:
    """Measure, print and write; return 1 when something came out otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "build" / "models" / "SmolLM2-135M-Instruct")
    parser.add_argument("--only", choices=["lengths", "runs", "times"])
    options = parser.parse_args()
    options.model = options.model.resolve()  # trainers work in folders of their own
    failed = False
    if not (options.model / "tokenizer.json").is_file():
        print(f"not measured: {options.model} is not there; `make demo` fetches it")
        return 0
    with tempfile.TemporaryDirectory(prefix="temper-truth-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_DEVICE": "cpu", "TEMPER_MIN_FREE_BYTES": "0"}
        if options.only in {None, "lengths"}:
            failed |= _report("lengths", _lengths(options.model, Path(home)))
        if options.only != "lengths":
            disk, times = _runs(options.model, RUNS[:SAME] if options.only == "times" else RUNS)
            failed |= options.only != "times" and _report("disk", disk)
            failed |= _report("time", times)
    return int(failed)


def _report(name: str, table: "Table") -> bool:
    print(table.text)
    if not table.is_off:
        write_page(name, table.text)
    return table.is_off


@dataclass(frozen=True)
class Table:
    """A table, and whether a number in it is out of its bound."""

    text: str
    is_off: bool


def write_page(name: str, text: str) -> None:
    """Put a table between its two marks of the page."""
    begin, end = f"<!-- {name}: measured -->\n", f"<!-- end of {name} -->"
    before, begins, rest = PAGE.read_text("utf-8").partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        raise SystemExit(f"{PAGE} has no place for the table: {begin.strip()} ... {end}")
    PAGE.write_text(f"{before}{begin}{text}{end}{after}", "utf-8")


# ── Length ─────────────────────────────────────────────────────────────────


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
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != len(configs):
        raise SystemExit(done.stderr[-2_000:])
    return lines


def _lengths(model: Path, home: Path) -> Table:
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


# ── Disk and time ──────────────────────────────────────────────────────────


@dataclass
class Watch:
    """Looks at how large folders are while a run trains."""

    folders: Sequence[Path]
    peak: int = 0
    is_over: bool = False

    def __enter__(self) -> Self:
        """Begin to look, some fifty times a second."""
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self.is_over = True
        self._thread.join()

    def _look(self) -> None:
        while not self.is_over:
            self.peak = max(self.peak, bytes_in(self.folders))
            time.sleep(0.02)


def bytes_in(folders: Sequence[Path]) -> int:
    """Return the bytes of all files under some folders; of those that vanish meanwhile, none."""
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
    return total


SAME = 2  # the first so many runs are alike: the second's time is forecast from the first's
RUNS: Sequence[tuple[str, dict[str, Any]]] = (
    ("LoRA r 16, all layers", {}),
    ("the same again", {}),
    ("LoRA r 4, bfloat16, accumulation 4, keeps 2", {
        "training": {"lora": {"r": 4}, "precision": "bfloat16", "accumulation": 4, "iterations": 14},
        "checkpoints": {"every": 3, "keep": 2},
    }),
    ("LoRA r 64, attention", {
        "training": {"lora": {"r": 64, "targets": "attention"}, "iterations": 10},
        "checkpoints": {"every": 4},
    }),
    ("full, keeps 1", {"method": "full", "training": {"iterations": 4}, "checkpoints": {"every": 1, "keep": 1}}),
)  # fmt: skip
BASE: dict[str, Any] = {"training": {"iterations": 24}, "checkpoints": {"every": 6}}


def _runs(model_folder: Path, runs: Sequence[tuple[str, dict[str, Any]]]) -> tuple[Table, Table]:
    from app.config import settings  # noqa: PLC0415
    from app.domain import db, migrate  # noqa: PLC0415 - after the home is set
    from app.domain.models import Model, ModelState  # noqa: PLC0415
    from app.domain.presets import SMALL_MODEL  # noqa: PLC0415

    settings().home.mkdir(exist_ok=True)
    migrate.upgrade(settings().database)
    with db.unit_of_work() as session:
        path = str(model_folder)
        session.add(Model(name=SMALL_MODEL, source=path, path=path, template="qwen_chat", state=ModelState.READY))
    measured = [_train(name, changes) for name, changes in runs]
    return _disk_table(measured), _time_table(measured)


def _train(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Forecast a run, train it as a worker does, and return what was said and what came."""
    from app.config import settings  # noqa: PLC0415 - after the home is set
    from app.domain import db  # noqa: PLC0415
    from app.domain.forecasts import forecast_recipe  # noqa: PLC0415
    from app.domain.mixes import rows_file  # noqa: PLC0415
    from app.domain.models import RunState  # noqa: PLC0415
    from app.domain.runs import create_run, get_run, id_of  # noqa: PLC0415
    from worker.supervisor import train_waiting  # noqa: PLC0415

    recipe = _recipe(
        {
            name: {**BASE.get(name, {}), **value} if isinstance(value, dict) else value
            for name, value in {**BASE, **changes}.items()
        }
    )
    with db.reading() as session:
        known = forecast_recipe(recipe, session=session, device="cpu")
    with db.unit_of_work() as session:
        run_id = id_of(create_run(session, recipe))
    folders = [settings().run_folder(run_id), settings().mixes_folder]
    before = bytes_in([settings().mixes_folder])
    with Watch(folders) as watch:
        train_waiting(worker="truth")
    with db.reading() as session:
        run = get_run(session, run_id)
        if run.state is not RunState.FINISHED:
            raise SystemExit(f"{name}: {run.reason} {run.reason_detail} {run.log_tail}")
        (attempt,) = run.attempts
        seconds = (attempt.ended_at - attempt.started_at).total_seconds() if attempt.ended_at else 0.0
        kept = rows_file(run.mix_sha256).stat().st_size
    others = bytes_in([settings().mixes_folder]) - max(kept, bytes_in([settings().mixes_folder]) - before)
    return {
        "name": name,
        "known": known,
        "end": bytes_in(folders[:1]) + kept,
        "peak": watch.peak - others,
        "seconds": seconds,
        "device": attempt.device,
    }


def _recipe(changes: dict[str, Any]) -> Any:  # noqa: ANN401 - a recipe
    from app.domain.presets import SMALL_ASSISTANT  # noqa: PLC0415 - after the home is set
    from app.domain.recipes import Recipe  # noqa: PLC0415

    data = SMALL_ASSISTANT.recipe.model_dump(mode="json")
    for name, value in changes.items():
        if isinstance(value, dict):
            lora = data[name].get("lora", {}) | value.get("lora", {})
            data[name] |= {**value, **({"lora": lora} if lora else {})}
        else:
            data[name] = value
    return Recipe.model_validate(data)


def _disk_table(measured: Sequence[dict[str, Any]]) -> Table:
    lines, is_off = [], False
    for run in measured:
        cells = []
        for said, came in ((run["known"].disk_bytes, run["end"]), (run["known"].peak_bytes, run["peak"])):
            off = said / came - 1
            is_off |= abs(off) > DISK_BOUND
            cells.append(f"{said:,} | {came:,} | {100 * off:+.2f} %")
        lines.append(f"| {run['name']} | {' | '.join(cells)} |\n")
    head = (
        "| run | at the end, forecast | measured | off | at most, forecast | measured | off |\n"
        "|---|--:|--:|--:|--:|--:|--:|\n"
    )
    return Table(head + "".join(lines), is_off)


def _time_table(measured: Sequence[dict[str, Any]]) -> Table:
    lines, is_off = [], False
    for run in measured:
        known = run["known"]
        if known.training_seconds is None:
            lines.append(f"| {run['name']} | unknown | | {run['seconds']:.1f} | |\n")
            continue
        said = known.training_seconds + (known.answering_seconds or 0.0)
        off = said / run["seconds"] - 1
        is_same = run["name"] == "the same again"  # the others are forecast from runs of another shape
        is_off |= is_same and abs(off) > TIME_BOUND
        lines.append(
            f"| {run['name']} | {said:.1f} | {known.measured_on} | {run['seconds']:.1f} | {100 * off:+.1f} % |\n"
        )
    head = f"On {measured[0]['device']}.\n\n| run | forecast s | from | measured s | off |\n|---|--:|---|--:|--:|\n"
    return Table(head + "".join(lines), is_off)


if __name__ == "__main__":
    sys.exit(main())
