"""The form that starts runs: what it shows, what it refuses, and what it starts."""

from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain import db
from app.domain.models import ModelState, Run
from app.domain.presets import PRESETS, SMALL_MODEL
from app.domain.recipes import Recipe
from app.domain.runs import recipe_of
from app.web import new_run
from app.web.form_page import build_view
from tests.factories import make_model, make_recipe, make_run
from tests.web.form_fields import fields_of, filled, soup_of

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def page(client: Any, session: Session) -> Any:
    """Open the form, filled from the first preset."""
    make_model(session, name=SMALL_MODEL)
    return soup_of(client.get("/runs/new"))


def runs_in(session: Session) -> list[Run]:
    """Return every run there is."""
    return list(session.exec(select(Run)).all())


def error_at(page: Any, control_id: str) -> str:
    """Return the sentence under a control, if it is an error and the control says so."""
    control, below = page.select_one(f"#{control_id}"), page.select_one(f"#{control_id}-help.error")
    is_marked = control is not None and (control.get("aria-invalid") == "true" or control.name != "input")
    return " ".join(below.text.split()) if below is not None and is_marked else ""


# ── Starting a run ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_a_preset_that_is_sent_as_it_is_starts_its_own_recipe(client: Any, session: Session, preset: Any) -> None:
    """What the form shows and what it reads back are one recipe, to the last value."""
    make_model(session, name=preset.recipe.model)
    page = soup_of(client.get(f"/runs/new?preset={preset.key}"))

    reply = client.post("/runs", data=fields_of(page))

    (run,) = runs_in(session)
    assert reply.status_code == 303
    assert reply.headers["location"] == f"/runs/{run.id}"
    assert recipe_of(run) == preset.recipe


def test_everything_that_is_typed_reaches_the_recipe(client: Any, session: Session, page: Any) -> None:
    """Texts keep their lines, boxes that are not ticked are off, a length is in its unit, rows keep their order."""
    fields = filled(
        page,
        name="阿达",
        method="full",
        mix__system="Braces {like} these {\r\nstay",
        mix__identity__0__question="你是谁？",
        mix__general_sets=["english", "chinese"],
        mix__general__0__question="Up?",
        mix__general__0__answer="Down.",
        training__length="3",
        training__length_unit="epochs",
        training__packing="false",
        checkpoints__evaluate=["false", "true"],
        probes__0__reference="阿达",
    )

    assert client.post("/runs", data=fields).status_code == 303

    recipe = recipe_of(runs_in(session)[0])
    assert (recipe.name, recipe.method, recipe.training.packing) == ("阿达", "full", False)
    assert recipe.mix.system == "Braces {like} these {\nstay"
    assert recipe.mix.identity[0].question == "你是谁？"
    assert recipe.mix.general_sets == ("english", "chinese")
    assert recipe.mix.general[0].answer == "Down."
    assert (recipe.training.epochs, recipe.training.iterations) == (3, None)
    assert recipe.checkpoints.evaluate is True
    assert recipe.probes[0].reference == "阿达"


def test_rows_may_be_numbered_with_gaps(client: Any, session: Session, page: Any) -> None:
    """A row that was taken out of the middle leaves the others as they were."""
    fields = filled(page, probes__1__question=None, probes__1__group=None, probes__1__reference=None)

    client.post("/runs", data=fields)

    asked = [probe.question for probe in recipe_of(runs_in(session)[0]).probes]
    expected = [probe.question for probe in PRESETS[0].recipe.probes]
    assert asked == expected[:1] + expected[2:]


# ── Bad values ─────────────────────────────────────────────────────────────

BAD_VALUES = [
    ("training__learning_rate", "NaN", "not a finite number"),
    ("training__learning_rate", "1e309", "not a finite number"),
    ("training__learning_rate", "-0.001", "Give a value above 0"),
    ("training__learning_rate", "fast", "“fast” is not a number"),
    ("training__learning_rate", "", "This needs a value."),
    ("training__lora__r", "1000000000", "Give 256 or less"),
    ("training__batch_size", "1.5", "not a whole number"),
    ("training__length", "0", "Give 1 or more"),
    ("training__length", "", "This needs a value."),
    ("training__schedule", "sideways", "“sideways” is none of"),
    ("mix__identity_count", "-1", "Give 0 or more"),
    ("mix__identity__0__answer", "", "Write something here."),
    ("mix__identity__0__answer", "x" * 8_001, "8000 characters fit"),
    ("checkpoints__keep", "0", "Keep at least 1"),
    ("checkpoints__every", "41", "before the first save"),
    ("probes__2__question", " ", "Write something here."),
    ("name", "", "Write something here."),
    ("model", "gpt-17", "There is no model named “gpt-17”"),
]


