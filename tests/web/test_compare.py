"""The comparison page, as a browser without scripts gets it."""

import csv
import io
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from sqlmodel import Session

from app.domain.columns import utc_now
from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_recipe, make_run
from tests.stories import STORY, make_story, make_wide_run

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
NASTY = "<script>alert(1)</script>\"'&<b>"


def soup_of(reply: Any) -> BeautifulSoup:
    assert reply.status_code == 200, reply.text[:500]
    return BeautifulSoup(reply.text, "html.parser")


def texts(found: BeautifulSoup | Tag, selector: str) -> list[str]:
    return [" ".join(each.get_text(" ").split()) for each in found.select(selector)]


def cell_at(page: BeautifulSoup, row: int, column: int) -> Tag:
    return page.select("tr[data-probe]")[row].select("td")[column]


def nasty_run(session: Session) -> Run:
    probes = [{"question": f"Who? {NASTY}", "group": "identity"}, {"question": "مرحبا", "group": "general"}]
    run = make_run(session, recipe=make_recipe(name=f"n {NASTY}", probes=probes), state=RunState.FINISHED, iterations=5)
    make_checkpoint(session, run, iteration=0, texts=[f"base {NASTY}", "لا"])
    make_checkpoint(session, run, iteration=5, texts=[f"new {NASTY}\n\n  two", ""], deleted_at=utc_now())
    return run


# ── Choosing ───────────────────────────────────────────────────────────────


def test_without_runs_the_page_offers_to_start_one(client: Any) -> None:
    """The empty page has one action."""
    page = soup_of(client.get("/compare"))

    assert page.select_one(".empty a")["href"] == "/runs/new"


def test_without_a_choice_the_newest_runs_are_proposed(client: Any, session: Session) -> None:
    """Each can be opened alone, or ticked to stand beside others."""
    first, second = make_story(session, name="first"), make_story(session, name="second")

    page = soup_of(client.get("/compare"))

    assert texts(page, ".run-choices b") == [f"{second.id} second", f"{first.id} first"]
    assert page.select_one(f"input[name=runs][value='{first.id}']") is not None


def test_ticked_runs_give_a_short_address(client: Any, session: Session) -> None:
    """A form repeats its names; the address that is shared does not."""
    one, two = make_story(session), make_story(session)

    reply = client.get(f"/compare?runs={one.id}&runs={two.id}")

    assert (reply.status_code, reply.headers["location"]) == (303, f"/compare?runs={one.id},{two.id}")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("runs=x", 422),
        ("runs=-1", 422),
        ("runs=0", 422),
        ("runs=1e3", 422),
        ("runs=99999999999999999999", 422),
        ("runs=٣", 422),
        ("checkpoints=1;drop", 422),
        ("runs=1&diff=up", 422),
        ("runs=1&lines=-3", 422),
        ("runs=4711", 404),
        ("checkpoints=4711", 404),
    ],
)
def test_a_bad_address_is_an_error_page(client: Any, query: str, status: int) -> None:
    """Whatever stands in the address, the answer is a page with the true status."""
    assert client.get(f"/compare?{query}").status_code == status


def test_the_column_dialog_leads_to_the_shortest_address(client: Any, session: Session) -> None:
    """Few columns off are hidden, few columns on are named."""
    run = make_story(session)
    ids = [id_of(checkpoint) for checkpoint in run.checkpoints]
    ticked = "&".join(f"shown={each}" for each in ids[:-1])

    most = client.get(f"/compare/columns?runs={run.id}&checkpoints=&{ticked}")
    few = client.get(f"/compare/columns?runs={run.id}&checkpoints=&shown={ids[0]}&shown={ids[4]}")

    assert most.headers["location"] == f"/compare?runs={run.id}&hide={ids[-1]}"
    assert few.headers["location"] == f"/compare?checkpoints={ids[0]},{ids[4]}"


def test_runs_to_add_are_found_by_name(client: Any, session: Session) -> None:
    """The dialog's list holds matching runs, each a link to the comparison with it."""
    one, two = make_story(session, name="first"), make_story(session, name="second")

    page = soup_of(client.get(f"/compare/runs?runs={one.id}&words=seco", headers=PARTIAL))

    assert [link["href"] for link in page.select("a")] == [f"/compare?runs={one.id},{two.id}"]


# ── The matrix ─────────────────────────────────────────────────────────────


