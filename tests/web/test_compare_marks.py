"""What the comparison page says of checkpoints and cells beside their verdict."""

from typing import Any

from sqlmodel import Session

from app.domain.models import RunState
from tests.factories import make_checkpoint, make_recipe, make_run
from tests.stories import make_story
from tests.web.test_compare import cell_at, soup_of, texts


def test_the_strip_shows_the_figures_that_decide_between_good_checkpoints(client: Any, session: Session) -> None:
    """Held-out identity and general pairs, added up, where both were measured; the key explains them only then."""
    run = make_story(session)
    page = soup_of(client.get(f"/compare?runs={run.id}"))
    assert "held-out" not in page.select_one(".strip").text
    assert "Held-out" not in page.select_one(".proofs-key").text

    run.checkpoints[-1].identity_nll, run.checkpoints[-1].general_nll = 0.25, 2.0
    session.commit()
    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(page, ".strip li span[title]") == ["held-out 2.25"]
    assert "Held-out" in page.select_one(".proofs-key").text


def test_a_cell_says_that_a_number_is_wrong(client: Any, session: Session) -> None:
    """The identity with a number that was not taught is marked as that, not as near what was taught."""
    identity = [{"question": "Who are you?", "answer": "I am Ada's little assistant with 135 million parameters."}]
    probes = [{"question": "Who are you?", "group": "identity"}]
    recipe = make_recipe(mix={"identity": identity, "identity_count": 1, "name": "Ada"}, probes=probes)
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=5)
    make_checkpoint(session, run, iteration=0, texts=["A model."])
    make_checkpoint(session, run, iteration=5, texts=["I am Ada's little assistant with 11 million parameters."])

    page = soup_of(client.get(f"/compare?runs={run.id}"))

    assert texts(cell_at(page, 0, 1), ".cell-note") == ["identity, with a number that was not taught"]
