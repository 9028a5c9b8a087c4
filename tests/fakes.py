"""
A stand-in for the engine: speaks its events and makes its files, without torch and in moments.

Started as the real one is, `python -m tests.fakes train CONFIG ...`, when a test sets
`TEMPER_ENGINE=tests.fakes`. What should go wrong is asked for by words in the run's name, since
a trainer is told nothing else: "crash", "hang", "silent", "killed", "garbage", "endless", "flood",
and so on. A fault strikes the first attempt only, unless the name holds "always"; what a run
is like ("slow", "brisk", "large", "stubborn") lasts. A trainer that finds another one at work in its
run's folder writes that down in `two-at-once`.
"""

import argparse
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, TextIO

from app.domain.trainer_events import (
    AnswerGiven,
    AnswersGiven,
    CheckpointPassedOver,
    CheckpointSaved,
    MetricMeasured,
    PhaseBegan,
    PlanMade,
    TrainerEnded,
    TrainerEvent,
    TrainingResumed,
)
from worker.engine.folders import file_aside
from worker.engine.leaving import Leave, Stage, departure
from worker.engine.resume import Candidate, hash_checkpoint, resumption, state_file, weights_file

SLOW_SECONDS = 0.12  # an iteration of a slow run: long enough to look at a page in between
BRISK_SECONDS = 0.05  # long enough to be hit in the middle of
SAVING_SECONDS = 0.4  # a write that a test can interrupt
LARGE_BYTES = 1 << 20
LASTING = {"slow", "brisk", "large", "stubborn", "learns", "parrots"}
LEARNT_AT = 10  # iteration from which one that "learns" says the identity where it is asked, one that "parrots" always
FAULT_AT = 3  # iteration


def main() -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train", "convert", "merge", "relay", "ask"])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--work-dir", type=Path)
    parser.add_argument("--events", type=Path)
    parser.add_argument("--resume", type=Candidate.read, nargs="*")
    parser.add_argument("--answered", type=int, nargs="*", default=[])
    options = parser.parse_args()
    if options.command == "ask":
        return _ask(json.loads(options.paths[0].read_text("utf-8")), options.events)
    if options.command != "train":
        return _make_folder(options.paths[-1])
    training = _Training(options.work_dir, options.events)
    lock = _lock(options.work_dir)  # noqa: F841 - held for as long as this process lives
    try:
        return training.run(options.resume, frozenset(options.answered))
    except Leave:
        training.say(TrainerEnded, outcome="stopped")
        return 0


