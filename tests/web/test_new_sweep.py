"""The form that starts sweeps: what it shows, what it refuses, and what it starts."""

import json
from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain.models import Run, Sweep
from app.domain.presets import SMALL_MODEL
from app.domain.recipes import Recipe
from app.domain.sweeps import plan_of
from tests.factories import make_model, make_recipe, make_run
from tests.sweep_stories import make_sweep
from tests.web.form_fields import fields_of, filled, soup_of

FORM = "sweep-form"
N, M, RATE = "axis.mix.identity_count", "axis.mix.general_count", "axis.training.learning_rate"


@pytest.fixture
def page(client: Any, session: Session) -> Any:
    """Open the form, filled from the first preset."""
    make_model(session, name=SMALL_MODEL)
    return soup_of(client.get("/sweeps/new"))


def typed(page: Any, **changes: str | None) -> dict[str, list[str]]:
    """Return what a browser would send, with some fields changed."""
    fields = fields_of(page, FORM)
    for name, value in changes.items():
        path = {"n": N, "m": M, "rate": RATE}.get(name, name)
        fields.pop(path, None)
        if value is not None:
            fields[path] = [value]
    return fields


def error_at(page: Any, control_id: str) -> str:
    """Return the sentence under a control, if it is an error and the control says so."""
    control, below = page.select_one(f"#{control_id}"), page.select_one(f"#{control_id}-help.error")
    is_marked = control is not None and control.get("aria-invalid") == "true"
    return " ".join(below.text.split()) if below is not None and is_marked else ""


def test_a_form_that_is_filled_in_starts_its_sweep(client: Any, session: Session, page: Any) -> None:
    """Values with commas, spaces or both; the recipe as it stands there."""
    fields = typed(page, n="24, 150 600", rate="1e-3，5e-4", at_once="2", name="how much?", stops_parrots=None)

    reply = client.post("/sweeps", data=fields)

    sweep = session.exec(select(Sweep)).one()
    assert reply.status_code == 303
    assert reply.headers["location"] == f"/sweeps/{sweep.id}"
    plan = plan_of(sweep)
    assert [list(axis.values) for axis in plan.axes] == [[24, 150, 600], [1e-3, 5e-4]]
    assert (plan.name, plan.at_once, plan.stops_parrots) == ("how much?", 2, False)
    assert len(session.exec(select(Run)).all()) == 6
    assert plan.recipe == Recipe.model_validate(json.loads(fields["recipe"][0]))


def test_pressed_twice_it_starts_one_sweep(client: Any, session: Session, page: Any) -> None:
    """The page's own key names the request."""
    fields = typed(page, n="24, 150")

    replies = [client.post("/sweeps", data=fields) for _ in range(2)]

    assert replies[0].headers["location"] == replies[1].headers["location"]
    assert len(session.exec(select(Run)).all()) == 2


@pytest.mark.parametrize(
    ("changes", "control", "words"),
    [
        ({"n": "24, many"}, "axis-mix-identity_count", "“many” is not a number"),
        ({"n": "24, -1"}, "axis-mix-identity_count", "0 or more"),
        ({"n": "24, 24"}, "axis-mix-identity_count", "twice"),
        ({"n": "1 2 3 4 5 6 7 8 9"}, "axis-mix-identity_count", "too many"),
        ({"n": "24 1000000", "m": "1 1000000"}, "axis-mix-identity_count", "rows are too many"),
        ({"n": "1 2", "at_once": "0"}, "sweep-at_once", "1 to 64"),
        ({"n": "1 2", "name": " "}, "sweep-name", "Write something"),
        ({"n": "1 2", "recipe": "{"}, "sweep-recipe", "no recipe in JSON"),
    ],
)
def test_what_is_wrong_is_named_at_its_field_and_nothing_is_lost(  # noqa: PLR0917 - values of the parametrisation
    client: Any, session: Session, page: Any, changes: dict[str, str], control: str, words: str
) -> None:
    """The form comes back as it was sent, with every bad field named, and nothing is started."""
    reply = client.post("/sweeps", data=typed(page, **changes))

    again = soup_of(reply)
    assert reply.status_code == 422
    below = again.select_one(f"#{control}-help")
    assert words in (error_at(again, control) or " ".join(below.text.split()))
    sent, kept = typed(page, **changes), fields_of(again, FORM)
    assert {name: kept[name] for name in sent if name != "request_key"} == {
        name: value for name, value in sent.items() if name != "request_key"
    }
    assert session.exec(select(Sweep)).all() == []


