"""`temper forecast`: what a recipe will do, from the command line."""

import json
from pathlib import Path

import pytest
from sqlmodel import Session
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import accounts
from tests.conftest import forget_settings
from tests.factories import make_model, make_recipe_data
from tests.model_folders import make_llama_folder
from tests.tokenizers_here import write_tokenizer


@pytest.fixture
def recipe(live_server: str, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point the command at a live server that has the recipe's model; return the recipe's file."""
    folder = make_llama_folder(tmp_path / "model")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    make_model(session, path=str(folder))
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    monkeypatch.setenv("TEMPER_URL", live_server)
    monkeypatch.setenv("TEMPER_TOKEN", token)
    forget_settings()
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data(training={"iterations": None, "epochs": 2})))
    return path


def forecast(*arguments: str) -> Result:
    """Run `temper forecast` in this process."""
    return CliRunner().invoke(app, ["forecast", *arguments])


def test_a_recipe_is_forecast_in_words(recipe: Path) -> None:
    """Packs, iterations and each source's share; what warns, and what is not known."""
    said = forecast(str(recipe))

    assert said.exit_code == 0, said.output
    for words in ("6, 6 updates", "identity", "learnt", "! ", "? How long it takes is not known"):
        assert words in said.stdout


def test_a_change_is_forecast_without_touching_the_file(recipe: Path) -> None:
    """As JSON it is what the API sends."""
    said = json.loads(forecast(str(recipe), "--set", "mix.identity_count=103", "--json").stdout)

    assert said["rows"] == 107
    assert json.loads(recipe.read_text())["mix"]["identity_count"] == 3


def test_a_recipe_that_is_none_is_refused(recipe: Path) -> None:
    """With every field that needs another value."""
    said = forecast(str(recipe), "--set", "training.learning_rate=quick")

    assert said.exit_code == 1
    assert "training.learning_rate" in said.stderr
