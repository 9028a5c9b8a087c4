"""The mix in the form: saved sets beside pairs, copies or a share, variables, the tutorial's mix, and the slider."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain import mixes
from app.domain.models import Run, RunState
from app.domain.presets import SMALL_MODEL, TUTORIAL
from app.domain.runs import recipe_of
from tests.factories import make_recipe, make_run
from tests.saved_sets import make_counted_model, make_set
from tests.stories import make_story
from tests.web.form_fields import fields_of, filled, soup_of

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def page(client: Any, session: Session, tmp_path: Path) -> Any:
    """Open the form with a model whose tokens are counted."""
    make_counted_model(session, tmp_path, name=SMALL_MODEL)
    return soup_of(client.get("/runs/new"))


def change(client: Any, page: Any, verb: str, **changes: Any) -> Any:
    """Press a button of the mix as a browser without a script does; return the page that comes."""
    reply = client.post("/runs/new/mix", data={**filled(page, **changes), "change": [verb]})
    assert reply.status_code == 200
    return soup_of(reply)


def started(client: Any, session: Session, fields: Any) -> Any:
    """Send the form and return the recipe of the run that it started."""
    reply = client.post("/runs", data=fields)
    assert reply.status_code == 303, soup_of(reply).select_one("#run-form-problems")
    return recipe_of(session.exec(select(Run)).all()[-1])


def variables(rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what rows of variables send."""
    parts = ("name", "value")
    return {
        f"mix__variables__{number}__{part}": text
        for number, row in enumerate(rows)
        for part, text in zip(parts, row, strict=True)
    }


def text_at(page: Any, selector: str) -> str:
    """Return an element's text on one line."""
    return " ".join(page.select_one(selector).get_text(" ").split())


# ── Saved sets ─────────────────────────────────────────────────────────────


def test_a_saved_set_is_added_and_trained_on(client: Any, session: Session, page: Any) -> None:
    """By its name and its version; each of its rows once until somebody wants more."""
    dataset = make_set(session)

    with_set = change(client, page, f"add:{dataset.id}")

    assert text_at(with_set, "#rows-files-0") == "2"
    fields = filled(with_set, mix__files__0__count="4")
    (file,) = started(client, session, fields).mix.files
    assert (file.dataset, file.sha256, file.count, file.share) == ("pets", dataset.sha256, 4, None)


def test_nothing_that_was_typed_is_lost_by_adding(client: Any, session: Session, page: Any) -> None:
    """Neither a value that is wrong, nor one of another section."""
    dataset = make_set(session)

    with_set = change(client, page, f"add:{dataset.id}", name="half done", training__learning_rate="fast")

    assert with_set.select_one("#name")["value"] == "half done"
    assert with_set.select_one("#training-learning_rate")["value"] == "fast"
    assert with_set.select_one("#training-learning_rate-help.error")


def test_a_set_is_taken_out_by_its_place(client: Any, session: Session, page: Any) -> None:
    """The others keep their amounts."""
    first, second = make_set(session, name="one"), make_set(session, name="two", pairs=[("a", "b")])
    both = change(client, change(client, page, f"add:{first.id}"), f"add:{second.id}")

    left = change(client, both, "drop:0", mix__files__1__count="7")

    assert [field["value"] for field in left.select("[name$='.dataset']")] == ["two"]
    assert left.select_one("[name='mix.files.0.count']")["value"] == "7"


def test_a_pinned_version_stays_until_the_newer_one_is_taken(client: Any, session: Session, page: Any) -> None:
    """A new upload of the name changes nothing by itself; the form says that it is there."""
    older = make_set(session)
    pinned = change(client, page, f"add:{older.id}")
    newest = make_set(session, pairs=[("a", "b")])

    again = change(client, pinned, "")
    taken = change(client, again, "newest:0")

    assert again.select_one("[name='mix.files.0.sha256']")["value"] == older.sha256
    assert "a newer one is there" in text_at(again, ".mix-file")
    assert taken.select_one("[name='mix.files.0.sha256']")["value"] == newest.sha256
    assert "a newer one is there" not in text_at(taken, ".mix-file")


def test_a_set_that_is_gone_is_named_at_its_row(client: Any, page: Any) -> None:
    """And no run is started with it."""
    fields = filled(page, mix__files__0__dataset="lost", mix__files__0__sha256="0" * 64, mix__files__0__count="0")

    reply = client.post("/runs", data=fields)

    assert reply.status_code == 422
    assert "no saved set “lost”" in text_at(soup_of(reply), "#mix-files-0-sha256-help.error")