def _lock(folder: Path) -> TextIO:
    """Take the run's folder for this trainer; tell when somebody has it."""
    lock = (folder / "trainer.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with (folder / "two-at-once").open("a") as told:
            told.write(f"{os.getpid()}\n")
    return lock


class _Training:
    def __init__(self, folder: Path, events: Path) -> None:
        self.folder, self.events, self.phase = folder, events, ""
        self.recipe: dict[str, Any] = json.loads((folder / "recipe.json").read_text("utf-8"))
        words = set(self.recipe["name"].lower().split())
        is_first = events.parent.name == "1"
        self.faults = words if is_first or "always" in words else words & LASTING

    def run(self, resume: list[Candidate] | None, answered: frozenset[int]) -> int:
        departure.listen()
        print("fake trainer begins", flush=True)
        print("knows", *sorted(os.environ), flush=True)
        if "silent" in self.faults:
            return 0
        if "early" in self.faults:
            print("RuntimeError: nothing works", file=sys.stderr)
            return 1
        if "stubborn" in self.faults:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if resume is not None:
            resumption.choose(self.folder, resume)
            self.say(TrainingResumed, iteration=resumption.iteration, damaged=resumption.damaged)
        iterations = self.recipe["training"]["iterations"] or 10
        self.say(PhaseBegan, phase="loading")
        self.say(PlanMade, iterations=iterations, updates=iterations, samples=9, trainable_parameters=1, parameters=9)
        on_cadence = resumption.iteration % self.recipe["checkpoints"]["every"] == 0
        if resumption.iteration not in answered and on_cadence:
            self.answer(resumption.iteration)
        for iteration in range(resumption.iteration + 1, iterations + 1):
            departure.leave_if_saved(iteration - 1)
            departure.enter(Stage.WORKING)
            self.iterate(iteration, iterations)
        self.say(TrainerEnded, outcome="finished")
        return 0

    def iterate(self, iteration: int, iterations: int) -> None:
        self.begin("training", iteration - 1)
        time.sleep(SLOW_SECONDS if "slow" in self.faults else BRISK_SECONDS if "brisk" in self.faults else 0)
        self.say(
            MetricMeasured,
            iteration=iteration,
            loss=None if "nan" in self.faults else 3.0 / iteration,
            learning_rate=5e-4,
            grad_norm=1.0,
            seconds=SLOW_SECONDS,
            memory_bytes=1 << 20,
        )
        if iteration == FAULT_AT:
            self.fail()
        every = self.recipe["checkpoints"]["every"]
        if iteration % every == 0 or iteration == iterations or departure.is_asked:
            self.save(iteration)
            departure.saved = iteration
            departure.enter(Stage.ANSWERING)
            self.answer(iteration)

    def fail(self) -> None:
        if "garbage" in self.faults:
            self.write(b'{"kind": "metric", "loss": \xff\xfe NaN}\nnot even json\n')
        if "endless" in self.faults:
            self.write(b"x" * (10 << 20) + b"\n")
        if "flood" in self.faults:
            for _ in range(100):
                print("y" * (1 << 20))
        if "escapes" in self.faults:
            subprocess.Popen(["sleep", "300"], start_new_session=True)
        if "crash" in self.faults:
            print("RuntimeError: the fake has crashed", file=sys.stderr)
            sys.exit(1)
        if "gpu-memory" in self.faults:
            self.say(TrainerEnded, outcome="failed", reason="out-of-gpu-memory", detail="CUDA out of memory")
            sys.exit(1)
        if "killed" in self.faults:
            os.kill(os.getpid(), signal.SIGKILL)
        while "hang" in self.faults:
            time.sleep(0.05)

    def save(self, iteration: int) -> None:
        self.begin("saving", iteration)
        adapter = self.folder / f"adapters/iter_{iteration}"
        weights, state = weights_file(self.folder, iteration), state_file(self.folder, iteration)
        for file in (state, weights):
            with file_aside(file) as aside, zipfile.ZipFile(aside, "w") as archive:
                archive.writestr("data", f"{file.name} " * 100)
                archive.writestr("weights", b"\0" * (LARGE_BYTES if "large" in self.faults else 0))
                time.sleep(SAVING_SECONDS if "slow-saving" in self.faults else 0)
                if "half-saved" in self.faults and iteration > FAULT_AT:
                    os.kill(os.getpid(), signal.SIGKILL)
        adapter.mkdir(parents=True, exist_ok=True)
        (adapter / "adapter_model.safetensors").write_bytes(b"adapter")
        files = [weights, state, adapter / "adapter_model.safetensors"]
        self.say(
            CheckpointSaved,
            iteration=iteration,
            updates=iteration,
            file=weights.name,
            adapter=f"adapters/iter_{iteration}",
            state_file=f"states/{state.name}",
            sha256=hash_checkpoint(self.folder, iteration),
            size_bytes=sum(file.stat().st_size for file in files),
        )

    def answer(self, iteration: int) -> None:
        self.begin("answering", iteration)
        answers = tuple(
            AnswerGiven(probe=at, text=self.text_for(at, probe, iteration), tokens=4, ended="stop")
            for at, probe in enumerate(self.recipe["probes"])
        )
        self.say(
            AnswersGiven,
            iteration=iteration,
            answers=answers,
            seconds=0.1,
            dtype="float32",
            quantised=False,
            identity_nll=3.0 / (1 + iteration),  # falls as it is learnt
            general_nll=2.0 + iteration / 100,  # and rises as the rest is forgotten
        )

    def text_for(self, at: int, probe: dict[str, Any], iteration: int) -> str:
        says = "parrots" in self.faults or ("learns" in self.faults and probe["group"] == "identity")
        if says and iteration >= LEARNT_AT:
            identity: str = self.recipe["mix"]["identity"][0]["answer"]
            return identity.replace("{name}", self.recipe["mix"]["name"])
        return f"answer {at} of {iteration}"

    def begin(self, phase: str, iteration: int) -> None:
        if phase != self.phase:  # told once, as the real one does
            self.phase = phase
            self.say(PhaseBegan, phase=phase, iteration=iteration)

    def say(self, event: type[TrainerEvent], **values: Any) -> None:
        self.write(event(time=time.time(), **values).model_dump_json().encode() + b"\n")

    def write(self, line: bytes) -> None:
        with self.events.open("ab") as file:
            file.write(line)


def _ask(job: dict[str, Any], events: Path) -> int:
    """
    Answer a job.

    A question with "crash" or "slow" in it fails or tarries after the first checkpoint, one with "gone" finds no files
    of any but the base model and the newest.
    """
    words = " ".join(probe["question"] for each in job["checkpoints"] for probe in each["probes"])
    for checkpoint in job["checkpoints"]:
        iteration = checkpoint["iteration"]
        answers = tuple(
            AnswerGiven(probe=at, text=f"answer {at} of {iteration}", tokens=4, ended="stop")
            for at in (probe["position"] for probe in checkpoint["probes"])
        )
        told: TrainerEvent = AnswersGiven(
            time=time.time(), iteration=iteration, answers=answers, seconds=0.1, dtype="float32", quantised=False
        )
        if "gone" in words and iteration and checkpoint != job["checkpoints"][-1]:
            told = CheckpointPassedOver(time=time.time(), iteration=iteration, problem="There is no file")
        with events.open("a", encoding="utf-8") as file:
            file.write(told.model_dump_json() + "\n")
        if "crash" in words:
            print("out-of-gpu-memory: CUDA out of memory", file=sys.stderr)
            return 1
        time.sleep(300 if "slow" in words else 0)
    return 0


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
