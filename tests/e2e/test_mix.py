"""Data in a real browser: a file is dropped in, read, mixed, weighed with a slider, and trained on."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from sqlmodel import Session, select

from app.domain.models import Dataset, Run
from app.domain.presets import SMALL_MODEL
from app.domain.runs import recipe_of
from tests.saved_sets import make_counted_model, make_set

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

WORKER_MS = 30_000  # until a worker has heard of a run, on a busy machine
CHAT = [
    {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": f"Question {number}?"},
            {"role": "assistant", "content": f"Answer {number}."},
        ]
    }
    for number in range(1, 31)
]


def chat_file(name: str = "support.json") -> "FilePayload":
    """Return a file of conversations in OpenAI's form."""
    return {"name": name, "mimeType": "application/json", "buffer": json.dumps(CHAT).encode()}


def open_form(page: "Page", session: Session, folder: Path) -> None:
    """Open the form with a model whose tokens are counted, and note that the page was not loaded since."""
    make_counted_model(session, folder, name=SMALL_MODEL)
    page.goto("/runs/new")
    page.evaluate("window.isStillHere = true")


def is_still_here(page: "Page") -> bool:
    """Whether the page is the one that was opened: no reload came between."""
    return bool(page.evaluate("window.isStillHere === true"))


def test_a_file_is_uploaded_and_its_rows_are_read(page: "Page") -> None:
    """Its page shows the turns, then by itself what was found, and any row by its number."""
    page.goto("/datasets")
    page.set_input_files("#upload-file", chat_file())
    expect(page.locator("[data-drop-name]")).to_have_text("support.json")
    page.get_by_role("button", name="Upload").click()

    expect(page.locator("h1")).to_have_text("support")
    expect(page.locator(".row-list > li").first.locator("dd")).to_have_text(["Be kind.", "Question 1?", "Answer 1."])
    expect(page.locator("#datasets-findings")).to_contain_text("30 rows searched")
    page.get_by_label("Go to row").fill("21")
    page.keyboard.press("Enter")
    expect(page.locator(".row-list > li").first).to_have_id("row-21")


def test_a_bad_file_is_refused_and_nothing_is_lost(page: "Page") -> None:
    """The sentence comes without a reload; file and name are still there, and a good file goes through after it."""
    page.goto("/datasets")
    page.evaluate("window.isStillHere = true")
    page.set_input_files("#upload-file", {"name": "bad.jsonl", "mimeType": "", "buffer": b'{"a": 1}\n'})
    page.locator("#upload-name").fill("mine")
    page.get_by_role("button", name="Upload").click()

    expect(page.locator("#upload-file-help.error")).to_contain_text("It has “a”")
    expect(page.locator("[data-drop-name]")).to_have_text("bad.jsonl")
    expect(page.locator("#upload-name")).to_have_value("mine")
    expect(page.locator("#upload-file")).to_be_focused()
    assert is_still_here(page)

    page.set_input_files("#upload-file", chat_file())
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text("mine")


def test_a_file_is_dropped_on_the_form(page: "Page") -> None:
    """What is dropped is what would be chosen."""
    page.goto("/datasets")
    drop = page.evaluate_handle(
        "() => { const given = new DataTransfer();"
        ' given.items.add(new File([\'{"question": "a?", "answer": "b"}\\n\'], \'dropped.jsonl\')); return given; }'
    )

    page.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": drop})

    expect(page.locator("[data-drop-name]")).to_have_text("dropped.jsonl")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text("dropped")


def test_a_file_uploaded_in_the_form_is_in_the_mix(page: "Page", session: Session, tmp_path: Path) -> None:
    """Without leaving: what was typed stays, the forecast follows, and copies of it too."""
    open_form(page, session, tmp_path)
    page.locator("#name").fill("half typed")

    page.get_by_role("button", name="Upload a file").click()
    page.set_input_files("#upload-file", chat_file())
    page.locator("#datasets-upload [type='submit']").click()

    expect(page.locator(".mix-file th a")).to_have_text("support")
    expect(page.locator("#run-form-upload")).to_be_hidden()
    expect(page.locator("#forecast-rows")).to_have_text("180")
    page.locator("[name='mix.files.0.count']").fill("2")
    expect(page.locator("#forecast-rows")).to_have_text("240")
    expect(page.locator("#name")).to_have_value("half typed")
    assert is_still_here(page)


def test_a_saved_set_is_found_and_given_a_share(page: "Page", session: Session, tmp_path: Path) -> None:
    """Searched by name, added by one click; the switch changes the box, and rows follow the share."""
    make_set(session, name="dogs")
    make_set(session, name="cats", pairs=[("a", "b")])
    open_form(page, session, tmp_path)

    page.get_by_label("Search sets").fill("dog")
    expect(page.locator(".found-sets li")).to_have_count(1)
    page.get_by_role("button", name="dogs").click()
    page.get_by_label("What is given for dogs").select_option("share")
    expect(page.get_by_label("Copies of dogs")).to_be_hidden()
    page.get_by_label("Share of dogs in percent").fill("40")

    expect(page.locator("#share-files-0")).to_have_text("40%")
    expect(page.locator("#rows-files-0")).to_have_text("100")
    assert is_still_here(page)


def test_enter_in_a_field_presses_no_button_of_the_mix(page: "Page", session: Session, tmp_path: Path) -> None:
    """In the search it does nothing, in a field it sends the form; a bad one comes back with the mix as it was."""
    open_form(page, session, tmp_path)
    page.get_by_label("Search sets").press("Enter")
    assert is_still_here(page)

    page.locator("#name").fill("")
    page.locator("#name").press("Enter")

    expect(page.locator("#name-help.error")).to_be_visible()
    expect(page.locator("#mix-identity_count")).to_have_value("24")


