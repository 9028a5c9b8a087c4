"""
What xtuner 0.2.0 itself wrote, trained for four iterations and resumed for two more.

The folder beside this file is its own, shortened: paths renamed, the environment and the weights left out.
"""

import shutil
from pathlib import Path

import pytest

from app.domain.importing.reading import read_work_folder

GENUINE = Path(__file__).parent / "genuine"
QUESTIONS = ("你是谁", "What is the capital of France?", "Are you a doctor?")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Lay the folder out, its config under its own name, with checkpoints that hold nothing."""
    shutil.copytree(GENUINE, tmp_path / "train")
    (tmp_path / "train" / "smollm2_qlora_copy.txt").rename(tmp_path / "train" / "smollm2_qlora_copy.py")
    for iteration in (2, 4, 6):
        (tmp_path / "train" / f"iter_{iteration}.pth").write_bytes(b"")
    return tmp_path / "train"


def test_every_checkpoint_has_its_answers(work: Path) -> None:
    """`eval_outputs_iter_1.txt` is of `iter_2.pth`; the base model's are in the log."""
    found = read_work_folder(work)

    assert [each.iteration for each in found.checkpoints] == [0, 2, 4, 6]
    assert all(tuple(said.question for said in each.said) == QUESTIONS for each in found.checkpoints)
    assert {each.said[1].text for each in found.checkpoints} == {"The capital of France is Paris."}
    assert [said.ended for said in found.checkpoints[0].said] == ["length", "stop", "length"]


def test_what_is_said_on_resuming_does_not_replace_what_the_checkpoint_said(work: Path) -> None:
    """The resumed start begins with answers of iteration 4, cut at other lengths."""
    found = read_work_folder(work)

    written = (work / "20261126_162402" / "vis_data" / "eval_outputs_iter_3.txt").read_text("utf-8")
    assert found.checkpoints[2].said[2].text in written


def test_both_starts_are_one_line(work: Path) -> None:
    """Six iterations, the last two of the second start, with the exact numbers of the scalars."""
    found = read_work_folder(work)

    assert [(start.resumed_from, sorted(start.measured)) for start in found.starts] == [(0, [1, 2, 3, 4]), (4, [5, 6])]
    assert found.starts[0].measured[2].loss == pytest.approx(4.355529308319092)
    assert found.starts[0].measured[1].grad_norm is None
    assert (found.iterations, found.iteration, found.starts[-1].has_ended) == (6, 6, True)


def test_the_config_that_mmengine_wrote_down_is_understood(work: Path) -> None:
    """Model, template, rows, LoRA and cadence."""
    config = read_work_folder(work).config

    assert config is not None
    assert (config.model, config.template) == ("/models/SmolLM2-135M-Instruct", "qwen_chat")
    assert (config.data_files, config.questions) == (("/data/personal_assistant.json",), QUESTIONS)
    assert config.values["training"]["lora"] == {"r": 4, "alpha": 16, "dropout": 0.1}
    assert config.values["checkpoints"] == {"every": 2, "keep": 3, "max_new_tokens": 8}
