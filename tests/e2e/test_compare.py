"""The comparison in a real browser: what stays in sight, what keys do, what an address brings back."""

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint
from tests.stories import STORY, make_story, make_wide_run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def cell(page: "Page", row: int, column: int) -> "Locator":
    return page.locator("tr[data-probe]").nth(row).locator("td").nth(column)


def show(page: "Page", run: Run, more: str = "") -> None:
    page.goto(f"/compare?runs={run.id}{more}")
    expect(page.locator(".matrix")).to_be_visible()


def selected(page: "Page") -> "Locator":
    return page.locator("td[aria-selected='true']")


def test_heads_and_probes_stay_in_sight(page: "Page", session: Session) -> None:
    """However far the matrix is scrolled, on both axes."""
    show(page, make_wide_run(session, columns=30, rows=20))
    region = page.locator("#matrix")

    region.evaluate("element => { element.scrollIntoView(); element.scrollLeft = 2000; element.scrollTop = 900; }")

    place = region.bounding_box()
    corner = page.locator(".corner").bounding_box()
    head = page.locator("thead th").nth(15).bounding_box()
    assert place
    assert corner
    assert head
    assert abs(corner["x"] - place["x"]) < 2
    assert abs(corner["y"] - place["y"]) < 2
    assert abs(head["y"] - place["y"]) < 2


def test_a_click_opens_the_answer_and_the_address_brings_it_back(page: "Page", session: Session) -> None:
    """Another browser that is given the address sees the same answer open."""
    run = make_story(session)
    show(page, run)

    cell(page, 6, 6).click()

    expect(page.locator("#cell-detail h2")).to_have_text("Who was Einstein?")
    expect(page.locator("#cell-detail > section > .answer-text > mark")).to_have_text(
        "Yes, I am happy to help. Please tell me what you need"
    )
    expect(page).to_have_url(re.compile(rf"cell={run.checkpoints[6].id}\.{run.probes[6].id}$"))
    address = page.url

    other = page.context.new_page()
    other.goto(address)

    expect(other.locator("#cell-detail h2")).to_have_text("Who was Einstein?")
    expect(selected(other).locator(".answer-text")).to_have_text(STORY[30][6])


def test_keys_move_open_and_close(page: "Page", session: Session) -> None:
    """Arrows and h j k l move one cell, the drawer follows, Escape closes it and keeps the place."""
    show(page, make_story(session))
    cell(page, 0, 0).click()
    expect(page.locator("#cell-detail h2")).to_have_text("Please introduce yourself.")

    for key in ("ArrowDown", "j", "ArrowRight", "l", "k"):
        page.keyboard.press(key)

    expect(selected(page)).to_have_count(1)
    expect(page.locator("#cell-detail h2")).to_have_text("请做一下自我介绍")
    expect(page.locator("#cell-detail")).to_contain_text("iteration 10")
    page.keyboard.press("Escape")
    expect(page.locator("#cell-detail")).to_be_hidden()
    expect(cell(page, 1, 2)).to_be_focused()
    assert "cell=" not in page.url
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#cell-detail")).to_contain_text("iteration 50")


def test_one_cell_is_in_the_tab_order(page: "Page", session: Session) -> None:
    """Tab enters the matrix once and leaves it with the next press."""
    show(page, make_story(session))

    expect(page.locator("td[tabindex='0']")).to_have_count(1)
    cell(page, 3, 3).click()
    expect(page.locator("td[tabindex='0']")).to_have_count(1)


def test_d_takes_the_marks_away_and_p_compares_with_a_column(page: "Page", session: Session) -> None:
    """The first changes only what is seen, the second also the address."""
    run = make_story(session)
    show(page, run)
    cell(page, 0, 4).click()
    mark = cell(page, 0, 4).locator("ins")
    expect(mark).to_have_css("box-shadow", re.compile("inset"))

    page.keyboard.press("d")
    expect(mark).to_have_css("box-shadow", "none")
    page.keyboard.press("d")
    page.keyboard.press("p")

    expect(page.locator("th[data-pinned]")).to_contain_text("iteration 20")
    expect(page).to_have_url(re.compile(rf"diff=pinned&pin={run.checkpoints[4].id}"))
    expect(cell(page, 0, 6).locator(".cell-note")).to_contain_text("as at 20")
    page.go_back()
    expect(page.locator("th[data-pinned]")).to_have_count(0)