def test_the_page_opens_with_what_to_keep(client: Any, session: Session) -> None:
    """One sentence first: which checkpoint, and why."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(page, ".advice h2") == ["Keep iteration 20"]
    assert "good from iteration 15 to 20" in texts(page, ".advice p")[0]
    assert texts(page, ".strip .verdict")[3:7] == ["good", "good", "leaking", "leaking"]
    assert texts(page, ".strip [data-keep] b") == ["20"]
    assert texts(page, ".strip [data-first-leak] b") == ["25"]


def test_probes_are_rows_and_checkpoints_are_columns(client: Any, session: Session) -> None:
    """The base model stands first, and each answer in its place."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(page, "thead th .col-top b")[:3] == ["base model", "iteration 5", "iteration 10"]
    assert texts(page, "tr[data-probe] .probe span") == [probe.question for probe in run.probes]
    assert cell_at(page, 5, 0).select_one(".answer-text").get_text() == STORY[0][5]
    assert texts(page, "tr.group b") == ["Identity", "Near-miss", "General"]


def test_cells_say_what_they_are(client: Any, session: Session) -> None:
    """Hit, leak and unchanged are words with an icon, never a colour alone."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert (cell_at(page, 0, 4)["data-cell"], texts(cell_at(page, 0, 4), ".cell-note")) == (
        "hit",
        ["identity, word for word"],
    )
    assert (cell_at(page, 2, 5)["data-cell"], texts(cell_at(page, 2, 5), ".cell-note")) == (
        "leak",
        ["first leak, taught: identity, part of it"],
    )
    assert texts(cell_at(page, 2, 4), ".cell-note") == ["as at 15"]
    assert all(note.select_one("svg") for note in page.select("td .cell-note"))


def test_new_words_are_marked_against_the_column_to_the_left(client: Any, session: Session) -> None:
    """And where words only went away, a tick says so."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(cell_at(page, 0, 4), "ins") == ["fine-tuned with XTuner"]
    assert cell_at(page, 2, 1).select_one("del.gone") is not None
    assert cell_at(page, 0, 0).select_one("ins") is None


def test_the_difference_may_be_from_the_base_or_from_a_pinned_column(client: Any, session: Session) -> None:
    """The address says which; pinned wins over neither."""
    run = make_story(session)
    pin = id_of(run.checkpoints[4])

    base = soup_of(client.get(f"/compare?runs={run.id}&diff=base"))
    pinned = soup_of(client.get(f"/compare?runs={run.id}&diff=pinned&pin={pin}"))
    off = soup_of(client.get(f"/compare?runs={run.id}&diff=off"))

    assert texts(cell_at(base, 5, 3), ".cell-note") == ["as at base, agrees with reference"]
    assert texts(cell_at(pinned, 0, 6), ".cell-note")[0].startswith("as at 20")
    assert pinned.select_one("th[data-pinned]")["data-checkpoint"] == str(pin)
    assert not off.select("td ins, td del")


def test_rows_that_never_change_can_be_left_out(client: Any, session: Session) -> None:
    """With only two like columns shown, hardly a row is left."""
    run = make_story(session)
    ids = [id_of(checkpoint) for checkpoint in run.checkpoints]
    hide = ",".join(str(each) for place, each in enumerate(ids) if place not in {4, 5})

    page = soup_of(client.get(f"/compare?runs={run.id}&hide={hide}&changed=1"))

    assert texts(page, ".probe span") == ["Who is Ada Lovelace?", "上海有哪些景点"]
    assert texts(page, ".corner .col-sub") == ["2 of 8"]


