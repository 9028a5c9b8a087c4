"""
A stand-in for the engine: speaks its events and makes its files, without torch and in moments.

Started as the real one is, `python -m tests.fakes train CONFIG ...`, when a test sets
`TEMPER_ENGINE=tests.fakes`. What should go wrong is asked for by words in the run's name, since
a trainer is told nothing else: "crash", "hang", "silent", "killed", "garbage", "slow", "stubborn".
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from app.domain.trainer_events import (
    AnswerGiven,
    AnswersGiven,
    CheckpointSaved,
    MetricMeasured,
    PhaseBegan,
    PlanMade,
    TrainerEnded,
    TrainerEvent,
)

SLOW_SECONDS = 0.2  # an iteration of a slow run: long enough to look at a page in between


def main() -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train", "convert", "merge", "relay"])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--work-dir", type=Path)
    parser.add_argument("--events", type=Path)
    options = parser.parse_args()
    if options.command == "train":
        return _Training(options.work_dir, options.events).run()
    return _make_folder(options.paths[-1])


class _Training:
    def __init__(self, folder: Path, events: Path) -> None:
        self.folder, self.events = folder, events
        self.recipe: dict[str, Any] = json.loads((folder / "recipe.json").read_text("utf-8"))
        self.faults = set(self.recipe["name"].lower().split())

    def run(self) -> int:
        print("fake trainer begins")
        print("knows", *sorted(os.environ))
        if "silent" in self.faults:
            return 0
        if "stubborn" in self.faults:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        iterations = self.recipe["training"]["iterations"] or 10
        self.say(PhaseBegan, phase="loading")
        self.say(PlanMade, iterations=iterations, updates=iterations, samples=9, trainable_parameters=1, parameters=9)
        self.answer(0)
        for iteration in range(1, iterations + 1):
            self.iterate(iteration)
        self.say(TrainerEnded, outcome="finished")
        return 0

    def iterate(self, iteration: int) -> None:
        time.sleep(SLOW_SECONDS if "slow" in self.faults else 0)
        self.say(
            MetricMeasured,
            iteration=iteration,
            loss=3.0 / iteration,
            learning_rate=5e-4,
            grad_norm=1.0,
            seconds=SLOW_SECONDS,
            memory_bytes=1 << 20,
        )
        if iteration == 3:
            self.fail()
        if iteration % self.recipe["checkpoints"]["every"] == 0:
            self.save(iteration)
            self.answer(iteration)

    def fail(self) -> None:
        if "garbage" in self.faults:
            with self.events.open("ab") as file:
                file.write(b'{"kind": "metric", "loss": \xff\xfe NaN}\nnot even json\n')
        if "crash" in self.faults:
            print("RuntimeError: the fake has crashed", file=sys.stderr)
            sys.exit(1)
        if "killed" in self.faults:
            os.kill(os.getpid(), signal.SIGKILL)
        while "hang" in self.faults:
            time.sleep(0.05)

    def save(self, iteration: int) -> None:
        file, adapter = self.folder / f"iter_{iteration}.pth", self.folder / f"adapters/iter_{iteration}"
        file.write_bytes(b"weights")
        adapter.mkdir(parents=True, exist_ok=True)
        (adapter / "adapter_model.safetensors").write_bytes(b"adapter")
        self.say(
            CheckpointSaved,
            iteration=iteration,
            updates=iteration,
            file=file.name,
            adapter=f"adapters/iter_{iteration}",
            size_bytes=7,
        )

    def answer(self, iteration: int) -> None:
        answers = tuple(
            AnswerGiven(probe=at, text=f"answer {at} of {iteration}", tokens=4, ended="stop")
            for at, _ in enumerate(self.recipe["probes"])
        )
        self.say(AnswersGiven, iteration=iteration, answers=answers, seconds=0.1, dtype="float32", quantised=False)

    def say(self, event: type[TrainerEvent], **values: Any) -> None:
        with self.events.open("ab") as file:
            file.write(event(time=time.time(), **values).model_dump_json().encode() + b"\n")


def _make_folder(folder: Path) -> int:
    folder.mkdir(parents=True)
    content = b"adapter"
    (folder / "adapter_model.safetensors").write_bytes(content)
    file = {
        "name": "adapter_model.safetensors",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps({"files": [file]}), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