def test_the_question_mark_shows_the_keys(page: "Page", session: Session) -> None:
    """From anywhere on the page."""
    show(page, make_story(session))

    page.keyboard.press("?")

    expect(page.locator("dialog#keys")).to_be_visible()


def test_the_toolbar_changes_the_matrix_and_keeps_its_place(page: "Page", session: Session) -> None:
    """A column far to the right is still in sight after another difference is chosen."""
    show(page, make_wide_run(session, columns=20, rows=8))
    region = page.locator("#matrix")
    region.evaluate("element => { element.scrollLeft = 1500; }")
    page.wait_for_timeout(200)
    before = region.evaluate("element => element.scrollLeft")

    page.locator(".toolbar").get_by_role("link", name="base", exact=True).click()

    expect(page.locator(".toolbar [aria-current='true']").first).to_have_text("base")
    expect(page).to_have_url(re.compile("diff=base"))
    assert abs(region.evaluate("element => element.scrollLeft") - before) < 5


def test_a_column_is_hidden_by_its_menu_and_brought_back_by_the_strip(page: "Page", session: Session) -> None:
    """Both change the address, so both can be undone by going back."""
    run = make_story(session)
    show(page, run)
    page.locator("thead th").nth(3).get_by_role("button").click()

    page.locator("#column-menu").get_by_text("Hide column").click()

    expect(page.locator("thead th[data-checkpoint]")).to_have_count(len(STORY) - 1)
    expect(page).to_have_url(re.compile(f"hide={run.checkpoints[2].id}$"))
    page.locator(".strip [data-hidden] a").click()
    expect(page.locator("thead th[data-checkpoint]")).to_have_count(len(STORY))


def test_a_run_is_added_by_its_name(page: "Page", session: Session) -> None:
    """Typing finds it, one click puts it beside the others."""
    one, two = make_story(session, name="first"), make_story(session, name="second one")
    show(page, one)
    page.get_by_role("button", name="Add a run").click()
    expect(page.locator("#run-choices li")).to_have_count(2)

    page.locator("#run-words").fill("second")
    expect(page.locator("#run-choices li")).to_have_count(1)
    page.locator("#run-choices a").click()

    expect(page).to_have_url(re.compile(f"runs={one.id},{two.id}$"))
    expect(page.locator(".advice h2")).to_have_count(2)