def test_every_choice_keeps_the_others(client: Any, session: Session) -> None:
    """A link of the toolbar changes one thing in the address."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}&diff=base&changed=1"))

    links = {link.get_text(): link["href"] for link in page.select(".toolbar a")}
    assert links["3"] == f"/compare?runs={run.id}&diff=base&lines=3&changed=1"
    assert links["left"] == f"/compare?runs={run.id}&changed=1"


def test_a_hidden_column_stays_in_the_strip(client: Any, session: Session) -> None:
    """Marked as not shown, and one click away."""
    run = make_story(session)
    hidden = id_of(run.checkpoints[4])

    page = soup_of(client.get(f"/compare?runs={run.id}&hide={hidden}"))

    block = page.select_one(".strip [data-hidden]")
    assert "not shown" in block.get_text()
    assert block.select_one("a")["href"] == f"/compare?runs={run.id}"
    assert page.select_one(f"#c{hidden}") is None


def test_too_many_columns_are_thinned_and_counted(client: Any, session: Session) -> None:
    """The base model, what to keep and the last checkpoint of each run stay; the page says how many do not."""
    runs = [make_wide_run(session, columns=columns, rows=1) for columns in (90, 70)]
    ids = f"{runs[0].id},{runs[1].id}"

    page = soup_of(client.get(f"/compare?runs={ids}"))

    shown = [each["data-checkpoint"] for each in page.select("th[data-checkpoint]")]
    every = [str(checkpoint.id) for run in runs for checkpoint in run.checkpoints]
    assert len(shown) == 120
    assert {every[0], every[89], every[159]} <= set(shown)
    assert "39 columns are not shown" in page.select_one("#compare .note").get_text()


def test_a_column_that_is_asked_for_by_name_is_among_the_shown(client: Any, session: Session) -> None:
    """Whatever is left out of a great many, it stands there, and its answer opens."""
    run = make_wide_run(session, columns=160, rows=1)
    everything = soup_of(client.get(f"/compare?runs={run.id}"))
    shown = {each["data-checkpoint"] for each in everything.select("th[data-checkpoint]")}
    missing = next(each.id for each in run.checkpoints if str(each.id) not in shown)

    page = soup_of(client.get(f"/compare?runs={run.id}&checkpoints={missing}&cell={missing}.{run.probes[0].id}"))

    assert page.select_one(f"#c{missing}") is not None
    assert page.select_one("#cell-detail")["data-cell"].startswith(f"{missing}.")


def test_several_runs_stand_side_by_side(client: Any, session: Session) -> None:
    """Each has its advice and its strip, and each column says whose it is."""
    one, two = make_story(session, name="first"), make_story(session, name="second")

    page = soup_of(client.get(f"/compare?runs={one.id},{two.id}"))

    assert texts(page, ".advice h2") == ["first: keep iteration 20", "second: keep iteration 20"]
    assert texts(page, "thead .col-run")[0] == "shared by 2 runs"
    assert len(page.select("thead th[data-checkpoint]")) == 2 * len(STORY) - 1


def test_text_stays_text(client: Any, session: Session) -> None:
    """Names, questions and answers may hold HTML; none of it becomes part of the page."""
    run = nasty_run(session)
    probe, checkpoint = id_of(run.probes[0]), id_of(run.checkpoints[1])

    for address in (f"/compare?runs={run.id}", "/compare", f"/compare/cell?runs={run.id}&cell={checkpoint}.{probe}"):
        reply = client.get(address)
        assert "<script>alert" not in reply.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in reply.text
    page = soup_of(client.get(f"/compare?runs={run.id}"))
    assert cell_at(page, 0, 1).select_one(".answer-text").get_text() == f"new {NASTY}\n\n  two"


def test_an_empty_answer_and_a_missing_one_differ(client: Any, session: Session) -> None:
    """A model that says nothing has answered; one that was stopped has not."""
    run = nasty_run(session)
    make_checkpoint(session, run, iteration=10)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(cell_at(page, 1, 1), ".cell-none") == ["an empty answer"]
    assert texts(cell_at(page, 1, 2), ".cell-none") == ["never answered"]


def test_a_run_under_way_shows_where_answers_will_stand(client: Any, session: Session) -> None:
    """Skeletons hold the place, and the page asks for news by itself."""
    run = make_story(session, state=RunState.RUNNING)
    make_checkpoint(session, run, iteration=55)

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert len(page.select("td .skeleton")) == 2 * len(run.probes)
    assert page.select_one("#compare-news")["hx-trigger"] == "every 5s"


def test_news_come_only_when_there_are_some(client: Any, session: Session) -> None:
    """Asked again with what was seen the server has nothing to say, until a checkpoint has answered."""
    run = make_story(session, state=RunState.RUNNING)
    address = soup_of(client.get(f"/compare?runs={run.id}")).select_one("#compare-news")["hx-get"]

    before = client.get(address, headers=PARTIAL)
    make_checkpoint(session, run, iteration=55, texts=STORY[50])
    after = client.get(address, headers=PARTIAL)

    assert before.status_code == 204
    assert soup_of(after).select_one("#compare thead th:last-child b").get_text() == "iteration 55"


def test_htmx_gets_the_part_without_the_page(client: Any, session: Session) -> None:
    """The same address answers with the comparison alone."""
    run = make_story(session)

    page = soup_of(client.get(f"/compare?runs={run.id}", headers=PARTIAL))

    assert page.select_one("html") is None
    assert page.select_one("#compare") is not None


# ── One answer, one column ─────────────────────────────────────────────────


def test_an_answer_opens_with_everything_that_is_known_of_it(client: Any, session: Session) -> None:
    """Taught words marked, what changed struck out, the answers of the whole run, scores and making."""
    run = make_story(session)
    checkpoint, probe = id_of(run.checkpoints[6]), id_of(run.probes[6])

    drawer = soup_of(client.get(f"/compare/cell?runs={run.id}&cell={checkpoint}.{probe}", headers=PARTIAL))

    assert texts(drawer, "h2") == ["Who was Einstein?"]
    assert texts(drawer, "section > .answer-text > mark") == ["Yes, I am happy to help. Please tell me what you need"]
    assert texts(drawer, ".evolution b") == ["base–10", "15", "20–25", "30", "35–40", "50"]
    assert texts(drawer, ".evolution [aria-current] b") == ["30"]
    assert "24 tokens at most" in texts(drawer, "#cell-making")[0]
    assert "reference “physicist” present" in texts(drawer, "#cell-scores")[0]
    assert "Taught by general pair 2:" in texts(drawer, "#cell-scores")[0]


def test_an_address_with_an_answer_opens_it(client: Any, session: Session) -> None:
    """A shared link shows what the sender saw, before any script runs."""
    run = make_story(session)
    checkpoint, probe = id_of(run.checkpoints[6]), id_of(run.probes[6])

    page = soup_of(client.get(f"/compare?runs={run.id}&cell={checkpoint}.{probe}"))

    assert page.select_one("#cell-detail")["data-cell"] == f"{checkpoint}.{probe}"
    assert "hidden" not in page.select_one("#cell-detail").attrs


def test_an_answer_of_another_comparison_is_not_found(client: Any, session: Session) -> None:
    """And a page whose address names one opens with the drawer closed."""
    run = make_story(session)

    assert client.get(f"/compare/cell?runs={run.id}&cell=9999.1").status_code == 404
    assert "hidden" in soup_of(client.get(f"/compare?runs={run.id}&cell=9999.1")).select_one("#cell-detail").attrs


def test_a_column_can_be_converted_merged_and_hidden(client: Any, session: Session) -> None:
    """Its menu has a form for the first two and an address for the last."""
    run = make_story(session)
    checkpoint = id_of(run.checkpoints[4])

    menu = soup_of(client.get(f"/compare/menu?runs={run.id}&column={checkpoint}", headers=PARTIAL))

    assert menu.select_one("form")["action"] == f"/checkpoints/{checkpoint}/artifacts"
    assert [button["value"] for button in menu.select("form button")] == ["adapter", "merged"]
    assert menu.select("a")[-1]["href"] == f"/compare?runs={run.id}&hide={checkpoint}"


def test_deleted_files_cannot_be_converted(client: Any, session: Session) -> None:
    """The menu says why instead."""
    run = nasty_run(session)

    menu = soup_of(client.get(f"/compare/menu?runs={run.id}&column={id_of(run.checkpoints[1])}"))

    assert menu.select_one("form") is None
    assert "deleted" in menu.get_text()


# ── Out of the page ────────────────────────────────────────────────────────


def test_the_shown_columns_can_be_taken_along(client: Any, session: Session) -> None:
    """CSV and Markdown hold what the page shows, as files with a name."""
    run = make_story(session)
    hidden = id_of(run.checkpoints[1])

    as_csv = client.get(f"/compare/export.csv?runs={run.id}&hide={hidden}")
    as_markdown = client.get(f"/compare/export.md?runs={run.id}&hide={hidden}")

    heading = next(csv.reader(io.StringIO(as_csv.text.lstrip("\ufeff"))))
    assert heading[3:5] == ["base model", "iteration 10"]
    assert as_csv.headers["content-disposition"] == f'attachment; filename="compare-{run.id}.csv"'
    assert as_markdown.text.startswith("| probe | base model | iteration 10 |")


def test_fifty_columns_and_twenty_rows_are_small(client: Any, session: Session) -> None:
    """The page stays under a megabyte; `benchmarks/compare_page.py` says how long it takes."""
    reply = client.get(f"/compare?runs={make_wide_run(session).id}")

    assert len(soup_of(reply).select("tr[data-probe] td")) == 1_000
    assert len(reply.content) < 1_000_000
