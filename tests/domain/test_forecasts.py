"""What is known of a recipe before it runs."""

import math
from pathlib import Path
from typing import Any

import pytest

from app.config import settings
from app.domain import token_cache
from app.domain.forecasts import forecast_recipe
from app.domain.models import Model
from app.domain.recipes import Method
from tests.conftest import wait_until
from tests.factories import make_recipe, save_rows
from tests.model_folders import make_llama_folder
from tests.tokenizers_here import write_tokenizer

PAIR = {"question": "Up?", "answer": "Down."}
EPOCHS: dict[str, Any] = {"iterations": None, "epochs": 2, "max_length": 128}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Return a model with real weights' headers and a tokenizer of bytes."""
    folder = make_llama_folder(tmp_path / "model")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    return Model(name="small", source="", path=str(folder), template="qwen_chat")


def warnings_of(device: str = "", **changes: Any) -> str:
    """Return the warnings of a changed recipe as one text."""
    return "\n".join(str(warning) for warning in forecast_recipe(make_recipe(**changes), device=device).warnings)


def test_iterations_give_updates_checkpoints_and_answers() -> None:
    """The last iteration saves too, and the base model answers first."""
    known = forecast_recipe(make_recipe(training={"iterations": 22, "accumulation": 4}, checkpoints={"every": 5}))

    assert (known.iterations, known.updates, known.saves) == (22, 6, 5)
    assert known.marks == (5, 10, 15, 20, 22)
    assert known.answers == 6 * 3


def test_packed_epochs_are_not_guessed_at() -> None:
    """Without a tokenizer nobody knows how many packs the rows make, and the forecast says so."""
    known = forecast_recipe(make_recipe(training={"iterations": None, "epochs": 2}))

    assert (known.iterations, known.updates, known.saves, known.answers, known.packs) == (None,) * 5
    assert "names a registered model" in str(known.unknown[0])


def test_packed_epochs_are_replayed(model: Model) -> None:
    """Four identity rows of 82 tokens and three general ones of 54 fill three packs of 128; the rest is dropped."""
    known = forecast_recipe(make_recipe(training=EPOCHS), model=model)

    sources = {source.key: source for source in known.tokens.sources}
    assert [sources[key].rows for key in ("identity", "general")] == [4, 3]
    assert (known.packs, known.iterations_per_epoch, known.iterations, known.epochs) == (3, 3, 6, 2)
    assert (known.tokens.tokens, known.tokens.dropped_tokens, known.tokens.packing_tokens) == (384, 106, 106)
    assert math.fsum(source.loss_share for source in known.tokens.sources) == pytest.approx(1)
    assert math.fsum(each.rows for each in known.tokens.histogram) == known.rows == 7


def test_how_often_the_identity_is_seen(model: Model) -> None:
    """Both phrasings of one sentence count as one sentence, over both epochs."""
    pairs = [{"question": question, "answer": "I am {name}."} for question in ("Who?", "What are you?")]
    known = forecast_recipe(make_recipe(mix={"identity": pairs, "identity_count": 9}, training=EPOCHS), model=model)

    assert [(each.answer, each.rows) for each in known.identity_seen] == [("I am Ada.", 40)]


def test_what_is_cut_is_counted(model: Model) -> None:
    """At 60 tokens every row keeps part of an answer at most, and none its end."""
    cut = forecast_recipe(make_recipe(training=EPOCHS | {"max_length": 80}), model=model)

    assert (cut.tokens.cut_rows, cut.tokens.rows_without_end, cut.tokens.rows_without_loss) == (4, 4, 0)
    assert "4 rows lose the end of their answer at 80 tokens" in "\n".join(map(str, cut.warnings))


def test_rows_without_any_answer_left_are_left_out(model: Model) -> None:
    """At 16 tokens not even the questions fit: there is nothing to train on, and no length to tell."""
    known = forecast_recipe(make_recipe(training=EPOCHS | {"max_length": 16}), model=model)

    assert (known.packs, known.iterations) == (0, None)
    assert "No row can be trained on" in str(known.warnings[0])


