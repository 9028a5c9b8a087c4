"""What a recipe becomes on its way to xtuner."""

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.recipes import Recipe
from app.domain.training import TARGETS, LoraTargets
from app.domain.xtuner_config import HEADINGS, TEMPLATES, ConfigParts, render_config
from app.domain.xtuner_parts import Device
from tests.factories import make_recipe

ATTACKS = (
    "'); import os; os.system('touch /tmp/taken') #",
    '"""\nimport os\n"""',
    "{SYSTEM} {0} {",
    "\\' + __import__('os').getcwd() + \\'",
    "line\nbreak\r\u2028\x1b",
)


def render(recipe: Recipe | None = None, *, device: Device = "cpu", **changes: Any) -> ConfigParts:
    """Render a recipe with places that no test cares about."""
    places: dict[str, Any] = {"model_path": "/models/m", "run_folder": "/runs/1", "data_file": "/runs/1/mix.jsonl"}
    arguments: dict[str, Any] = {**places, "template": "qwen_chat", "rows": 100, "device": device, **changes}
    return render_config(recipe or make_recipe(), **arguments)


def shape(text: str) -> str:
    """Return a program's syntax tree without its literals."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            return ast.Constant(type(node.value).__name__)

    return ast.dump(Blank().visit(ast.parse(text)))


def setting(text: str, name: str) -> Any:
    """Read one variable of part 1."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_a_config_has_five_parts_in_xtuners_order() -> None:
    """Each heading stands once in the file, and the parts are Python on their own."""
    config = render()

    assert [heading for heading, _ in config.parts] == list(HEADINGS)
    assert all(config.text.count(heading) == 1 for heading in HEADINGS)
    for _, body in config.parts:
        ast.parse(body)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_user_types_stays_a_literal(attack: str) -> None:
    """With code in every text, the program differs from a harmless one in its literals only."""
    probes = [{"question": attack, "group": "general", "reference": attack}]
    recipe = make_recipe(name=attack, mix={"name": attack, "system": attack}, probes=probes)
    harmless = make_recipe(mix={"system": "x"}, probes=[{"question": "x"}])

    text = render(recipe, model_path=attack, run_folder=attack, data_file=attack).text

    assert shape(text) == shape(render(harmless).text)
    assert setting(text, "SYSTEM") == recipe.mix.system
    assert setting(text, "evaluation_inputs") == [recipe.probes[0].question]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    """What the trainer reads out of the file is what went in."""
    config = render(make_recipe(mix={"system": text})).text

    assert setting(config, "SYSTEM") == make_recipe(mix={"system": text}).mix.system


def test_an_unknown_template_is_refused() -> None:
    """A template's name is the one text that becomes a name."""
    with pytest.raises(ValueError, match="no prompt template"):
        render(template="qwen_chat; import os")


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_renders(template: str) -> None:
    assert f"PROMPT_TEMPLATE.{template}\n" in render(template=template).settings


@pytest.mark.parametrize(
    ("method", "quantised", "adapted"), [("qlora", True, True), ("lora", False, True), ("full", False, False)]
)
def test_the_method_decides_what_is_held_and_tuned(method: str, quantised: bool, adapted: bool) -> None:
    """QLoRA holds the model in four bits; a full fine-tune has no adapter."""
    config = render(make_recipe(method=method))

    assert ("load_in_4bit=True" in config.model) is quantised
    assert ("BitsAndBytesConfig" in config.imports) is quantised
    assert ("LoraConfig" in config.model) is adapted


def test_a_full_fine_tune_holds_its_weights_in_float32() -> None:
    """Small updates are lost in 16 bits; mixed precision makes the arithmetic small, not the weights."""
    config = render(make_recipe(method="full", training={"precision": "bfloat16"}), device="cuda")

    assert "torch_dtype=torch.float32" in config.model
    assert "dtype='bfloat16'" in config.schedule


@pytest.mark.parametrize(
    ("device", "precision", "wrapper"),
    [
        ("cpu", "float32", "type=OptimWrapper"),
        ("cpu", "bfloat16", "type=OptimWrapper"),
        ("cuda", "float32", "type=OptimWrapper"),
        ("cuda", "bfloat16", "loss_scale=1.0"),
        ("cuda", "float16", "loss_scale='dynamic'"),
    ],
)
def test_only_float16_on_a_gpu_scales_its_loss(device: Device, precision: str, wrapper: str) -> None:
    """AmpOptimWrapper refuses to work without a GPU, and bfloat16 has float32's range."""
    assert wrapper in render(make_recipe(training={"precision": precision}), device=device).schedule


@pytest.mark.parametrize(
    ("iterations", "ratio", "warm"), [(100, 0.03, 3), (50, 0.03, 2), (10, 0.03, None), (1000, 0.0, None)]
)
def test_a_warm_up_of_one_iteration_is_none(iterations: int, ratio: float, warm: int | None) -> None:
    """Over a single iteration mmengine would leave the learning rate at its start for the whole run."""
    schedule = render(make_recipe(training={"iterations": iterations, "warmup_ratio": ratio})).schedule

    assert ("WarmUpLR" in schedule) is (warm is not None)
    assert f"CosineAnnealingLR, eta_min=0.0, begin={warm or 0}, end=max_iters, by_epoch=False" in schedule


def test_epochs_are_counted_by_mmengine() -> None:
    """How many iterations an epoch has is known only once the rows are packed."""
    config = render(make_recipe(training={"iterations": None, "epochs": 3, "warmup_ratio": 0.1, "schedule": "linear"}))

    assert setting(config.text, "max_epochs") == 3
    assert "end=warmup_ratio * max_epochs, by_epoch=True, convert_to_iter_based=True" in config.schedule
    assert "train_cfg = dict(type=TrainLoop, max_epochs=max_epochs)" in config.schedule


def test_a_constant_rate_without_warm_up_has_no_schedule() -> None:
    config = render(make_recipe(training={"schedule": "constant", "warmup_ratio": 0.0}))

    assert setting(config.text, "param_scheduler") == []


@pytest.mark.parametrize(("rows", "processes"), [(1, None), (39_999, None), (40_000, 2), (10_000_000, 8)])
def test_few_rows_are_mapped_without_another_process(rows: int, processes: int | None) -> None:
    """The 32 processes of xtuner's own configs take 17 s to start on two cores."""
    assert f"map_num_proc={processes}" in render(rows=rows).data


@pytest.mark.parametrize("targets", LoraTargets)
def test_the_adapted_layers_are_named(targets: LoraTargets) -> None:
    """Left to xtuner, the head of some models would get an adapter too."""
    config = render(make_recipe(training={"lora": {"targets": targets}}))

    assert f"target_modules={list(TARGETS[targets])!r}" in config.model


def test_no_code_of_a_model_is_ever_run() -> None:
    assert "trust_remote_code=True" not in render().text
    assert render().text.count("trust_remote_code=False") == 2


def test_without_probes_nothing_is_asked() -> None:
    """Neither where there are none, nor where answering is off."""
    assert "type=AnswerHook" not in render(make_recipe(probes=[])).runtime
    assert "type=AnswerHook" not in render(make_recipe(checkpoints={"evaluate": False})).runtime
    assert "type=AnswerHook" in render().runtime