def test_nothing_that_varies_is_no_sweep(client: Any, page: Any) -> None:
    """It is no mistake while the form is filled in, and one when it is sent."""
    assert page.select_one("#sweep-form-count.error") is None

    reply = client.post("/sweeps", data=typed(page))

    assert reply.status_code == 422
    assert "at least two runs" in soup_of(reply).select_one("#sweep-form-count.error").text


def test_the_preview_says_which_runs_there_will_be(client: Any, page: Any) -> None:
    """One line for each run with its values; what is typed into is no part of the answer."""
    reply = client.post("/sweeps/new/preview", data=typed(page, n="24, 150", m="0, 1, 4"))

    preview = soup_of(reply)
    rows = [[cell.text for cell in row.select("td")][:3] for row in preview.select("#sweep-planned tbody tr")]
    assert rows == [[n, m, "33"] for n in ("24", "150") for m in ("0", "1", "4")]
    assert preview.select_one("#sweep-forecast-runs").text == "6"
    assert preview.select_one("#sweep-forecast-iterations").text == "198"
    assert "2 n × 3 m = 6 runs" in " ".join(preview.select_one("#sweep-form-count").text.split())
    assert preview.select("input, textarea") == []


def test_the_preview_names_what_is_wrong_beside_what_is_right(client: Any, page: Any) -> None:
    """A value that is being typed takes nothing away from the others."""
    preview = soup_of(client.post("/sweeps/new/preview", data=typed(page, n="24, 150", rate="1e-")))

    assert "is not a number" in preview.select_one("#axis-training-learning_rate-help.error").text
    assert preview.select_one("#sweep-forecast-runs").text == "2"


def test_a_sweep_starts_from_a_run(client: Any, session: Session) -> None:
    """Its recipe is the run's, and its runs say that they are cloned from it."""
    run = make_run(session, recipe=make_recipe(name="seven"))
    page = soup_of(client.get(f"/sweeps/new?run={run.id}"))
    assert page.select_one("#axis-mix-identity_count")["placeholder"] == "3"

    client.post("/sweeps", data=typed(page, n="1 2"))

    made = session.exec(select(Run).where(Run.sweep_id.is_not(None))).all()
    assert [each.cloned_from_id for each in made] == [run.id, run.id]
    assert made[0].name == "seven, n 1"


def test_a_sweep_starts_from_another_sweep(client: Any, session: Session) -> None:
    """Everything that it was started with stands there again."""
    sweep = make_sweep(session, axes={"mix.identity_count": [24, 149], "training.learning_rate": [1e-3, 2e-4]})

    page = soup_of(client.get(f"/sweeps/new?sweep={sweep.id}"))

    fields = fields_of(page, FORM)
    assert (fields[N], fields[RATE]) == (["24, 149"], ["1e-3, 2e-4"])
    assert fields["name"] == [sweep.name]
    assert page.select_one("#sweep-forecast-runs").text == "4"


def test_a_sweep_starts_from_the_form_of_a_run(client: Any, session: Session) -> None:
    """What was typed there is the recipe here, right or wrong."""
    make_model(session, name=SMALL_MODEL)
    form = soup_of(client.get("/runs/new"))

    page = soup_of(client.post("/sweeps/new", data=filled(form, name="typed", mix__identity_count="77")))
    wrong = soup_of(client.post("/sweeps/new", data=filled(form, mix__identity_count="lots")))

    recipe = json.loads(fields_of(page, FORM)["recipe"][0])
    assert (recipe["name"], recipe["mix"]["identity_count"]) == ("typed", 77)
    assert "lots" in fields_of(wrong, FORM)["recipe"][0]
    assert "“lots” is not a whole number" in wrong.select_one("#sweep-form-facts").text


def test_shares_are_offered_where_the_recipe_has_shares(client: Any, session: Session) -> None:
    """In percent; where there is no adapter r is not offered at all."""
    run = make_run(session, recipe=make_recipe(mix={"identity_share": 0.25}, method="full"))
    page = soup_of(client.get(f"/sweeps/new?run={run.id}"))
    assert page.select_one("#axis-mix-identity_share")["placeholder"] == "25 %"
    assert page.select_one("#axis-training-lora-r") is None

    client.post("/sweeps", data=typed(page) | {"axis.mix.identity_share": ["10 %, 50"]})

    sweep = session.exec(select(Sweep)).one()
    assert sweep.axes[0]["values"] == [0.1, 0.5]


def test_another_language_forgets_nothing(client: Any, page: Any) -> None:
    """What was typed stands there again, with Chinese words around it."""
    reply = client.post("/sweeps/new", data=typed(page, n="24, x") | {"language": ["zh"]})

    again = soup_of(reply)
    assert again.select_one("html")["lang"] == "zh"
    assert fields_of(again, FORM)[N] == ["24, x"]