def test_the_slider_moves_n_and_m_by_keyboard(page: "Page", session: Session, tmp_path: Path) -> None:
    """Each step asks once it rests; the amounts, the table and the forecast follow, and the focus stays."""
    open_form(page, session, tmp_path)
    slider, before = page.locator("#identity-loss-share"), page.locator("#forecast-seen").inner_text()

    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")

    wanted = int(slider.input_value())
    expect(page.locator("#loss-identity")).to_have_text(re.compile(f"^({wanted - 1}|{wanted}|{wanted + 1})%$"))
    expect(page.locator("#run-form-dilution-words")).to_contain_text("n 24 →")
    expect(page.locator("#forecast-seen")).not_to_have_text(before)
    expect(slider).to_be_focused()
    assert int(page.locator("#mix-identity_count").input_value()) < 24
    assert slider.input_value() == str(wanted)


def test_rows_are_read_as_the_model_does(page: "Page", session: Session, tmp_path: Path) -> None:
    """In a dialog over the form, of any source, page by page."""
    open_form(page, session, tmp_path)

    page.get_by_role("button", name="How the model reads it").click()
    dialog = page.locator("#run-form-reading-dialog")
    expect(dialog.locator(".read-rows > li")).to_have_count(2)
    expect(dialog.locator(".piece[data-special]").nth(1)).to_be_visible()
    dialog.get_by_role("button", name="General 50").click()
    expect(dialog.locator(".pager")).to_contain_text("1 to 3 of 50")
    dialog.get_by_role("button", name="Next").click()

    expect(dialog.locator(".read-head b").first).to_have_text("Row 4")
    assert is_still_here(page)


def test_variables_come_and_go(page: "Page", session: Session, tmp_path: Path) -> None:
    """They fill the identity as the model reads it."""
    open_form(page, session, tmp_path)

    page.get_by_role("button", name="Add a variable").click()
    page.keyboard.type("maker")
    page.keyboard.press("Tab")
    page.keyboard.type("Temper")
    page.locator("#mix-identity-0-answer").fill("I am made by {maker}.")
    page.get_by_role("button", name="How the model reads it").click()

    expect(page.locator("#run-form-reading .turn-answer").first).to_have_text("I am made by Temper.")


@pytest.mark.usefixtures("live_worker")
def test_a_run_is_trained_on_a_file_of_one_s_own(page: "Page", session: Session, tmp_path: Path) -> None:
    """From the page of the set to a finished run whose rows can be taken away."""
    make_counted_model(session, tmp_path, name=SMALL_MODEL)
    page.goto("/datasets")
    page.set_input_files("#upload-file", chat_file())
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("link", name="Use in a new run").click()
    page.locator("#name").fill("on my own file")
    page.locator('[name="training.length"]').fill("4")
    page.locator('[name="checkpoints.every"]').fill("2")
    page.get_by_role("button", name="Start the run").click()

    expect(page.locator(".page-head .state")).to_have_text("finished", timeout=WORKER_MS)

    dataset = session.exec(select(Dataset)).one()
    (file,) = recipe_of(session.exec(select(Run)).one()).mix.files
    assert file.sha256 == dataset.sha256
    expect(page.locator("#run-data")).to_contain_text("180 rows")
    with page.expect_download() as download:
        page.locator("#run-data a").click()
    rows = Path(download.value.path()).read_text("utf-8").splitlines()
    assert len(rows) == 180
    first_block = rows[: 2 + 50 + 30]  # each row of each source once, the saved set's last
    assert json.loads(first_block[-1])["conversation"][0]["input"] == "Question 30?"


def test_a_mix_of_one_s_own_is_replaced_only_when_asked(page: "Page", session: Session, tmp_path: Path) -> None:
    """In place, without a reload; kept, it stands as it was."""
    open_form(page, session, tmp_path)
    page.fill("#mix-system", "Be brief.")
    page.get_by_role("button", name="The tutorial's mix").click()

    question = page.get_by_role("alert").filter(has_text="Replace your mix?")
    question.get_by_role("button", name="Keep mine").click()
    expect(question).to_have_count(0)
    expect(page.locator("#mix-system")).to_have_value("Be brief.")

    page.get_by_role("button", name="The tutorial's mix").click()
    question.get_by_role("button", name="Replace it").click()
    expect(page.locator("#rows-total")).to_have_text("12,003")
    expect(page.locator("#mix-system")).to_have_value("")
    assert is_still_here(page)


def test_the_slider_stays_in_hand_when_a_field_was_just_left(page: "Page", session: Session, tmp_path: Path) -> None:
    """What the field asked for is answered while the slider moves, and must not put it back."""
    open_form(page, session, tmp_path)
    slider = page.locator("#identity-loss-share")
    slider.scroll_into_view_if_needed()
    page.locator("#mix-general_count").fill("2")
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    before = int(slider.input_value())

    page.mouse.move(box["x"] + box["width"] * before / 100, middle)
    page.mouse.down()
    with page.expect_response(re.compile("/runs/new/preview")):
        page.mouse.move(box["x"] + box["width"] * 0.15, middle, steps=4)
    page.mouse.up()

    expect(page.locator("#run-form-dilution-words")).to_contain_text("→")
    wanted = int(slider.input_value())
    assert wanted < before - 10
    expect(page.locator("#loss-identity")).to_have_text(re.compile(f"^({wanted - 1}|{wanted}|{wanted + 1})%$"))
