"""xtuner's own configs: found by name, read without being run."""

import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from app.domain.errors import NotFoundError
from app.domain.recipes import MAX_PROBES, Recipe
from app.domain.xtuner_configs import list_names, read_config, read_text
from tests.factories import make_recipe_data

TUTORIAL = "internlm2_chat_1_8b_qlora_alpaca_e3"


def notes_of(text: str) -> list[str]:
    """Return what the form cannot take of a config's text."""
    return [str(note) for note in read_text("x", dedent(text)).notes]


def test_names_are_found_by_a_part_of_them() -> None:
    """As `xtuner list-cfg -p` does: any part, upper or lower case."""
    assert TUTORIAL in list_names("CHAT_1_8b_qlora")
    assert list_names("no such words") == []
    assert len(list_names()) > 500


def test_the_tutorial_s_config_fills_the_form() -> None:
    """Every number of the config that the assignment starts from."""
    found = read_config(TUTORIAL)

    training = found.values["training"]
    assert found.base_model == "internlm/internlm2-chat-1_8b"
    assert found.values["method"] == "qlora"
    assert (training["learning_rate"], training["epochs"], training["max_length"]) == (2e-4, 3, 2048)
    assert (training["accumulation"], training["batch_size"], training["precision"]) == (16, 1, "float16")
    assert training["lora"] == {"r": 64, "alpha": 16, "dropout": 0.1}
    assert found.values["checkpoints"] == {"every": 500, "keep": 2}
    assert found.values["mix"]["system"].startswith("Below is an instruction")
    assert found.values["probes"][0]["question"] == "请给我介绍五个上海的景点"


def test_what_the_form_has_no_field_for_is_named() -> None:
    """A dataset, another prompt template, and whatever else the config says."""
    notes = [str(note) for note in read_config(TUTORIAL).notes]

    assert "Dataset alpaca_en: a run of Temper takes its rows from the mix." in notes
    assert any("internlm2_chat" in note for note in notes)


def test_every_config_can_be_read() -> None:
    """Each of xtuner's configs gives a method, and values that the recipe can at least judge."""
    for found in map(read_config, list_names()):
        assert found.values["method"] in {"qlora", "lora", "full"}, found.name
        assert len(found.values.get("probes", [])) <= MAX_PROBES, found.name
        assert all(str(note) for note in found.notes), found.name


def test_a_config_s_values_make_a_recipe() -> None:
    """With a name, a model and a mix, what was read is a valid recipe."""
    values = read_config(TUTORIAL).values
    data: dict[str, Any] = make_recipe_data(**{**values, "training": values["training"] | {"iterations": None}})

    assert Recipe.model_validate(data).training.epochs == 3


@pytest.mark.parametrize(
    ("built", "method"),
    [
        ("llm=dict(quantization_config=dict(load_in_4bit=True)), lora=dict(r=8)", "qlora"),
        ("llm=dict(), lora=dict(r=8)", "lora"),
        ("llm=dict()", "full"),
    ],
)
def test_the_method_is_what_the_model_is_built_with(built: str, method: str) -> None:
    """Four bits and an adapter, an adapter, or neither."""
    assert read_text("x", f"model = dict(type=SupervisedFinetune, {built})").values["method"] == method


def test_values_are_calculated_where_they_are_plain() -> None:
    """`accumulative_counts *= sequence_parallel_size` is what real configs say."""
    text = """
        sequence_parallel_size = 4
        accumulative_counts = 2
        accumulative_counts *= sequence_parallel_size
        max_length = 128 * 1024
        lr = -x
        """
    found = read_text("x", dedent(text))

    assert found.values["training"]["accumulation"] == 8
    assert found.values["training"]["max_length"] == 131_072
    assert "learning_rate" not in found.values["training"]
    assert "sequence_parallel_size = 4" in notes_of(text)
    assert "lr = -x" in notes_of(text)


def test_another_kind_of_training_is_named() -> None:
    """A preference config starts a plain fine-tune, and says so."""
    assert "Kind of training DPO: a run of Temper is a plain fine-tune." in notes_of(
        "model = dict(type=DPO, llm=dict())"
    )


def test_nothing_of_a_config_is_run() -> None:
    """A config is a program, and is only read."""
    read_text("x", "import os\nos.abort()\nlr = os.abort()\nx = [os.abort() for _ in range(9)]")


def test_a_path_is_no_name() -> None:
    """Names are looked up in a list; nothing else is opened."""
    with pytest.raises(NotFoundError):
        read_config("../../../utils/templates")


def test_listing_imports_nothing_of_xtuner() -> None:
    """The package pulls in torch, which the web server must never hold."""
    code = (
        "import sys; from app.domain.xtuner_configs import list_names, read_config; read_config(list_names()[0]);"
        "print({'torch', 'xtuner', 'mmengine'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "set()"
