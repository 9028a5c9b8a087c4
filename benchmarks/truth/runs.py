"""Disk and time: runs trained by the worker's own code with the real engine, measured while they train."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.truth.pages import Table

DISK_BOUND, TIME_BOUND = 0.02, 0.15


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


def measure_runs(model_folder: Path, runs: Sequence[tuple[str, dict[str, Any]]]) -> tuple[Table, Table]:
    """Train runs, and hold what was forecast of their disk and their time against what came."""
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
