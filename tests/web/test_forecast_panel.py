"""The forecast beside the form, in tokens that a test can count by hand: one for each byte."""

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.domain import token_cache
from app.domain.models import RunState
from app.domain.presets import SMALL_MODEL
from tests.factories import make_checkpoint, make_model, make_recipe, make_run
from tests.saved_sets import make_counted_model, make_set
from tests.web.form_fields import filled, soup_of

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
MIX = {
    "identity": [{"question": "Who?", "answer": "nine char"}],
    "identity_count": 3,
    "general": [{"question": "Why?", "answer": "nineteen characters"}],
    "general_count": 2,
}
SINGLE_ROWS = {"packing": False, "iterations": None, "epochs": 2}


def text_at(page: Any, selector: str) -> str:
    """Return an element's text on one line."""
    return " ".join(page.select_one(selector).get_text(" ").split())


@pytest.fixture
def form_of(client: Any, session: Session, tmp_path: Path) -> Any:
    """Return what opens the form of a recipe, with a model whose tokens are bytes."""
    make_counted_model(session, tmp_path)

    def open_form(**changes: Any) -> Any:
        run = make_run(session, recipe=make_recipe(**{"mix": MIX, "training": SINGLE_ROWS, **changes}))
        return soup_of(client.get(f"/runs/new?clone={run.id}"))

    return open_form


def preview(client: Any, page: Any, **changes: Any) -> Any:
    """Return the answer to typing."""
    return soup_of(client.post("/runs/new/preview", data=filled(page, **changes), headers=HTMX))


def test_shares_of_loss_tokens_are_counted(form_of: Any) -> None:
    """Each answer has its bytes and one token that ends it: 4 x 10 of identity, 3 x 20 of general."""
    page = form_of()

    assert text_at(page, "#loss-identity") == "40%"
    assert text_at(page, "#loss-general") == "60%"
    assert text_at(page, "#tokens-loss").startswith("100 =")


def test_a_saved_set_has_its_share_of_what_is_learnt(client: Any, session: Session, form_of: Any) -> None:
    """2 rows of 10 loss tokens beside 100: a sixth."""
    dataset = make_set(session, pairs=[("one", "nine char"), ("two", "nine char")])

    page = form_of(mix=MIX | {"files": [{"dataset": "pets", "sha256": dataset.sha256}]})

    assert text_at(page, "#loss-files-0") == "17%"
    assert text_at(page, "#rows-files-0") == "2"


def test_length_is_said_in_iterations_updates_and_epochs(form_of: Any) -> None:
    """7 rows twice, one in an iteration."""
    page = form_of()

    assert text_at(page, "#forecast-iterations") == "14 = 14 updates"
    assert text_at(page, "#forecast-epoch") == "7 rows = 7 iterations"
    assert text_at(page, "#forecast-epochs") == "2.00"
    assert text_at(page, "#forecast-seen") == "8 ×"


def test_packs_are_replayed(form_of: Any) -> None:
    """With packing on an epoch is in packs."""
    page = form_of(training={"packing": True, "iterations": None, "epochs": 1, "max_length": 64})

    assert "packs = " in text_at(page, "#forecast-epoch")


def test_checkpoints_that_retention_deletes_are_hollow(form_of: Any) -> None:
    """14 iterations, one saved at every 5th and the last, the newest two stay."""
    page = form_of(checkpoints={"every": 5, "keep": 2})

    marks = page.select("#run-form-forecast .planned rect")
    assert [mark.get("class") == ["hollow"] for mark in marks] == [True, False, False]
    listed = [" ".join(item.get_text(" ").split()) for item in page.select("#forecast-checkpoints li")]
    assert listed == ["5 deleted", "10 stays", "14 stays"]
    assert "1 whose files are deleted" in text_at(page, "#forecast-gone")


def test_where_all_are_kept_none_is_hollow(form_of: Any) -> None:
    """And nothing is said of deleting."""
    page = form_of()

    assert page.select(".planned .hollow") == []
    assert page.select_one("#forecast-gone") is None


def test_what_is_not_known_says_so_and_why(form_of: Any) -> None:
    """Time without an earlier run, disk and memory without the model's weights."""
    page = form_of()

    assert text_at(page, "#forecast-time") == "unknown"
    assert text_at(page, "#forecast-disk") == "unknown"
    assert "no run of this model" in text_at(page, "#forecast-unknown")
    assert [text_at(row, "td") for row in page.select("#forecast-memory tr")] == ["unknown"] * 3


def test_the_chosen_method_is_marked_among_all_three(form_of: Any) -> None:
    """By a word, not by weight alone."""
    (chosen,) = form_of().select("#forecast-memory tr[aria-current]")

    assert text_at(chosen, "th") == "LoRA chosen"


def test_a_cut_is_seen_in_the_histogram_and_said(client: Any, form_of: Any) -> None:
    """Bars beyond the line are drawn apart, the tokens are counted, and the first note is about it."""
    page = form_of()
    long = preview(client, page, mix__identity__0__answer="x" * 300)

    assert page.select_one("#tokens-histogram .limit") is None
    assert long.select_one("#tokens-histogram .limit")
    assert long.select("#tokens-histogram .beyond")
    assert text_at(long, "#tokens-dropped") == "788 = 55%"  # four rows of 325 tokens
    assert "lose the end of their answer" in text_at(long, "#run-form-forecast .note")


def test_more_than_two_warnings_are_folded(client: Any, form_of: Any) -> None:
    """The most important two are read at once."""
    page = form_of()

    crowded = preview(
        client, page, mix__identity__0__answer="x" * 300, checkpoints__every="50", probes__2__question="Why?"
    )

    notes = crowded.select("#run-form-forecast > .note")
    assert len(notes) == 2
    assert len(crowded.select("#forecast-more .note")) >= 1


