"""The config beside the form, and the sentence about what is wrong in it."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain.presets import SMALL_MODEL
from tests.factories import make_model
from tests.web.form_fields import filled, soup_of


@pytest.fixture
def page(client: Any, session: Session) -> Any:
    """Open the form, filled from the first preset."""
    make_model(session, name=SMALL_MODEL)
    return soup_of(client.get("/runs/new"))


@pytest.mark.parametrize("unit", ["epochs", "iterations"])
@pytest.mark.parametrize("length", ["0", "-1", "soon", "1000000000", ""])
def test_a_length_that_cannot_be_is_open_in_the_config(client: Any, page: Any, length: str, unit: str) -> None:
    """Whichever of its two lines the config has: no length that nobody gave stands there as if it were one."""
    fields = filled(page, training__length=length, training__length_unit=unit)

    answer = soup_of(client.post("/runs/new/preview", data=fields))

    (mark,) = answer.select("#run-form-config mark")
    assert mark.get_text() in {f"{name} = ?  # Length needs another value" for name in ("max_epochs", "max_iters")}


def test_many_mistakes_are_a_sentence(client: Any, page: Any) -> None:
    """The first five by name, with a space before the rest of the sentence."""
    bad = {
        "learning_rate": "x",
        "batch_size": "x",
        "accumulation": "x",
        "max_length": "x",
        "seed": "x",
        "max_norm": "x",
    }

    answer = soup_of(
        client.post("/runs/new/preview", data=filled(page, **{f"training__{k}": v for k, v in bad.items()}))
    )

    said = " ".join(answer.select_one("#run-form-problems").get_text().split())
    assert said.startswith("6 fields need you: Learning rate, ")
    assert said.endswith(" and 1 more")
    assert ", and" not in said
