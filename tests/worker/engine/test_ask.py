"""Checkpoints of a real run, asked afterwards."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.engine.conftest import PROBES, Training, launch

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


def job(trained: Training, small_model: Path, **changes) -> dict:
    """Return the job that asks the base model and both checkpoints what the trainer asked them."""
    probes = [{"position": position, "question": question} for position, question in enumerate(PROBES)]
    return {
        "model": str(small_model),
        "template": "qwen_chat",
        "method": "lora",
        "precision": "float32",
        "system": "",
        "max_new_tokens": 8,
        "checkpoints": [
            {
                "iteration": iteration,
                "files": str(trained.folder / f"adapters/iter_{iteration}") if iteration else "",
                "probes": probes,
            }
            for iteration in (0, 2, 4)
        ],
    } | changes


def asked(folder: Path, content: dict) -> list[dict]:
    """Run the engine's command, and return what it wrote of answers."""
    (folder / "job.json").write_text(json.dumps(content), "utf-8")
    done = launch("ask", folder / "job.json", "--events", folder / "answers.jsonl")
    assert done.returncode == 0, done.stderr
    lines = (folder / "answers.jsonl").read_text("utf-8").splitlines()
    return [event for line in lines if (event := json.loads(line))["kind"] == "answers"]


def answers(events: list[dict]) -> dict[int, list[dict]]:
    """Return the answers of each checkpoint."""
    return {event["iteration"]: event["answers"] for event in events}


def test_checkpoints_answer_as_they_did_while_they_were_trained(
    trained: Training, small_model: Path, tmp_path: Path
) -> None:
    """The base model and two adapters in one batch say what the trainer heard of each alone, word for word."""
    given = asked(tmp_path, job(trained, small_model))

    assert answers(given) == answers(trained.told("answers"))
    assert {(event["dtype"], event["quantised"]) for event in given} == {("float32", False)}


def test_an_adapter_in_the_place_of_another_answers_as_itself(
    trained: Training, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one adapter at a time its weights are replaced in place; nothing of the one before is left."""
    import worker.engine.ask as engine
    from worker.engine.events import EventLog

    log = EventLog()
    log.open(tmp_path / "answers.jsonl")
    monkeypatch.setattr(engine, "MOST_ADAPTERS", 1)
    monkeypatch.setattr(engine, "events", log)

    engine.ask(engine.Job.model_validate(job(trained, small_model)))

    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()]
    assert answers(lines) == answers(trained.told("answers"))


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict], list[dict]]:
    """Return how to ask in this process, and read every line that was written."""
    import worker.engine.ask as engine
    from worker.engine.events import EventLog

    log = EventLog()
    log.open(tmp_path / "answers.jsonl")
    monkeypatch.setattr(engine, "events", log)

    def ask(content: dict) -> list[dict]:
        engine.ask(engine.Job.model_validate(content))
        return [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()]

    return ask


@pytest.mark.parametrize("problem", ["There is no .*nothing", "header"])
def test_an_adapter_that_cannot_be_read_is_passed_over(
    trained: Training, small_model: Path, in_process: Callable[[dict], list[dict]], problem: str, *, tmp_path: Path
) -> None:
    """The others answer as they would have, and a line says which one is missing or damaged."""
    content, folder = job(trained, small_model), tmp_path / "nothing"
    if problem == "header":
        shutil.copytree(content["checkpoints"][1]["files"], folder)
        (folder / "adapter_model.safetensors").write_bytes(b"cut short")
    content["checkpoints"][1]["files"] = str(folder)

    lines = in_process(content)

    (told,) = [line for line in lines if line["kind"] == "passed-over"]
    assert told["iteration"] == 2
    assert re.search(problem, told["problem"])
    given = answers([line for line in lines if line["kind"] == "answers"])
    assert given == {at: said for at, said in answers(trained.told("answers")).items() if at != 2}


def test_where_no_adapter_fits_it_is_the_model(
    trained: Training, small_model: Path, tmp_path: Path, in_process: Callable[[dict], list[dict]]
) -> None:
    """None is called damaged then, since damaged files are deleted."""
    from worker.engine.failures import BadModelError

    content = job(trained, small_model)
    for each in content["checkpoints"][1:]:
        shutil.copytree(each["files"], tmp_path / str(each["iteration"]))
        each["files"] = str(tmp_path / str(each["iteration"]))
        (Path(each["files"]) / "adapter_model.safetensors").write_bytes(b"of another kind")

    with pytest.raises(BadModelError):
        in_process(content)

    assert "passed-over" not in (tmp_path / "answers.jsonl").read_text("utf-8")


@pytest.mark.long
def test_a_base_in_four_bits_has_adapters_too(trained: Training, small_model: Path, tmp_path: Path) -> None:
    """Mixed in one batch, as in whole numbers; each answer says that its base was quantised."""
    given = asked(tmp_path, job(trained, small_model, method="qlora"))

    assert [event["iteration"] for event in given] == [0, 2, 4]
    assert {event["quantised"] for event in given} == {True}
    assert all(len(event["answers"]) == len(PROBES) for event in given)


@pytest.mark.long
def test_whole_weights_take_each_others_place(trained: Training, small_model: Path, tmp_path: Path) -> None:
    """After a full fine-tune: with the base's own weights as a checkpoint, its answers are the base's."""
    import torch
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(small_model, torch_dtype=torch.float32)
    torch.save({"state_dict": {f"llm.{name}": tensor for name, tensor in base.state_dict().items()}}, tmp_path / "w")
    content = job(trained, small_model, method="full")
    content["checkpoints"] = [content["checkpoints"][0], content["checkpoints"][2] | {"files": str(tmp_path / "w")}]

    given = answers(asked(tmp_path, content))

    assert given[4] == given[0] == answers(trained.told("answers"))[0]


def test_checkpoints_are_split_by_adapters_and_rows() -> None:
    """In their order, none twice, and one checkpoint's questions stay together."""
    from worker.engine.ask import MOST_ROWS, Checkpoint, Probe, groups_of

    probes = tuple(Probe(position=position, question="?") for position in range(30))
    checkpoints = [Checkpoint(iteration=at, files="x" if at else "", probes=probes) for at in range(6)]

    groups = list(groups_of(checkpoints, most_adapters=8))
    narrow = list(groups_of([each.model_copy(update={"probes": probes[:1]}) for each in checkpoints], most_adapters=2))

    assert [each for group in groups for each in group] == checkpoints
    assert all(sum(len(each.probes) for each in group) <= MOST_ROWS for group in groups)
    assert [[each.iteration for each in group] for group in narrow] == [[0, 1, 2], [3, 4], [5]]