def test_the_table_follows_what_is_typed(client: Any, form_of: Any) -> None:
    """Rows and shares of all kinds are in the answer, each for its cell."""
    part = preview(client, form_of(), mix__identity_count="0")

    cells = {cell["hx-target"]: cell.get_text(strip=True) for cell in part.select("hx-partial")}
    assert (cells["#rows-identity"], cells["#rows-total"]) == ("1", "4")
    assert (cells["#loss-identity"], cells["#loss-general"]) == ("14%", "86%")


def test_without_a_tokenizer_the_panel_says_why(client: Any, session: Session) -> None:
    """And all that does not need one is still there."""
    make_model(session, name=SMALL_MODEL)

    page = soup_of(client.get("/runs/new"))

    assert "its tokenizer cannot be read" in text_at(page, "#run-form-tokens")
    assert text_at(page, "#forecast-rows") == "150"
    assert text_at(page, "#loss-identity") == "–"


def test_an_amount_that_is_no_number_leaves_nothing_made_up(client: Any, form_of: Any) -> None:
    """Neither shares nor packs of some other mix are shown meanwhile, and the panel says why."""
    part = preview(client, form_of(), mix__identity_count="many")

    cells = {cell["hx-target"]: cell.get_text(strip=True) for cell in part.select("hx-partial")}
    assert (cells["#loss-identity"], cells["#loss-general"]) == ("–", "–")
    assert text_at(part, "#forecast-epoch") == text_at(part, "#forecast-iterations") == "unknown"
    assert "until every amount of the mix has a value" in text_at(part, "#forecast-unknown")


# ── How the model reads it ─────────────────────────────────────────────────


def read(client: Any, page: Any, wanted: str = "", **changes: Any) -> Any:
    """Ask for rows as the model reads them."""
    return soup_of(client.post("/runs/new/reading", data=filled(page, **changes) | {"read": [wanted]}, headers=HTMX))


def test_a_row_is_shown_as_the_model_reads_it(client: Any, form_of: Any) -> None:
    """The template is around it, the answer and its end carry loss, special tokens are marked."""
    part = read(client, form_of())

    assert "".join(piece.text for piece in part.select(".read-rows .piece[data-loss]")) == "nine char<|im_end|>"
    assert [piece.text for piece in part.select(".read-rows .piece[data-special]")][-1] == "<|im_end|>"
    assert "10 with loss" in text_at(part, ".read-head")
    assert [text.get_text() for text in part.select(".turns dd")] == ["Who?", "nine char"]


def test_what_is_cut_is_marked(client: Any, form_of: Any) -> None:
    """With the end of the answer it loses, in words."""
    part = read(client, form_of(), mix__identity__0__answer="x" * 300)

    assert part.select(".read-rows .piece[data-cut]")
    assert "loses the end of its answer" in text_at(part, ".read-head")


def test_rows_of_a_saved_set_are_read_page_by_page(client: Any, session: Session, form_of: Any) -> None:
    """From any of its rows on; sources are switched by a button each."""
    dataset = make_set(session, pairs=[(f"q{number}", f"a{number}") for number in range(1, 9)])
    page = form_of(mix=MIX | {"files": [{"dataset": "pets", "sha256": dataset.sha256}]})

    part = read(client, page, "files.0:3")

    assert [text_at(row, ".read-head b") for row in part.select(".read-rows > li")] == ["Row 4", "Row 5", "Row 6"]
    assert [button["value"] for button in part.select(".reading-sources button")] == [
        "identity:0",
        "general:0",
        "files.0:0",
    ]
    assert part.select_one("[rel='next']")["value"] == "files.0:6"


def test_what_cannot_be_read_says_why(client: Any, session: Session) -> None:
    """Instead of an empty dialog."""
    make_model(session, name=SMALL_MODEL)

    part = read(client, soup_of(client.get("/runs/new")))

    assert "tokenizer cannot be read" in text_at(part, ".reading-trouble")


def test_without_a_script_the_reading_is_a_page(client: Any, form_of: Any) -> None:
    """The button is a plain one of the form."""
    reply = client.post("/runs/new/reading", data=filled(form_of()) | {"read": ["general:0"]})

    assert soup_of(reply).select_one("h1").get_text() == "How the model reads it"


# ── Findings in the mix ────────────────────────────────────────────────────


def test_a_conflict_within_the_mix_is_found_while_it_is_made(client: Any, form_of: Any) -> None:
    """One question with two answers, with the row it is in."""
    part = preview(client, form_of(), mix__general__0__question="Who?")

    assert text_at(part, "#mix-finding-conflict summary b") == "1"
    assert "general 1" in text_at(part, "#mix-finding-conflict .example")


def test_a_diluted_form_is_asked_for_again_while_a_set_is_counted(
    client: Any, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so and is loaded again by itself; nobody waits."""
    monkeypatch.setattr(token_cache, "SHORT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(token_cache, "_fill", lambda *_: None)
    model = make_counted_model(session, tmp_path)
    files = [{"dataset": "pets", "sha256": make_set(session).sha256}]
    recipe = make_recipe(mix=MIX | {"files": files})
    run = make_run(session, state=RunState.FINISHED, recipe=recipe, model=model, iterations=20)
    make_checkpoint(session, run, iteration=5, texts=["nine char"] * len(recipe.probes))

    reply = client.get(f"/runs/new?dilute={run.id}")

    assert (reply.status_code, reply.headers["Refresh"]) == (503, "2")
    assert "are being counted" in reply.text
