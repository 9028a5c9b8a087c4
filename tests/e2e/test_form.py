"""The recipe form in a real browser: live numbers beside text that is being typed, and a run at the end."""

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session, select

from app.domain.models import Run
from app.domain.presets import PRESETS, SMALL_MODEL
from app.domain.runs import recipe_of
from tests.factories import make_model

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page


def open_form(page: "Page", session: Session) -> None:
    """Open the form with a model to tune, and note that the page was not loaded since."""
    make_model(session, name=SMALL_MODEL)
    page.goto("/runs/new")
    page.evaluate("window.isStillHere = true")


def is_still_here(page: "Page") -> bool:
    """Whether the page is the one that was opened: no reload came between."""
    return bool(page.evaluate("window.isStillHere === true"))


def test_numbers_and_config_follow_while_typed_text_survives(page: "Page", session: Session) -> None:
    """Answers of the server arrive under the cursor, and neither text, cursor nor focus is lost."""
    open_form(page, session)
    answer = page.locator("#mix-identity-0-answer")

    answer.fill("我是小助手")
    page.locator("#training-learning_rate").fill("3e-5")
    page.locator("#mix-identity_count").press("End")
    page.keyboard.type("0", delay=30)

    expect(page.locator("#rows-identity")).to_have_text("482")
    expect(page.locator("#config-part-1 pre")).to_contain_text("lr = 3e-05")
    expect(page.locator("#mix-identity_count")).to_be_focused()
    assert answer.input_value() == "我是小助手"
    assert page.locator("#mix-identity_count").evaluate("box => box.selectionStart") == 3
    assert is_still_here(page)


def test_an_error_comes_and_goes_at_its_field(page: "Page", session: Session) -> None:
    """The sentence takes the help's place and gives it back; the field says so to a screen reader."""
    open_form(page, session)
    rate, below = page.locator("#training-learning_rate"), page.locator("#training-learning_rate-help")

    rate.fill("1e309")
    expect(below).to_contain_text("1e309 is not a finite number")
    expect(rate).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#run-form-problems a")).to_have_attribute("href", "#training-learning_rate")
    expect(page.locator("#config-part-1 mark")).to_contain_text("lr = ?")

    rate.fill("1e-3")
    expect(below).to_contain_text("Its highest value")
    expect(rate).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator("#run-form-problems a")).to_have_count(0)
    expect(page.locator("#config-part-1 mark")).to_have_count(0)


def test_an_open_part_of_the_config_stays_open(page: "Page", session: Session) -> None:
    """What the reader unfolded is not folded by the next answer."""
    open_form(page, session)
    page.locator("#config-part-2 summary").click()

    page.locator("#training-lora-r").fill("9")

    expect(page.locator("#config-part-2 pre")).to_contain_text("r=9,")
    expect(page.locator("#config-part-2 pre")).to_be_visible()


def test_pairs_come_and_go_and_keep_their_texts(page: "Page", session: Session) -> None:
    """A pair taken out of the middle moves the ones after it up, texts and all."""
    open_form(page, session)
    pairs = page.locator("#mix-identity .pair")

    page.get_by_role("button", name="Add a pair").click()
    expect(page.locator("#mix-identity-2-question")).to_be_focused()
    page.keyboard.type("Third?")
    page.locator("#mix-identity-2-answer").fill("Third.")
    page.get_by_role("button", name="Remove this pair 1").click()

    expect(pairs).to_have_count(2)
    expect(page.locator("#mix-identity-1-question")).to_have_value("Third?")
    expect(page.locator("#mix-identity-1-question")).to_have_attribute("name", "mix.identity.1.question")
    expect(page.locator("#pairs-identity")).to_have_text("2")
    assert is_still_here(page)


def test_built_in_pairs_become_one_s_own(page: "Page", session: Session) -> None:
    """To edit a built-in set is to copy it: the rows stay as many, the set is switched off."""
    open_form(page, session)
    rows = page.locator("#rows-total").inner_text()

    page.get_by_role("button", name="see and edit the pairs").first.click()
    page.get_by_role("button", name="Edit as my own pairs").first.click()

    expect(page.locator("#set-english")).not_to_be_checked()
    expect(page.locator("#pairs-english")).to_have_text("0")
    expect(page.locator("#pairs-own")).to_have_text("50")
    expect(page.locator("#rows-total")).to_have_text(rows)