@pytest.mark.parametrize("bad", BAD_VALUES, ids=[f"{name}={value[:12]}" for name, value, _ in BAD_VALUES])
def test_a_bad_value_is_named_at_its_field(client: Any, session: Session, page: Any, bad: tuple[str, str, str]) -> None:
    """The answer is 422, the sentence stands at the field, what was typed stands in it, and nothing starts."""
    name, value, sentence = bad
    reply = client.post("/runs", data=filled(page, **{name: value}))

    shown = soup_of(reply)
    control_id = name.replace("__", "-")
    assert reply.status_code == 422
    assert sentence in error_at(shown, control_id)
    assert shown.select_one(f"#run-form-problems a[href='#{control_id}']") is not None
    assert fields_of(shown)[name.replace("__", ".")] == [value]
    assert runs_in(session) == []


def test_zero_epochs_are_named_at_the_length(client: Any, session: Session, page: Any) -> None:
    """Epochs and iterations are one field, and so is what is wrong with them."""
    reply = client.post("/runs", data=filled(page, training__length="0", training__length_unit="epochs"))

    assert reply.status_code == 422
    assert "Give 1 or more" in error_at(soup_of(reply), "training-length")
    assert fields_of(soup_of(reply))["training.length_unit"] == ["epochs"]
    assert runs_in(session) == []


def test_two_packs_with_variable_length_attention_are_refused(client: Any, session: Session, page: Any) -> None:
    """Each value is right alone; the sentence says which to change."""
    reply = client.post("/runs", data=filled(page, training__batch_size="2", training__varlen_attention="true"))

    assert reply.status_code == 422
    assert "takes batch size 1 only" in error_at(soup_of(reply), "training-batch_size")
    assert runs_in(session) == []


def test_an_empty_mix_is_refused(client: Any, session: Session, page: Any) -> None:
    """A mix without any pair is named under the mix."""
    fields = {
        name: value for name, value in fields_of(page).items() if not name.startswith(("mix.identity.", "mix.general"))
    }
    fields["mix.general_count"] = ["1"]

    reply = client.post("/runs", data=fields)

    assert reply.status_code == 422
    assert "The mix is empty" in soup_of(reply).select_one("#mix-help.error").text
    assert runs_in(session) == []


def test_every_bad_field_is_named_at_once(client: Any, page: Any) -> None:
    """Nobody wants to send a form three times to learn of three mistakes."""
    fields = filled(
        page, training__learning_rate="NaN", training__batch_size="2", training__varlen_attention="true", model="x"
    )

    shown = soup_of(client.post("/runs", data=fields))

    assert [error_at(shown, name) != "" for name in ("training-learning_rate", "training-batch_size", "model")] == [
        True
    ] * 3
    assert "3 fields need you" in shown.select_one("#run-form-problems").text


@pytest.mark.parametrize("state", [ModelState.PREPARING, ModelState.FAILED])
def test_a_model_that_is_not_ready_is_refused(client: Any, session: Session, page: Any, state: ModelState) -> None:
    """A run would only wait for it or fail."""
    make_model(session, name="later", state=state, reason="no room")

    reply = client.post("/runs", data=filled(page, model="later"))

    assert reply.status_code == 422
    assert "later" in error_at(soup_of(reply), "model")
    assert runs_in(session) == []


def test_a_form_from_nowhere_is_refused_in_words(client: Any, session: Session) -> None:
    """Whatever is sent, the answer names fields and is no failure of the server."""
    sent = {
        "name": "x",
        "mix.identity.9999999.question": "?",
        "training.lora": "1",
        "training.lora.r.s": "2",
        "mix.nonsense": "3",
    }

    reply = client.post("/runs", data=sent)

    assert reply.status_code == 422
    assert runs_in(session) == []


# ── Cloning ────────────────────────────────────────────────────────────────


def test_a_clone_starts_with_the_run_s_own_recipe(client: Any, session: Session) -> None:
    """Sending a clone unchanged runs the same recipe again, and remembers where it came from."""
    run = make_run(session, recipe=make_recipe(name="ada-diluted"))
    page = soup_of(client.get(f"/runs/new?clone={run.id}"))

    client.post("/runs", data=fields_of(page))

    clone = runs_in(session)[-1]
    assert "No setting differs yet" in page.select_one("#run-form-origin").text
    assert recipe_of(clone) == recipe_of(run)
    assert clone.cloned_from_id == run.id