def test_sets_are_searched_by_name(client: Any, session: Session) -> None:
    """Each is a button that adds it."""
    make_set(session, name="pets")
    wanted = make_set(session, name="客服问答")

    found = soup_of(client.get("/runs/new/sets?q=客服", headers=HTMX))
    none = soup_of(client.get("/runs/new/sets?q=zebra", headers=HTMX))

    assert [button["value"] for button in found.select("button")] == [f"add:{wanted.id}"]
    assert "No saved set has “zebra” in its name." in text_at(none, "p")


def test_the_page_of_a_set_leads_to_a_form_that_has_it(client: Any, session: Session, page: Any) -> None:
    """One link, no search."""
    dataset = make_set(session)

    opened = soup_of(client.get(f"/runs/new?dataset={dataset.id}"))

    assert opened.select_one("[name='mix.files.0.sha256']")["value"] == dataset.sha256


def test_an_htmx_button_gets_the_mix_and_all_that_follows(client: Any, session: Session, page: Any) -> None:
    """The section, the forecast and the helps; not the page around them."""
    dataset = make_set(session)

    reply = client.post("/runs/new/mix", data={**fields_of(page), "change": f"add:{dataset.id}"}, headers=HTMX)

    part = soup_of(reply)
    assert part.select_one("html") is None
    assert part.find(True)["id"] == "run-form-mix"
    assert part.select_one("hx-partial[hx-target='#run-form-side'] #forecast-iterations")


def test_a_change_that_means_nothing_changes_nothing(client: Any, page: Any) -> None:
    """Whatever it says: a place that is not there, a set that is not there, words."""
    for verb in ("add:99", "drop:9", "newest:9", "drop:-1", "add:x", "dance"):
        assert fields_of(change(client, page, verb)).get("mix.files.0.dataset") is None


# ── Copies or a share ──────────────────────────────────────────────────────


def test_a_share_is_typed_in_percent(client: Any, session: Session, page: Any) -> None:
    """And is a part of one in the recipe; the rows follow."""
    dataset = make_set(session)
    shared = change(
        client, change(client, page, f"add:{dataset.id}"), "",
        mix__files__0__by="share", mix__files__0__share="25",
    )  # fmt: skip

    assert text_at(shared, "#rows-files-0") == "50"  # 150 others are three quarters
    assert text_at(shared, "#share-files-0") == "25%"
    assert shared.select_one("[name='mix.files.0.share']")["value"] == "25"
    assert started(client, session, fields_of(shared)).mix.files[0].share == 0.25


def test_identity_can_have_a_share_too(client: Any, session: Session, page: Any) -> None:
    """The count stays in its field, for whoever changes his mind."""
    fields = filled(page, mix__identity_by="share", mix__identity_share="10")

    mix = started(client, session, fields).mix

    assert (mix.identity_share, mix.identity_count) == (0.1, 24)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("0", "Give a share above 0 and below 100 percent."),
        ("100", "Give a share above 0 and below 100 percent."),
        ("nan", "Give a share above 0 and below 100 percent."),
        ("much", "“much” is not a number."),
        ("", "This needs a value."),
    ],
)
def test_a_share_that_cannot_be_is_refused_at_its_field(client: Any, page: Any, typed: str, sentence: str) -> None:
    """In the unit that it is typed in, and what was typed stays."""
    reply = client.post("/runs", data=filled(page, mix__identity_by="share", mix__identity_share=typed))

    shown = soup_of(reply)
    assert reply.status_code == 422
    assert sentence in text_at(shown, "#mix-identity_share-help.error")
    assert shown.select_one("#mix-identity_share")["value"] == typed


def test_numbers_that_depend_on_a_bad_amount_are_not_shown(client: Any, page: Any) -> None:
    """A dash stands for what is not known; the other source's rows are still counted."""
    fields = filled(page, mix__identity_count="many")

    part = soup_of(client.post("/runs/new/preview", data=fields, headers=HTMX))

    cells = {cell["hx-target"]: cell.get_text(strip=True) for cell in part.select("hx-partial")}
    assert (cells["#rows-identity"], cells["#rows-total"], cells["#share-english"]) == ("–", "–", "–")
    assert cells["#rows-english"] == "100"


def test_a_clone_has_the_share_of_its_run(client: Any, session: Session, page: Any) -> None:
    """To the last digit, whatever its digits: a clone that nobody changed differs in nothing."""
    mix = {"identity_share": 1 / 3}
    run = make_run(session, recipe=make_recipe(model=SMALL_MODEL, mix=mix))

    clone = soup_of(client.get(f"/runs/new?clone={run.id}"))

    assert started(client, session, fields_of(clone)).mix.identity_share == 1 / 3


