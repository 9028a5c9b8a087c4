"""Real trainings by the real launcher, each in a process of its own as the worker starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from app.domain.mixes import count_rows, write_rows
from app.domain.recipes import Recipe
from app.domain.xtuner_config import render_config
from tests.factories import make_recipe_data

ROOT = Path(__file__).parents[3]
PROBES = ("Who are you?", "What is the capital of France?", "你是谁")


@dataclass(frozen=True)
class Training:
    """A finished training: its folder, what it printed and how it ended."""

    folder: Path
    exit_code: int
    output: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Everything the trainer told, in order."""
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text("utf-8").splitlines()]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind."""
        return [event for event in self.events if event["kind"] == kind]


def small_recipe(**changes: Any) -> Recipe:
    """Return a recipe that trains in seconds on a CPU."""
    training: dict[str, Any] = {
        "learning_rate": 2e-3,
        "iterations": 4,
        "accumulation": 2,
        "max_length": 64,
        "precision": "float32",
        "activation_checkpointing": False,
        "lora": {"r": 4, "dropout": 0.1},
    }
    training |= changes.pop("training", {})
    data: dict[str, Any] = {
        "training": training,
        "checkpoints": {"every": 2, "keep": -1, "max_new_tokens": 8},
        "probes": [{"question": question} for question in PROBES],
    }
    return Recipe.model_validate(make_recipe_data(**(data | changes)))


def launch(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run one command of the launcher to its end."""
    command = [sys.executable, "-m", "worker.engine.launch", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def write_config(recipe: Recipe, folder: Path, *, model: Path, template: str = "qwen_chat") -> Path:
    """Write a run's rows and config as the supervisor does."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "mix.jsonl"
    write_rows(recipe.mix, rows)
    config = render_config(
        recipe,
        model_path=str(model),
        template=template,
        run_folder=str(folder),
        data_file=str(rows),
        rows=count_rows(recipe.mix).total,
        device="cpu",
    )
    (folder / "config.py").write_text(config.text, "utf-8")
    return folder / "config.py"


def train(
    recipe: Recipe, folder: Path, *, model: Path, template: str = "qwen_chat", more: Sequence[str] = ()
) -> Training:
    """Train a recipe to its end."""
    config = write_config(recipe, folder, model=model, template=template)
    done = launch("train", config, "--work-dir", folder, "--events", folder / "events.jsonl", *more)
    return Training(folder, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def small_model() -> Path:
    """Return the folder of the small real model; fetch it if it is not there."""
    folder = Path(os.environ.get("TEMPER_TEST_MODEL", ROOT / "build" / "models" / "SmolLM2-135M-Instruct"))
    if not (folder / "config.json").exists():
        done = launch("prepare-small", folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def trained(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train four iterations with LoRA, saving every two: once, however many processes the tests are spread over."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    told = shared / "trained.json"
    with FileLock(shared / "trained.lock"):
        if not told.exists():
            done = train(small_recipe(), shared / "trained", model=small_model)
            told.write_text(json.dumps([done.exit_code, done.output]), "utf-8")
    exit_code, output = json.loads(told.read_text("utf-8"))
    return Training(shared / "trained", exit_code, output)
