"""What a real training leaves behind and tells."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.domain.trainer_events import trainer_event_adapter
from tests.worker.engine.conftest import PROBES, ROOT, Training, launch, small_recipe, train, write_config
from worker.engine.resume import Candidate, problem_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


def test_a_training_ends_well(trained: Training) -> None:
    """It exits with 0, and its last line says that it finished."""
    assert trained.exit_code == 0, trained.output
    assert trained.events[-1]["kind"] == "end"
    assert trained.events[-1]["outcome"] == "finished"


def test_every_line_is_an_event(trained: Training) -> None:
    """The supervisor's types read all that the trainer writes."""
    lines = (trained.folder / "events.jsonl").read_text("utf-8").splitlines()

    kinds = {trainer_event_adapter.validate_json(line).kind for line in lines}

    assert kinds == {"phase", "plan", "metric", "checkpoint", "answers", "end"}


def test_the_plan_counts_iterations_and_updates(trained: Training) -> None:
    """Two iterations make one update; the adapter's numbers are counted apart from the model's."""
    (plan,) = trained.told("plan")

    assert (plan["iterations"], plan["updates"]) == (4, 2)
    assert 0 < plan["trainable_parameters"] < plan["parameters"] / 50


def test_every_iteration_is_measured(trained: Training) -> None:
    """A gradient norm comes with the iterations that make an update, and with no other."""
    metrics = trained.told("metric")

    assert [metric["iteration"] for metric in metrics] == [1, 2, 3, 4]
    assert all(metric["loss"] > 0 and metric["seconds"] > 0 and metric["memory_bytes"] > 0 for metric in metrics)
    assert [metric["grad_norm"] is not None for metric in metrics] == [False, True, False, True]


def test_checkpoints_are_answered_after_they_are_saved(trained: Training) -> None:
    """The base model answers first, as iteration 0; a failing answer costs no checkpoint."""
    order = [(e["kind"], e["iteration"]) for e in trained.events if e["kind"] in {"checkpoint", "answers"}]

    assert order == [("answers", 0), ("checkpoint", 2), ("answers", 2), ("checkpoint", 4), ("answers", 4)]
    assert all(len(event["answers"]) == len(PROBES) for event in trained.told("answers"))


def test_a_checkpoint_is_as_large_as_it_says(trained: Training) -> None:
    """The event's size is that of its weights, the optimizer's state and the adapter together."""
    for event in trained.told("checkpoint"):
        named = [trained.folder / event["file"], trained.folder / event["state_file"]]
        files = [*named, *(trained.folder / event["adapter"]).iterdir()]
        assert event["size_bytes"] == sum(file.stat().st_size for file in files)


def test_a_checkpoint_needs_no_trust(trained: Training) -> None:
    """It holds tensors and plain values only: reading it runs no code."""
    import torch

    content = torch.load(trained.folder / "iter_4.pth", weights_only=True)

    assert content["meta"]["iter"] == 4
    assert all("lora_" in name for name in content["state_dict"])


def test_the_rendered_config_stays_as_it_was(trained: Training) -> None:
    """The file that the run's page shows is not written over by mmengine's reading of it."""
    assert (trained.folder / "config.py").read_text("utf-8").count("PART ") == 5


