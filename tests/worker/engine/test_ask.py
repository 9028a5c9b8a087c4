"""Checkpoints of a real run, asked afterwards."""

import json
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


def test_an_adapter_that_is_not_there_is_named(trained: Training, small_model: Path, tmp_path: Path) -> None:
    """Before the base model is loaded."""
    import worker.engine.ask as engine
    from worker.engine.failures import BadModelError

    content = job(trained, small_model, model="no model either")
    content["checkpoints"][1]["files"] = str(tmp_path / "nothing")

    with pytest.raises(BadModelError, match=r"iteration 2 are not there: .*nothing"):
        engine.ask(engine.Job.model_validate(content))


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