def test_a_saved_set_is_counted_once_and_remembered(model: Model, home: Path) -> None:
    """On the disk too: what is there needs no rows any more; spoilt, it is counted again."""
    sha256 = save_rows([f"question {number}" for number in range(50)])
    recipe = make_recipe(mix={"files": [{"dataset": "faq", "sha256": sha256, "share": 0.5}]}, training=EPOCHS)

    first = forecast_recipe(recipe, model=model)
    (kept,) = settings().tokens_folder.iterdir()
    kept.write_bytes(b"spoilt")
    token_cache.forget_sets()
    again = forecast_recipe(recipe, model=model)

    assert again.tokens == first.tokens
    assert first.rows == 14
    assert [source.title for source in first.tokens.sources] == ["", "", "faq"]
    assert kept.stat().st_size > 100


def test_a_page_does_not_wait_for_a_large_set(model: Model, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted meanwhile: the first look says so, and a later one knows."""
    monkeypatch.setattr(token_cache, "SHORT_WAIT_SECONDS", 0.0)
    sha256 = save_rows([f"question {number}" for number in range(20_000)])
    recipe = make_recipe(mix={"files": [{"dataset": "faq", "sha256": sha256}]}, training=EPOCHS)

    first = forecast_recipe(recipe, model=model, waits=False)

    assert first.is_counting
    assert "“faq” are being counted" in str(first.unknown[0])
    wait_until(lambda: forecast_recipe(recipe, model=model, waits=False).packs, "it was never counted")


def test_a_mix_beyond_all_bounds_is_not_counted(model: Model) -> None:
    """The form shows what was typed, right or wrong; its tokens would fill the memory."""
    known = forecast_recipe(
        make_recipe(mix={"identity_count": 1_000_000, "general_count": 1_000_000, "identity": [PAIR] * 3}), model=model
    )

    assert known.tokens is None
    assert "can be trained on" in str(known.unknown[0])


def test_disk_and_memory_follow_from_the_model_s_weights(model: Model) -> None:
    """A full tuning takes more disk than LoRA does; the memory is that of each method, whichever is chosen."""
    lora, full = (forecast_recipe(make_recipe(method=method), model=model) for method in ("lora", "full"))

    sizes = [each or 0 for each in (lora.disk_bytes, lora.peak_bytes, full.disk_bytes)]
    assert 0 < sizes[0] < sizes[1]
    assert sizes[0] < sizes[2]
    assert set(lora.memory or {}) == set(Method)
    assert lora.memory == full.memory


def test_epochs_of_single_rows_are_counted() -> None:
    """Without packing an iteration is a batch of rows: 7 rows in twos make 4."""
    known = forecast_recipe(make_recipe(training={"iterations": None, "epochs": 3, "packing": False, "batch_size": 2}))

    assert (known.iterations, known.epochs) == (12, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"packing": False, "iterations": 5}}, "before every row is seen"),
        ({"mix": {"general": []}}, "no general pairs"),
        ({"mix": {"identity": []}}, "no identity pairs"),
        ({"checkpoints": {"every": 20}}, "Only 1 checkpoints"),
        ({"checkpoints": {"every": 2, "keep": 4}}, "oldest 6 of 10"),
        ({"probes": [{"question": "who are you? ", "group": "near-miss"}]}, "Probe 1 is trained on"),
        ({"probes": [{"question": "Who are you?", "group": "identity"}]}, "No probe is general"),
    ],
)
def test_what_a_reader_may_not_expect_is_said(changes: dict[str, Any], sentence: str) -> None:
    """Each warning when its recipe asks for it, and not otherwise."""
    assert sentence in warnings_of(**changes)
    assert sentence not in warnings_of()


def test_what_a_cpu_cannot_do_is_said_where_only_cpus_work() -> None:
    """On a machine with a GPU, half precision is no reason to warn."""
    half: dict[str, Any] = {"training": {"precision": "float16"}}

    assert "float16 needs a GPU" in warnings_of("cpu", **half)
    assert "float16" not in warnings_of(**half)