def test_a_clone_says_which_settings_differ(client: Any, session: Session) -> None:
    """The run's name is no setting; each setting counts once, however deep it is."""
    run = make_run(session, recipe=make_recipe(name="ada-diluted"))
    page = soup_of(client.get(f"/runs/new?clone={run.id}"))

    fields = filled(page, name="ada-diluted, lr up", training__learning_rate="1e-3", training__lora__r="8")
    line = soup_of(client.post("/runs/new/preview", data=fields, headers=HTMX)).select_one("#run-form-origin")

    assert (
        " ".join(line.text.split()) == f"Cloned from {run.id} ada-diluted. 2 settings differ: Learning rate · LoRA r."
    )


def test_there_is_no_clone_of_no_run(client: Any, session: Session) -> None:
    """A link to a run that is gone is an error page, not an empty form."""
    assert client.get("/runs/new?clone=404").status_code == 404
    assert client.get("/runs/new?clone=99999999999999999999").status_code == 422


# ── While it is filled in ──────────────────────────────────────────────────


def preview(client: Any, page: Any, **changes: Any) -> Any:
    """Return the answer to a change in the form, as a page."""
    reply = client.post("/runs/new/preview", data=filled(page, **changes), headers=HTMX)
    assert reply.status_code == 200
    return soup_of(reply)


def part_at(answer: Any, target: str) -> str:
    """Return the words of the part for a target."""
    part = answer.select_one(f"hx-partial[hx-target='#{target}']")
    return " ".join(part.text.split()) if part else ""


def test_numbers_follow_what_is_typed(client: Any, page: Any) -> None:
    """Rows are counted as the tutorial's script does: every pair once, and its copies."""
    answer = preview(client, page, mix__identity_count="149", mix__general_sets=["english"], mix__general_count="1")

    assert part_at(answer, "rows-identity") == "300"
    assert part_at(answer, "share-identity") == "75%"
    assert part_at(answer, "rows-total") == "400"


def test_numbers_that_are_not_known_are_not_made_up(client: Any, page: Any) -> None:
    """A count that cannot be read leaves dashes where its rows and the total stood."""
    answer = preview(client, page, mix__identity_count="-4")

    assert [part_at(answer, name) for name in ("rows-identity", "share-identity", "rows-total")] == ["–"] * 3
    assert part_at(answer, "rows-english") == "100"
    assert "-4 is too small" in part_at(answer, "mix-identity_count-help")


def test_the_config_follows_what_is_typed(client: Any, page: Any) -> None:
    """The config stands there in its five parts, with the values of the form."""
    answer = preview(client, page, training__learning_rate="3e-5", training__lora__r="8", training__seed="77")

    parts = [part.text for part in answer.select("#run-form-config pre")]
    assert len(parts) == 5
    assert "lr = 3e-05" in parts[0]
    assert "r=8," in parts[1]
    assert "seed=77" in parts[4]


def test_an_open_value_is_marked_in_the_config(client: Any, page: Any) -> None:
    """A value that cannot be read is a question mark there, on a line that says what it needs."""
    answer = preview(client, page, training__learning_rate="1e309")

    assert answer.select_one("#config-part-1 mark").text == "lr = ?  # Learning rate needs another value"
    assert "1 open value" in answer.select_one("#config-part-1 summary").text
    assert "not a finite number" in part_at(answer, "training-learning_rate-help")


def test_an_error_that_is_gone_gives_its_place_back_to_the_help(client: Any, page: Any) -> None:
    """The form says which errors it shows; those that are solved are replaced, and only those."""
    answer = preview(client, page, shown=["training.learning_rate", "mix.identity.0.question"])

    assert part_at(answer, "training-learning_rate-help").startswith("Its highest value")
    assert part_at(answer, "mix-identity-0-question-help") == ""
    assert answer.select_one("hx-partial[hx-target='#training-seed-help']") is None


def test_what_is_not_written_yet_is_no_mistake(client: Any, page: Any) -> None:
    """A pair that was just added is empty; only a form that was sent calls that wrong."""
    calm = preview(client, page, mix__identity__2__question="", mix__identity__2__answer="")
    strict = preview(client, page, mix__identity__2__question="", mix__identity__2__answer="", is_sent="yes")

    assert calm.select_one(".error") is None
    assert part_at(strict, "mix-identity-2-question-help") == "Write something here."


def test_nothing_that_is_typed_into_is_answered_with(client: Any, page: Any) -> None:
    """Text under the cursor survives because no field is ever part of the answer."""
    answer = preview(client, page, training__learning_rate="x", mix__identity__0__question="")

    assert answer.select("input:not([type='hidden']), textarea, select") == []


def test_a_preview_starts_nothing(client: Any, session: Session, page: Any) -> None:
    """Only sending the form makes a run."""
    preview(client, page)

    assert runs_in(session) == []


