"""Another language for a form that is being filled in."""

from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlmodel import Session

from app.domain.presets import SMALL_MODEL
from tests.factories import make_model, make_run
from tests.web.form_fields import fields_of, filled, soup_of


@pytest.fixture
def page(client: Any, session: Session) -> BeautifulSoup:
    """Open the form with a model to tune."""
    make_model(session, name=SMALL_MODEL)
    return soup_of(client.get("/runs/new"))


def choices_of(page: BeautifulSoup) -> dict[str, str]:
    """Return where each button of the language menu sends which form."""
    return {
        str(each["value"]): f"{each.get('form')} {each.get('formaction')}" for each in page.select("#languages button")
    }


def test_what_was_typed_comes_back_in_the_other_language(client: Any, session: Session, page: BeautifulSoup) -> None:
    """Every field holds what it held, right or wrong, and the language stays."""
    other = make_run(session)
    typed = filled(
        page,
        name="half an hour of work",
        mix__system="Be {brief}.\n两行",
        mix__general_sets=["chinese"],
        mix__general__0__question="Up?",
        mix__general__0__answer="Down.",
        training__learning_rate="fast",
        training__length="0",
        training__length_unit="epochs",
        training__packing="false",
        after=str(other.id),
    )

    shown = soup_of(client.post("/runs/new", data=typed | {"language": ["zh"]}))

    kept = fields_of(shown)
    assert {name: kept[name] for name in typed if name not in {"request_key", "shown"}} == {
        name: value for name, value in typed.items() if name not in {"request_key", "shown"}
    }
    assert shown.html is not None
    assert shown.html["lang"] == "zh"
    assert shown.select_one("#recipe-form[data-typed]") is not None
    assert '<html lang="zh">' in client.get("/runs").text


def test_an_unknown_language_keeps_the_form_too(client: Any, page: BeautifulSoup) -> None:
    """A stray value changes neither the language nor what was typed."""
    reply = client.post("/runs/new", data=filled(page, name="kept") | {"language": ["xx"]})

    assert reply.status_code == 200
    assert fields_of(soup_of(reply))["name"] == ["kept"]
    assert "set-cookie" not in reply.headers


def test_what_the_form_has_no_field_for_is_still_named(client: Any, page: BeautifulSoup) -> None:
    """A form filled from one of xtuner's configs says so again; one that is gone is no trouble."""
    opened = soup_of(client.get("/runs/new?xtuner=internlm2_chat_1_8b_qlora_alpaca_e3"))

    kept = soup_of(client.post("/runs/new", data=filled(opened) | {"language": ["en"]}))
    gone = client.post("/runs/new", data=filled(page, origin="xtuner:gone_away") | {"language": ["en"]})

    assert opened.select("#run-form-notes li")
    assert kept.select("#run-form-notes li") == opened.select("#run-form-notes li")
    assert gone.status_code == 200


def test_the_menu_sends_the_form_along_wherever_it_stands(client: Any, page: BeautifulSoup) -> None:
    """On the form's own page and where it is shown again with its mistakes; elsewhere there is nothing to keep."""
    refused = soup_of(client.post("/runs", data=filled(page, name="")))
    kept = {"en": "recipe-form /runs/new", "zh": "recipe-form /runs/new"}

    assert choices_of(page) == kept
    assert choices_of(refused) == kept
    assert choices_of(soup_of(client.get("/runs"))) == {"en": "None None", "zh": "None None"}


def test_enter_in_a_field_still_starts_the_run(page: BeautifulSoup) -> None:
    """A browser presses a form's first button in the order of the page, whichever form it stands in."""
    buttons = [
        each
        for each in page.select("button")
        if each.get("form", "") == "recipe-form" or each.find_parent(id="recipe-form")
    ]

    first = next(each for each in buttons if each.get("type", "submit") == "submit")

    assert first.get_text(strip=True) == "Start the run"