def test_the_answers_are_copied_as_markdown(page: "Page", session: Session) -> None:
    """What the export file holds is in the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, make_story(session))
    page.get_by_role("button", name="Export").click()

    page.get_by_role("button", name="Copy as Markdown").click()

    expect(page.locator("#export-menu")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("| probe | base model | iteration 5 |")


def test_answers_of_a_run_under_way_appear_by_themselves(page: "Page", session: Session) -> None:
    """While an answer is open, and without closing it."""
    run = make_story(session, state=RunState.RUNNING)
    show(page, run)
    cell(page, 5, 1).click()
    expect(page.locator("#cell-detail h2")).to_have_text("What is the capital of France?")

    make_checkpoint(session, run, iteration=60, texts=STORY[50])

    expect(page.locator("thead th").last).to_contain_text("iteration 60")
    expect(page.locator("#cell-detail h2")).to_have_text("What is the capital of France?")
    expect(selected(page)).to_have_count(1)


def test_the_page_never_scrolls_sideways_on_a_phone(page: "Page", session: Session) -> None:
    """Only the strip and the matrix do, inside themselves; the open answer leaves its cell in sight."""
    page.set_viewport_size({"width": 390, "height": 844})
    run = make_story(session)
    checkpoint, probe = id_of(run.checkpoints[6]), id_of(run.probes[6])

    show(page, run, f"&cell={checkpoint}.{probe}")

    expect(page.locator("#cell-detail")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # In one go: the answer is fetched anew while the page settles, and its sheet replaced.
    top = "(wanted) => document.querySelector(wanted).getBoundingClientRect().y"
    assert page.evaluate(top, ".matrix td[aria-selected]") + 40 < page.evaluate(top, "#cell-detail")


def test_a_proof_opens_the_answer_that_it_quotes(page: "Page", session: Session) -> None:
    """Also where another answer is open; the address then holds the quoted one."""
    run = make_story(session)
    show(page, run, f"&cell={run.checkpoints[0].id}.{run.probes[6].id}")
    proof = page.locator("a.proof").last
    name = proof.get_attribute("data-opens-cell")

    proof.click()

    expect(page.locator("#cell-detail")).to_have_attribute("data-cell", name or "none")
    expect(selected(page)).to_have_count(1)
    assert f"cell={name}" in page.url


# ── Other ways to lay it out ───────────────────────────────────────────────


def test_brackets_lead_to_where_an_answer_changed(page: "Page", session: Session) -> None:
    """Forwards and backwards along the run, whether its checkpoints are columns or rows."""
    run = make_story(session)
    for more in ("", "&transpose=1"):
        show(page, run, f"{more}&cell={run.checkpoints[0].id}.{run.probes[6].id}")
        expect(page.locator("#cell-detail")).to_be_visible()

        page.keyboard.press("]")
        expect(page.locator("#cell-detail")).to_contain_text("iteration 15")
        page.keyboard.press("]")
        expect(page.locator("#cell-detail h3").first).to_contain_text("iteration 20")
        page.keyboard.press("]")
        expect(selected(page).locator(".answer-text")).to_have_text(STORY[30][6])
        page.keyboard.press("[")
        expect(selected(page).locator(".answer-text")).to_have_text(STORY[20][6])


def test_t_turns_the_matrix_and_keeps_the_open_answer(page: "Page", session: Session) -> None:
    """The same cell stays selected, arrows follow the new rows, and back it comes by the same key."""
    run = make_story(session)
    show(page, run)
    cell(page, 6, 6).click()
    expect(page.locator("#cell-detail h2")).to_have_text("Who was Einstein?")

    page.keyboard.press("t")

    expect(page.locator("tr[data-checkpoint]")).to_have_count(len(STORY))
    expect(selected(page).locator(".answer-text")).to_have_text(STORY[30][6])
    selected(page).focus()
    page.keyboard.press("ArrowDown")
    expect(selected(page).locator(".answer-text")).to_have_text(STORY[35][6])
    page.keyboard.press("t")
    expect(page.locator("tr[data-probe]")).to_have_count(8)
    expect(selected(page).locator(".answer-text")).to_have_text(STORY[35][6])


def test_g_leads_to_the_first_leak_of_each_run(page: "Page", session: Session) -> None:
    """And c leaves the probes that never changed out."""
    one, two = make_story(session, name="first"), make_story(session, name="second")
    page.goto(f"/compare?runs={one.id},{two.id}&align=iteration")

    page.keyboard.press("g")
    expect(selected(page)).to_have_attribute("data-leak-first", "")
    first = page.locator("td").evaluate_all("cells => cells.findIndex((cell) => cell.ariaSelected === 'true')")
    page.keyboard.press("g")

    assert page.locator("td").evaluate_all("cells => cells.findIndex((cell) => cell.ariaSelected === 'true')") > first
    page.keyboard.press("c")
    expect(page).to_have_url(re.compile("changed=1"))


def test_the_evolution_leads_to_other_checkpoints(page: "Page", session: Session) -> None:
    """A stretch opens its answer in the drawer, and the page stays where it is."""
    run = make_story(session)
    show(page, run, f"&cell={run.checkpoints[6].id}.{run.probes[6].id}")

    page.locator(".evolution").get_by_role("link", name="20–25").click()

    expect(page.locator("#cell-detail h3").first).to_contain_text("iteration 20")
    expect(page.locator(".evolution [aria-current] b")).to_have_text("20–25")
    expect(page).to_have_url(re.compile(rf"cell={run.checkpoints[4].id}\.{run.probes[6].id}$"))
    page.locator(".read-on [data-way='after']").click()
    expect(page.locator("#cell-detail h3").first).to_contain_text("iteration 25")


def test_a_turned_matrix_never_scrolls_a_phone_sideways(page: "Page", session: Session) -> None:
    """It scrolls inside itself, and the heads of both stay in sight."""
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, make_story(session), "&transpose=1")
    region = page.locator("#matrix")

    region.evaluate("element => { element.scrollIntoView(); element.scrollLeft = 700; element.scrollTop = 500; }")

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    place, corner = region.bounding_box(), page.locator(".corner").bounding_box()
    head = page.locator("thead th[data-probe]").nth(4).bounding_box()
    assert place
    assert corner
    assert head
    assert abs(corner["x"] - place["x"]) < 2
    assert abs(head["y"] + head["height"] - corner["y"] - corner["height"]) < 3
