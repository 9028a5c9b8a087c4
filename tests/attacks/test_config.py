"""The rendered config: whatever is typed stays a literal, and no other config ever comes in."""

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from app.domain.config_check import ConfigError, check_literals, check_values, shape_of
from app.domain.held_out import HeldOut
from app.domain.recipes import Pair, Probe
from app.domain.xtuner_config import render_config
from tests.factories import make_model, make_recipe, make_recipe_data

BREAKOUTS = (
    "'); import os; os.system('touch /tmp/taken') #",
    '"); import os #',
    '"""\nimport os\n"""',
    "'''\nimport os\n'''",
    "\\",
    "\\'",
    "\\N{LATIN SMALL LETTER A}\\x27\\u0027",
    "{work_dir}{0}{",
    "}",
    "\u202e'); x('\u2066",
    "\x00",
    "\ud800",
    "a\r\nimport os\u2028import os\x0c",
    "%s%(x)s",
    "#" * 80,
    "\ufeff# -*- coding: utf-7 -*-",
)
PIECES = st.one_of(st.text(max_size=20), st.sampled_from(BREAKOUTS))
TEXTS = st.lists(PIECES, max_size=4).map("".join)


def render(text: str) -> str:
    """Render a config with a text in every place that has one, past every check of a form."""
    plain = make_recipe()
    mix = plain.mix.model_copy(update={"name": text, "system": text})
    probes = (Probe.model_construct(question=text, group=plain.probes[0].group, reference=text),)
    recipe = plain.model_copy(update={"name": text, "model": text, "mix": mix, "probes": probes})
    pair = Pair.model_construct(question=text, answer=text)
    return render_config(
        recipe,
        model_path=text,
        template="qwen_chat",
        run_folder=text,
        data_file=text,
        rows=10,
        device="cpu",
        held_out=HeldOut((pair,), (pair,)),
    ).text


def values_in(text: str) -> dict[str, Any]:
    """Return the plain values of a config's names."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            try:
                found[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_text_is_a_literal_whatever_is_in_it(text: str) -> None:
    """33: Beside a harmless one, the program differs in its literals only, and each comes back as it was typed."""
    config = render(text)

    assert shape_of(config) == shape_of(render("x"))
    values = values_in(config)
    assert (values["SYSTEM"], values["evaluation_inputs"]) == (text, [text])
    assert values["held_out_identity"] == values["held_out_general"] == [[text, text]]
    assert (values["pretrained_model_name_or_path"], values["data_path"], values["work_dir"]) == (text, text, text)


@pytest.mark.parametrize("way", ["'{}'", '"{}"', "'''{}'''"])
def test_a_config_that_was_put_together_badly_does_not_leave(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """33: Were a text written with quotes around it instead of as a literal, the check would stop the run."""
    from app.domain import xtuner_parts

    original = xtuner_parts.settings_part

    def careless(recipe: Any, **places: str) -> str:
        return original(recipe, **places).replace(repr(recipe.mix.system), way.format(recipe.mix.system))

    monkeypatch.setattr(xtuner_parts, "settings_part", careless)
    attack = "x'+str(1)+'" if way == "'{}'" else 'x"+str(1)+"' if way == '"{}"' else "x'''+str(1)+'''"

    with pytest.raises(ConfigError):
        render(attack)


def test_the_check_tells_a_name_from_a_text() -> None:
    """33: A call, a name or a line more is not a literal; another text or number is."""
    plain = "a = 'x'\nb = [1, 'x']\n"

    check_literals("a = 'import os'\nb = [2, '\\'']\n", plain=plain)
    for text in ("a = x\nb = [1, 'x']\n", "a = 'x'\nb = [1, f()]\n", plain + "import os\n", "a = 'x' +\n"):
        with pytest.raises(ConfigError):
            check_literals(text, plain=plain)
    with pytest.raises(ConfigError):
        check_values("a = 'y'\n", {"a": "x"})


@pytest.mark.parametrize("prompt", ["{", "}", "{work_dir}", "{0}", "{input}{round}", "{{}}", "%(x)s"])
def test_braces_in_a_prompt_are_braces(prompt: str) -> None:
    """34: The template is filled once, so that a system text with braces comes out whole and tells nothing."""
    from worker.engine.generate import prompts_of

    template = {"SYSTEM": "<s>{system}</s>", "INSTRUCTION": "<u>{input}</u>"}

    assert prompts_of(template, prompt, [prompt]) == (f"<s>{prompt}</s><u>{prompt}</u>",)
    assert values_in(render(prompt))["SYSTEM"] == prompt


def test_there_is_no_way_to_send_a_config(api: Any, session: Session) -> None:
    """32: Neither as a field of a recipe, nor in the place of one, nor to any address that takes a file of Python."""
    make_model(session)
    program = "import os\nos.system('touch /tmp/taken')\n"

    fields = api.post("/api/v1/runs", json=make_recipe_data(config=program))
    body = api.post("/api/v1/runs", content=program, headers={"Content-Type": "text/x-python"})
    rows = api.post("/api/v1/datasets?filename=config.py", content=program)

    assert [reply.status_code for reply in (fields, body, rows)] == [422, 415, 415]
    writing = [route for route in api.app.routes if "POST" in getattr(route, "methods", ()) or ()]
    assert not [route.path for route in writing if "config" in route.path]