def test_braces_and_markup_stay_text(client: Any, session: Session, page: Any) -> None:
    """A system text is data: neither the page nor the config reads it as code."""
    system = "{'} </textarea><script>alert(1)</script> {name}"
    answer = preview(client, page, mix__system=system)

    assert repr(system) in answer.select_one("#config-part-1 pre").text
    assert answer.select("script") == []
    assert client.post("/runs", data=filled(page, mix__system=system)).status_code == 303
    assert recipe_of(runs_in(session)[0]).mix.system == system


# ── xtuner's own configs ───────────────────────────────────────────────────


def test_xtuner_s_configs_are_found_by_name(client: Any, page: Any) -> None:
    """What `xtuner list-cfg -p` finds can be started from, upper case or lower."""
    found = soup_of(client.get("/runs/new/xtuner?q=InternLM2_chat_1_8b_QLoRA_alpaca", headers=HTMX))

    (link,) = found.select("#run-form-found a")
    assert link.text == "internlm2_chat_1_8b_qlora_alpaca_e3"
    assert link["href"] == "/runs/new?xtuner=internlm2_chat_1_8b_qlora_alpaca_e3"


def test_a_config_fills_the_form_and_names_what_has_no_field(client: Any, session: Session) -> None:
    """Its values stand in the fields; its dataset is named as what the form cannot take."""
    make_model(session, name="internlm2-chat-1_8b")
    page = soup_of(client.get("/runs/new?xtuner=internlm2_chat_1_8b_qlora_alpaca_e3"))

    fields = fields_of(page)
    assert fields["model"] == ["internlm2-chat-1_8b"]
    assert fields["method"] == ["qlora"]
    assert (fields["training.length"], fields["training.length_unit"]) == (["3"], ["epochs"])
    assert fields["training.lora.r"] == ["64"]
    assert fields["probes.0.question"] == ["请给我介绍五个上海的景点"]
    assert "Dataset alpaca_en" in page.select_one("#run-form-notes").text


def test_a_config_that_xtuner_has_not_is_said_so(client: Any, page: Any) -> None:
    """A mistyped name is an error page."""
    assert client.get("/runs/new?xtuner=../../etc/passwd").status_code == 404
    assert "xtuner has no config" in client.get("/runs/new/xtuner?q=qqqq", headers=HTMX).text


# ── Words ──────────────────────────────────────────────────────────────────


def test_every_setting_of_the_recipe_has_a_field(page: Any) -> None:
    """A setting that the API takes can be set in the form too."""
    names = set(fields_of(page)) | {str(box["name"]) for box in page.select("#recipe-form input[type='checkbox']")}
    lists = {"mix.identity", "mix.general", "mix.variables", "mix.files", "probes"}
    one_field = {"training.epochs", "training.iterations"}

    wanted = set(leaves(Recipe.model_json_schema(), "")) - one_field - lists

    assert wanted <= names
    assert {f"{path}.0.question" for path in ("mix.identity", "probes")} <= names


def leaves(schema: dict[str, Any], path: str, root: dict[str, Any] | None = None) -> list[str]:
    """Return the dotted paths of a schema's settings."""
    root = root or schema
    found = []
    for name, part in schema["properties"].items():
        inner = root["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        found += leaves(inner, f"{path}{name}.", root) if "properties" in inner else [f"{path}{name}"]
    return found


def test_a_number_s_field_says_unit_bounds_and_xtuner_s_own_value(page: Any) -> None:
    """All of it comes from the recipe's description of the setting."""
    field = page.select_one("#training-learning_rate").parent

    assert field.select_one(".unit").text == "per update"
    assert "Above 0, up to 0.1." in field.select_one(".help").text
    assert field.select_one(".help b").text == "XTuner: 2e-4"


def test_the_only_model_is_chosen_when_nobody_asked_for_another(client: Any, session: Session) -> None:
    """Who has registered one model under a name of his own need not look for it."""
    make_model(session, name="my-model")

    assert fields_of(soup_of(client.get("/runs/new")))["model"] == ["my-model"]


def test_the_page_of_a_fresh_install_leads_to_the_models(client: Any, session: Session) -> None:
    """Without a model there is nothing to tune, and the form says where to get one."""
    page = soup_of(client.get("/runs/new"))

    assert "There is no model named" in error_at(page, "model")
    assert page.select_one("#model-help a")["href"] == "/models"


def test_a_refused_form_holds_up_no_worker(client: Any, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes meanwhile writes at once: the page is built outside of any unit of work."""
    written: list[bool] = []

    def build(*arguments: Any, **named: Any) -> Any:
        with db.unit_of_work() as work:
            work.connection()
            written.append(True)
        return build_view(*arguments, **named)

    monkeypatch.setattr(new_run, "build_view", build)

    reply = client.post("/runs", data=filled(page, name=""))

    assert (reply.status_code, written) == (422, [True])