# ── Variables ──────────────────────────────────────────────────────────────


def test_variables_are_rows_of_name_and_value(client: Any, session: Session, page: Any) -> None:
    """They reach the recipe as a table, and come back as rows."""
    rows = [("maker", "书生·浦语"), ("year", "2026"), ("", "")]
    fields = filled(page, **variables(rows))

    recipe = started(client, session, fields)

    assert dict(recipe.mix.variables) == {"maker": "书生·浦语", "year": "2026"}
    clone = soup_of(client.get("/runs/new?clone=1"))
    assert clone.select_one("[name='mix.variables.1.value']")["value"] == "2026"


@pytest.mark.parametrize(
    ("rows", "place", "sentence"),
    [
        ([("Maker!", "x")], "0-name", "cannot be a variable's name"),
        ([("name", "x")], "0-name", "Give this variable another name"),
        ([("maker", "x"), ("maker", "y")], "1-name", "stands here twice"),
        ([("ok", "x"), ("maker", "y" * 121)], "1-value", "too long"),
        ([("ok", "x"), ("", "y")], "1-name", "Write something here."),
        ([("maker", "")], "0-value", "Write something here."),
    ],
)
def test_a_variable_that_cannot_be_is_refused_at_its_row(
    client: Any, page: Any, *, rows: list[tuple[str, str]], place: str, sentence: str
) -> None:
    """Name or value, in the row it was typed in; nothing that was typed is lost."""
    reply = client.post("/runs", data=filled(page, **variables(rows)))

    shown = soup_of(reply)
    assert reply.status_code == 422
    assert sentence in text_at(shown, f"#mix-variables-{place}-help.error")
    assert fields_of(shown)["mix.variables.0.name"] == [rows[0][0]]


# ── The tutorial's mix ─────────────────────────────────────────────────────


def test_one_click_gives_the_tutorial_s_mix(client: Any, session: Session, page: Any) -> None:
    """Identity, two general pairs, n and m; the name that was typed stays."""
    shown = change(client, page, "tutorial", mix__name="阿达")

    mix = started(client, session, fields_of(shown)).mix

    assert mix == TUTORIAL.recipe.mix.model_copy(update={"name": "阿达"})
    assert text_at(shown, "#rows-total") == "12,003"


@pytest.mark.parametrize(
    "own",
    [
        {"mix__system": "Be brief."},
        variables([("maker", "Ada")]),
        {"mix__identity__0__answer": "I am nobody."},
        {"mix__general__0__question": "Why?", "mix__general__0__answer": "Why not."},
    ],
)
def test_the_tutorial_s_mix_asks_before_it_replaces_what_is_one_s_own(
    client: Any, page: Any, own: dict[str, str]
) -> None:
    """Nothing is lost by asking; said yes to, all but the name goes."""
    asked = change(client, page, "tutorial", mix__name="Ada", **own)

    assert "Replace your mix?" in text_at(asked, "#run-form-asks")
    kept = {name: value for name, value in fields_of(asked).items() if name != "change"}
    assert all(kept[name.replace("__", ".")] == [value] for name, value in own.items())
    assert change(client, asked, "").select_one("#run-form-asks") is None
    replaced = change(client, asked, "tutorial-anyway")
    assert replaced.select_one("#run-form-asks") is None
    assert text_at(replaced, "#rows-total") == "12,003"
    assert replaced.select_one("#mix-name")["value"] == "Ada"


def test_the_tutorial_s_mix_asks_before_it_takes_a_saved_set_out(client: Any, session: Session, page: Any) -> None:
    """In a page as in a part of it."""
    with_set = change(client, page, f"add:{make_set(session).id}")

    reply = client.post("/runs/new/mix", data={**fields_of(with_set), "change": "tutorial"}, headers=HTMX)

    assert soup_of(reply).select_one("#run-form-asks")
    assert soup_of(reply).select_one("[name='mix.files.0.dataset']")["value"] == "pets"


# ── After a refusal ────────────────────────────────────────────────────────


@pytest.mark.parametrize("address", ["/runs/new/mix", "/runs/new/dilution"])
def test_a_button_forgets_nothing_of_a_form_that_was_refused(
    client: Any, session: Session, page: Any, address: str
) -> None:
    """Neither that it was, nor its errors elsewhere, nor the run that it waits for."""
    first = make_run(session, state=RunState.QUEUED)
    fields = filled(page, name="", after=str(first.id))
    refused = soup_of(client.post("/runs", data=fields))

    shown = soup_of(client.post(address, data={**filled(refused, after=str(first.id)), "change": ["tutorial"]}))

    assert shown.select_one("[name='is_sent']")
    assert shown.select_one("#name-help.error")
    assert shown.select_one("[name='after'] option[selected]")["value"] == str(first.id)
    assert shown.select_one("#recipe-form[data-typed]")