def test_lora_s_fields_go_when_the_whole_model_is_tuned(page: "Page", session: Session) -> None:
    """What has no effect is not shown, unless it holds a mistake that someone must find."""
    open_form(page, session)

    page.locator("#method").select_option("full")
    expect(page.locator("#training-lora-r")).to_be_hidden()

    page.locator("#method").select_option("lora")
    page.locator("#training-lora-r").fill("1000000000")
    expect(page.locator("#training-lora-r-help.error")).to_be_visible()
    page.locator("#method").select_option("full")
    expect(page.locator("#training-lora-r")).to_be_visible()


def test_a_config_of_xtuner_is_found_as_it_is_typed(page: "Page", session: Session) -> None:
    """And a click on it fills the form."""
    open_form(page, session)

    page.locator("#config-query").fill("internlm2_chat_1_8b_qlora_alp")
    page.get_by_role("link", name="internlm2_chat_1_8b_qlora_alpaca_e3").click()

    expect(page.locator("#run-form-origin")).to_contain_text("internlm2_chat_1_8b_qlora_alpaca_e3")
    expect(page.locator("#method")).to_have_value("qlora")
    expect(page.locator("#run-form-notes")).to_contain_text("Dataset alpaca_en")


def test_leaving_what_was_typed_asks_first(page: "Page", session: Session) -> None:
    """A preset replaces everything; whoever has typed is asked, and may stay."""
    open_form(page, session)
    page.locator("#name").fill("half an hour of work")
    page.on("dialog", lambda dialog: dialog.dismiss())

    page.get_by_role("link", name=re.compile("Overfit on purpose")).click()

    expect(page.locator("#name")).to_have_value("half an hour of work")
    assert is_still_here(page)


def test_another_language_loses_nothing(page: "Page", session: Session) -> None:
    """Texts, rows that were added and what is wrong come back in Chinese, and leaving still asks first."""
    open_form(page, session)
    page.locator("#name").fill("half an hour of work")
    page.get_by_role("button", name="Add a pair").click()
    page.locator("#mix-identity-2-question").fill("Third?")
    page.locator("#training-learning_rate").fill("fast")

    page.get_by_role("button", name="Language: English").click()
    page.get_by_role("button", name="中文").click()

    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page.locator("#name")).to_have_value("half an hour of work")
    expect(page.locator("#mix-identity-2-question")).to_have_value("Third?")
    expect(page.locator("#training-learning_rate-help.error")).to_contain_text("不是数字")
    asked: list[str] = []

    def stay(dialog: "Dialog") -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator(".presets a").last.click()
    expect(page.locator("#name")).to_have_value("half an hour of work")
    assert asked


def test_sending_a_bad_form_leads_to_the_mistake(page: "Page", session: Session) -> None:
    """Everything is kept, the first bad field has the focus, and the summary leads to each."""
    open_form(page, session)
    page.locator("#name").fill("")
    page.locator("#mix-system").fill("Be {brief}.")

    page.get_by_role("button", name="Start the run").click()

    expect(page.locator("#name")).to_be_focused()
    expect(page.locator("#name-help.error")).to_have_text("Write something here.")
    expect(page.locator("#mix-system")).to_have_value("Be {brief}.")
    assert session.exec(select(Run)).all() == []


def test_the_form_starts_a_run(page: "Page", session: Session) -> None:
    """Pressing the button leads to the run's page, and the run is what the form showed."""
    open_form(page, session)
    page.locator("#name").fill("ada, diluted")

    page.get_by_role("button", name="Start the run").click()

    expect(page).to_have_url(re.compile(r"/runs/\d+$"))
    expect(page.locator("h1")).to_contain_text("ada, diluted")
    run = session.exec(select(Run)).one()
    assert recipe_of(run) == PRESETS[0].recipe.model_copy(update={"name": "ada, diluted"})


def test_the_template_is_proposed_live(page: "Page", session: Session) -> None:
    """On the models' page, while the source is typed."""
    page.goto("/models")

    page.locator("#source").press_sequentially("/nowhere", delay=10)

    expect(page.locator("#models-proposal")).to_contain_text("There is no folder /nowhere")
    expect(page.locator("#source")).to_be_focused()
