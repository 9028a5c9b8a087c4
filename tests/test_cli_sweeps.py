"""`temper sweep` and `temper sweeps`: from the command line."""

import json
from pathlib import Path

import pytest
from sqlmodel import Session, select
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import accounts
from app.domain.models import Sweep
from app.domain.sweeps import plan_of
from tests.conftest import forget_settings
from tests.factories import make_model, make_recipe_data
from tests.sweep_stories import make_told_sweep


@pytest.fixture
def recipe(live_server: str, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point the command at a live server that has the recipe's model; return the recipe's file."""
    make_model(session)
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    monkeypatch.setenv("TEMPER_URL", live_server)
    monkeypatch.setenv("TEMPER_TOKEN", token)
    forget_settings()
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data()))
    return path


def temper(*arguments: str) -> Result:
    """Run `temper` in this process."""
    return CliRunner().invoke(app, list(arguments))


def test_values_with_commas_vary_and_single_ones_are_set(recipe: Path, session: Session) -> None:
    """A forecast starts nothing; without it the sweep is started."""
    given = ("--set", "mix.identity_count=24,150", "--set", "training.learning_rate=1e-3,5e-4", "--set", "name=small")

    forecast = temper("sweep", str(recipe), *given, "--forecast")
    started = temper("sweep", str(recipe), *given, "--at-once", "2", "--train-parrots")

    assert forecast.exit_code == 0, forecast.output
    assert "4, 1 at the same time" in forecast.stdout
    assert "80 in all" in forecast.stdout
    assert started.stdout == "Sweep 1, small: 4 runs wait\n"
    sweep = session.exec(select(Sweep)).one()
    plan = plan_of(sweep)
    assert [list(axis.values) for axis in plan.axes] == [[24, 150], [1e-3, 5e-4]]
    assert (plan.recipe.name, plan.at_once, plan.stops_parrots) == ("small", 2, False)


@pytest.mark.parametrize(
    ("given", "words"),
    [((), "Nothing varies"), (("--set", "mix.identity_count=1,-1"), "axes.0.values.1: -1 is too small")],
    ids=["nothing", "a bad value"],
)
def test_what_is_no_sweep_is_refused(recipe: Path, given: tuple[str, ...], words: str) -> None:
    """With a sentence, at the value."""
    said = temper("sweep", str(recipe), *given)

    assert said.exit_code == 1
    assert words in said.stderr


@pytest.mark.usefixtures("recipe")
def test_a_sweep_is_listed_and_told(session: Session) -> None:
    """What varies, how far it is, what each run has shown and what to keep."""
    sweep = make_told_sweep(session)

    listed, told = temper("sweeps"), temper("sweeps", str(sweep.id))

    assert "mix.general_count 0, 20, 79" in listed.stdout
    assert "run 2 at iteration 25: Good at 3 checkpoints in a row" in told.stdout
    assert "stopped: parrot at 15" in told.stdout
    assert json.loads(temper("sweeps", "--json").stdout)["total"] == 1
    assert temper("sweeps", str(sweep.id), "--stop").exit_code == 1
