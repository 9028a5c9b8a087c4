"""How likely held-out pairs are, measured while a real model is trained."""

from pathlib import Path

import pytest

from app.domain.held_out import hold_out
from tests.worker.engine.conftest import Training, small_recipe, train

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


def test_the_identity_becomes_likelier_while_it_is_learnt(trained: Training) -> None:
    """Measured of the base model and of every checkpoint; the questions are none that the run trains on."""
    measured = [(event["identity_nll"], event["general_nll"]) for event in trained.told("answers")]

    identity = [number for number, _ in measured]
    assert len(identity) == 3
    assert identity[0] > identity[1] > identity[2] > 0
    assert all(general > 0 for _, general in measured)


@pytest.fixture(scope="module")
def loaded(small_model: Path):
    """Load the small model in float32, in train mode, as it is between two iterations."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(small_model, torch_dtype=torch.float32)
    return model.train(), AutoTokenizer.from_pretrained(small_model)


@pytest.fixture(scope="module")
def rows(loaded):
    """Lay out the held-out pairs of the test's recipe, with a system text."""
    from worker.engine.likelihood import rows_of

    held = hold_out(small_recipe())
    options = {"tokenizer": loaded[1], "template": CHATML, "system": "Be brief."}
    return {
        name: rows_of([(pair.question, pair.answer) for pair in pairs], **options)
        for name, pairs in (("identity", held.identity), ("general", held.general))
    }


CHATML = {
    "SYSTEM": "<|im_start|>system\n{system}<|im_end|>\n",
    "INSTRUCTION": "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n",
    "SUFFIX": "<|im_end|>",
    "SUFFIX_AS_EOS": True,
}


def test_the_batch_measures_what_transformers_does_row_by_row(loaded, rows) -> None:
    """Within 1e-4 nats a token, without any padding; the training does not notice."""
    import torch

    from worker.engine.likelihood import measure

    random = torch.get_rng_state()

    measured = measure(loaded[0], rows)

    assert loaded[0].training
    assert torch.equal(random, torch.get_rng_state())
    model = loaded[0].eval()
    for name, group in rows.items():
        total = tokens = 0
        for row in group:
            ids = torch.tensor([[*row.prompt, *row.answer]])
            labels = torch.tensor([[*[-100] * len(row.prompt), *row.answer]])
            with torch.no_grad():
                total += model(input_ids=ids, labels=labels).loss.item() * len(row.answer)
            tokens += len(row.answer)
        assert measured[name] == pytest.approx(total / tokens, abs=1e-4)
        assert all(row.answer[-1] == loaded[1].eos_token_id for row in group)
    model.train()


def test_answers_that_are_too_long_for_one_pass_take_several(loaded, rows, monkeypatch) -> None:
    """The numbers are the same."""
    import worker.engine.likelihood as engine

    few = {name: group[:3] for name, group in rows.items()}
    at_once = engine.measure(loaded[0], few)
    monkeypatch.setattr(engine, "MOST_LOGIT_BYTES", 1)

    one_by_one = engine.measure(loaded[0], few)

    assert one_by_one == pytest.approx(at_once, abs=1e-4)


def test_what_cannot_be_measured_is_none(loaded, rows, capsys) -> None:
    """Out of memory or broken in any other way, it costs the number and says so in the log."""
    from worker.engine.likelihood import Row, measure

    beyond = Row((1,), (10**9,))

    assert measure(loaded[0], {"identity": [beyond], "general": rows["general"]}) == {"identity": None, "general": None}
    assert measure(loaded[0], {"identity": [], "general": []}) == {"identity": None, "general": None}
    assert "could not be measured" in capsys.readouterr().out


@pytest.mark.long
def test_the_losses_are_the_same_with_and_without_it(trained: Training, small_model: Path, tmp_path: Path) -> None:
    """With dropout on: a run that asks and measures nothing is trained to the same numbers."""
    silent = train(small_recipe(checkpoints={"every": 2, "evaluate": False}), tmp_path, model=small_model)

    assert silent.told("answers") == []
    assert [event["loss"] for event in silent.told("metric")] == [event["loss"] for event in trained.told("metric")]