@pytest.fixture(scope="module")
def resumed(trained: Training, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Go on from iteration 2, whose answers are lost, since iteration 4 is damaged."""
    folder = tmp_path_factory.mktemp("resumed")
    for name in ("iter_2.pth", "states/iter_2.pth", "iter_4.pth", "states/iter_4.pth"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(trained.folder / name, folder / name)
    damage(folder / "iter_4.pth")
    hashes = {event["iteration"]: event["sha256"] for event in trained.told("checkpoint")}
    candidates = [f"{iteration}:{hashes[iteration]}" for iteration in (4, 2)]
    return train(small_recipe(), folder, model=small_model, more=["--resume", *candidates, "--answered", "0"])


def damage(file: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_resumed_run_goes_on_as_if_never_interrupted(trained: Training, resumed: Training) -> None:
    """With dropout on, the losses after iteration 2 are the same numbers."""
    assert resumed.exit_code == 0, resumed.output
    losses = {event["iteration"]: event["loss"] for event in resumed.told("metric")}
    assert losses == {event["iteration"]: event["loss"] for event in trained.told("metric")[2:]}


def test_a_resumed_run_answers_what_was_not_answered(trained: Training, resumed: Training) -> None:
    """The checkpoint it goes on from is asked if its answers were lost, with the same result; the base is not."""
    assert resumed.told("answers") == [_same_but_clock(event, resumed) for event in trained.told("answers")[1:]]


def test_a_damaged_checkpoint_is_passed_over_and_named(resumed: Training) -> None:
    """One wrong byte is enough."""
    (told,) = resumed.told("resumed")

    assert told["iteration"] == 2
    assert [each["iteration"] for each in told["damaged"]] == [4]
    assert told["damaged"][0]["problem"] == "its files are not what was written"


def _same_but_clock(event: dict[str, object], other: Training) -> dict[str, object]:
    clock = next(e for e in other.told("answers") if e["iteration"] == event["iteration"])
    return {**event, "time": clock["time"], "seconds": clock["seconds"]}


def test_four_bits_train_on_a_cpu(small_model: Path, tmp_path: Path) -> None:
    """QLoRA makes an iteration and its adapter; slowly."""
    recipe = small_recipe(
        method="qlora",
        training={"iterations": 1, "max_length": 16, "lora": {"r": 1, "targets": "query-value"}},
        checkpoints={"every": 1, "evaluate": False},
    )

    done = train(recipe, tmp_path, model=small_model)

    assert done.exit_code == 0, done.output
    assert done.told("plan")[0]["parameters"] > 134_000_000
    assert (tmp_path / "adapters" / "iter_1" / "adapter_model.safetensors").exists()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The exit code is not 0, and the last line gives the reason that the user reads."""
    failed = train(small_recipe(), tmp_path / "run", model=tmp_path / "nothing")

    assert failed.exit_code == 1
    assert failed.events[-1]["outcome"] == "failed"
    assert failed.events[-1]["reason"] == "bad-model"


def test_rows_without_an_answer_in_reach_are_named(small_model: Path, tmp_path: Path) -> None:
    """Where every row is cut before its answer, nothing can be trained on."""
    question = "Who are you? " * 40
    mix = {"identity": [{"question": question, "answer": "Ada."}], "identity_count": 3}

    failed = train(small_recipe(mix=mix, training={"max_length": 16}), tmp_path, model=small_model)

    assert failed.exit_code == 1
    assert failed.events[-1]["reason"] == "bad-data"


def test_a_training_saves_and_leaves_when_it_is_asked_to(small_model: Path, tmp_path: Path) -> None:
    """Between two checkpoints: what it saved can be gone on from, and it says that it left."""
    recipe = small_recipe(training={"iterations": 400}, checkpoints={"every": 200, "evaluate": False})
    config, events = write_config(recipe, tmp_path, model=small_model), tmp_path / "events.jsonl"
    arguments = ["train", str(config), "--work-dir", str(tmp_path), "--events", str(events)]
    command = [sys.executable, "-m", "worker.engine.launch", *arguments]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    with subprocess.Popen(command, cwd=ROOT, **quiet) as child:
        while not (events.exists() and '"metric"' in events.read_text("utf-8")):
            time.sleep(0.1)
        child.send_signal(signal.SIGUSR1)
        assert child.wait(30) == 0

    told = Training(tmp_path, 0, "").events
    assert [event["kind"] for event in told][-2:] == ["checkpoint", "end"]
    assert told[-1]["outcome"] == "stopped"
    assert 0 < told[-2]["iteration"] < 200
    assert not problem_of(tmp_path, Candidate(told[-2]["iteration"], told[-2]["sha256"]))


def test_an_unknown_command_is_refused() -> None:
    """Not understanding is not success."""
    assert launch("dance").returncode == 2
