"""The recipe card: one file, nothing beside it, and the recipe that it holds."""

import io
import re
from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlmodel import Session, select

from app.domain.card_files import recipe_in_card
from app.domain.models import Attempt, Run, RunState
from app.domain.recipes import Recipe
from app.domain.runs import id_of, recipe_of
from app.web.cards import POLICY
from tests.factories import make_checkpoint, make_metrics, make_model, make_recipe, make_run
from tests.stories import make_story
from tests.web.form_fields import fields_of

NASTY = "</script><script>alert(1)</script>\"'&<b>"


def card_of(client: Any, run: Run, **headers: str) -> str:
    reply = client.get(f"/runs/{run.id}/card.html", headers=headers)
    assert reply.status_code == 200, reply.text[:500]
    assert reply.headers["content-disposition"] == f'attachment; filename="temper-run-{run.id}.html"'
    return str(reply.text)


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(each.get_text(" ").split()) for each in page.select(selector)]


def test_a_card_tells_the_whole_run(client: Any, session: Session) -> None:
    """What to keep and why, curves, verdicts, every answer, mix, settings, thresholds and where it comes from."""
    run = make_story(session)
    make_metrics(session, run, iterations=range(1, 51))
    attempt = session.exec(select(Attempt).where(Attempt.run_id == run.id)).one()
    attempt.device = "NVIDIA H100"
    session.add(attempt)
    session.commit()

    page = BeautifulSoup(card_of(client, run), "html.parser")

    assert texts(page, ".advice h2") == ["Keep iteration 20 good"]
    assert "leaking from 25 on" in texts(page, ".advice p")[0]
    assert texts(page, ".strip [data-first-leak] b") == ["25"]
    assert len(page.select("tbody td")) == 80
    assert page.select("td[data-leak-first] mark")
    assert all(path["d"].startswith("M") for path in page.select(".plot path"))
    facts = dict(zip(texts(page, ".making dt"), texts(page, ".making dd"), strict=True))
    assert facts["identity"] == "2 pairs, n = 149, 300 rows"
    assert (facts["Learning rate"], facts["Seed"], facts["trained on"]) == ("5e-4 per update", "1", "NVIDIA H100")
    assert facts["Identity hit"] == "0.75"


def test_a_card_needs_nothing_beside_it(client: Any, session: Session) -> None:
    """No address, no script that runs, and a policy that would refuse both."""
    page = BeautifulSoup(card_of(client, make_story(session)), "html.parser")

    assert page.select_one("meta[http-equiv]")["content"] == POLICY
    assert [script["type"] for script in page.select("script")] == ["application/json"]
    assert not page.select("link, img, iframe, object, embed, form, [src], [onclick], base")
    assert all(each["href"].startswith("#") for each in page.select("[href]"))
    assert {use["href"][1:] for use in page.select("use")} <= {each["id"] for each in page.select("symbol")}
    assert not re.search(r"url\(|@import|https?://", page.select_one("style").get_text())


def test_a_card_starts_its_own_run_again(client: Any, session: Session) -> None:
    """The recipe in it is the run's own, and the form that is filled from it starts the same one."""
    run = make_story(session)
    card = card_of(client, run)

    reply = client.post("/runs/new/file", files={"file": ("ada.html", card.encode(), "text/html")})
    page = BeautifulSoup(reply.text, "html.parser")
    started = client.post("/runs", data=fields_of(page))

    assert Recipe.model_validate(recipe_in_card(card)) == recipe_of(run)
    assert texts(page, "#run-form-origin") == ["Filled from the recipe file ada.html."]
    assert started.status_code == 303
    again = session.exec(select(Run).where(Run.id != run.id)).one()
    assert recipe_of(again) == recipe_of(run)


def test_texts_in_a_card_stay_texts(client: Any, session: Session) -> None:
    """Whatever a name, a question, an answer or a system text holds."""
    mix = {"identity": [{"question": NASTY, "answer": NASTY}], "system": NASTY, "name": NASTY}
    recipe = make_recipe(name=NASTY, mix=mix, probes=[{"question": NASTY, "group": "near-miss", "reference": NASTY}])
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=10, name=NASTY)
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=[f"{NASTY} {iteration}"])

    text = card_of(client, run)

    page = BeautifulSoup(text, "html.parser")
    assert "<script>alert" not in text
    assert len(page.select("script")) == 1
    assert not page.select("main b b")
    assert texts(page, "h1") == [NASTY]
    assert Recipe.model_validate(recipe_in_card(text)) == recipe


def test_a_card_is_in_the_readers_language(client: Any, session: Session) -> None:
    """And says so."""
    text = card_of(client, make_story(session), **{"Accept-Language": "zh-CN"})

    assert '<html lang="zh">' in text
    assert "保留迭代 20" in text


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.FAILED])
def test_a_run_without_answers_has_a_card_too(client: Any, session: Session, state: RunState) -> None:
    """It says that there are none, and holds the recipe."""
    run = make_run(session, state=state)

    text = card_of(client, run)

    assert "No checkpoint of this run has answered." in text
    assert Recipe.model_validate(recipe_in_card(text)) == recipe_of(run)


def test_the_api_gives_the_same_card(api: Any, session: Session) -> None:
    """To whoever has a token; of a run that is not there it says so."""
    run = make_story(session)

    reply = api.get(f"/api/v1/runs/{run.id}/card")

    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert Recipe.model_validate(recipe_in_card(reply.text)) == recipe_of(run)
    assert api.get("/api/v1/runs/4711/card").status_code == 404


def test_a_folder_of_the_machine_is_not_told(client: Any, session: Session) -> None:
    """A card is given away: where the model lies here is nobody's business."""
    assert "/models/smollm2" not in card_of(client, make_story(session))


# ── The form from a file ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Choose a file first."),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"{", "No recipe can be read"),
        (b'{"name": "x", "model": "y", "mix": {"identity_count": -4}}', "mix.identity_count -4 is too small"),
        (b'{"name": "x", "model": "y", "mix": [1]}', "mix"),
        (b'{"name": "x", "model": "y", "code": "import os"}', "code There is no setting of this name."),
    ],
)
def test_a_file_without_a_recipe_is_refused_beside_its_field(
    client: Any, session: Session, content: bytes, words: str
) -> None:
    """The form stands there as it begins, and nothing is started."""
    make_model(session)

    reply = client.post("/runs/new/file", files={"file": ("x.json", io.BytesIO(content))})

    page = BeautifulSoup(reply.text, "html.parser")
    assert reply.status_code == 422
    assert words in " ".join(texts(page, "#recipe-file-help"))
    assert page.select_one("#recipe-file")["aria-invalid"] == "true"
    assert session.exec(select(Run)).first() is None


def test_a_file_whose_model_is_not_here_fills_the_form_all_the_same(client: Any, session: Session) -> None:
    """The model's field says what is wrong: another one can be chosen there."""
    make_model(session, name="here")
    recipe = make_recipe(model="elsewhere")

    reply = client.post("/runs/new/file", files={"file": ("x.json", recipe.model_dump_json().encode())})

    assert reply.status_code == 200
    assert "elsewhere" in BeautifulSoup(reply.text, "html.parser").select_one("#model-help").get_text()


def test_who_may_not_start_runs_may_not_fill_the_form(anonymous: Any, session: Session) -> None:
    """The door stands before it as before the form itself; a card may be had by whoever may look."""
    run = make_story(session)

    assert anonymous.get(f"/runs/{id_of(run)}/card.html").status_code in {303, 401}
    assert anonymous.post("/runs/new/file", files={"file": ("x", b"{}")}).status_code in {303, 401, 403}