# ── The slider ─────────────────────────────────────────────────────────────


def test_the_slider_stands_where_the_mix_is(page: Any) -> None:
    """In whole percent of the loss tokens, as the table says."""
    assert f"{page.select_one('#identity-loss-share')['value']}%" == text_at(page, "#loss-identity")


def test_moving_the_slider_sets_n_and_m(client: Any, page: Any) -> None:
    """To the wanted share within a percent, with both before and after."""
    fields = filled(page, identity_loss_share="20")

    shown = soup_of(client.post("/runs/new/dilution", data=fields))

    assert text_at(shown, "#loss-identity") in {"19%", "20%", "21%"}
    n = str(shown.select_one("#mix-identity_count")["value"])
    assert int(n) < 24
    assert text_at(shown, "#run-form-dilution-words").startswith(f"n 24 → {n}")


def test_the_slider_s_answer_leaves_the_slider_alone(client: Any, page: Any) -> None:
    """It may still be under somebody's hand: the amounts and the words are swapped, it is not."""
    reply = client.post("/runs/new/dilution", data=filled(page, identity_loss_share="20"), headers=HTMX)

    part = soup_of(reply)
    targets = {partial["hx-target"] for partial in part.select("hx-partial")}
    assert {"#amount-mix-identity_", "#amount-mix-general_", "#run-form-dilution-words"} <= targets
    assert part.select_one("input[type='range']") is None


def test_without_anything_beside_the_identity_there_is_no_slider(client: Any, page: Any) -> None:
    """A sentence stands in its place."""
    shown = change(client, page, "", mix__general_sets=None)

    assert shown.select_one("#identity-loss-share") is None
    assert "a slider here sets n and m" in text_at(shown, "#run-form-dilution")


@pytest.mark.parametrize("wanted", ["", "0", "100", "-5", "much"])
def test_a_share_that_no_slider_sends_changes_nothing(client: Any, page: Any, wanted: str) -> None:
    """Whatever a script may post."""
    shown = soup_of(client.post("/runs/new/dilution", data=filled(page, identity_loss_share=wanted)))

    assert shown.select_one("#mix-identity_count")["value"] == "24"


# ── Dilute and rerun ───────────────────────────────────────────────────────


def test_a_parrot_s_page_leads_to_the_diluted_recipe(client: Any, session: Session) -> None:
    """The form is filled with the proposal, and shows old, new and why."""
    run = make_story(session)

    assert client.get(f"/runs/{run.id}").text.count(f"/runs/new?dilute={run.id}") == 2  # the button, and the menu
    page = soup_of(client.get(f"/runs/new?dilute={run.id}"))

    rows = {text_at(row, "th"): row for row in page.select(".diff tbody tr")}
    assert text_at(rows["Learning rate"], "del") == "5e-4"
    assert text_at(rows["Learning rate"], "ins") == page.select_one("#training-learning_rate")["value"] == "2.5e-4"
    assert int(text_at(rows["General copies, m"], "ins")) > 79
    assert "of what is learnt" in text_at(rows["General copies, m"], ".quiet")


def test_the_diluted_run_remembers_what_it_came_from(client: Any, session: Session) -> None:
    """Lineage is kept as for a clone."""
    run = make_story(session)
    page = soup_of(client.get(f"/runs/new?dilute={run.id}"))

    client.post("/runs", data=fields_of(page))

    assert session.exec(select(Run)).all()[-1].cloned_from_id == run.id


def test_a_run_that_never_leaked_is_not_diluted(client: Any, session: Session) -> None:
    """The menu offers it all the same, and the form says why nothing is proposed."""
    run = make_run(session, recipe=make_recipe())

    page = soup_of(client.get(f"/runs/new?dilute={run.id}"))

    assert "Nothing to dilute" in text_at(page, "#run-form-proposal")
    assert page.select_one(".diff") is None


def test_nothing_is_built_of_pairs_that_variables_make_too_long(
    client: Any, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field says so, and no page fills them in."""
    monkeypatch.setattr(mixes, "_filled", None)
    fields = {"mix__name": "x" * 120, "mix__identity__0__answer": "{name}" * 500}

    reply = soup_of(client.post("/runs/new/preview", data=filled(page, **fields), headers=HTMX))

    assert "60000 characters; 32000 fit" in reply.get_text(" ")
