"""The `temper` command against a live server."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import accounts
from app.domain.models import Checkpoint, Run, RunState
from app.domain.recipes import Recipe
from tests.conftest import forget_settings
from tests.factories import IDENTITY, make_checkpoint, make_model, make_recipe_data, make_run

COMMANDS = ("up", "web", "worker", "demo", "run", "wait", "runs", "show", "stop", "compare", "ask", "card", "export",
            "import", "models", "token", "user", "password", "audit", "login-link", "migrate", "doctor")  # fmt: skip


@pytest.fixture
def server(live_server: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the command at a live server, with an admin's token."""
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    monkeypatch.setenv("TEMPER_URL", live_server)
    monkeypatch.setenv("TEMPER_TOKEN", token)
    forget_settings()
    return live_server


def temper(*arguments: str, text: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(arguments), input=text)


def read(*arguments: str) -> Any:
    """Run the command with `--json`; return what it wrote."""
    result = temper(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str) -> None:
    """Each command says what it does, and can write JSON."""
    helps = [temper(command, "--help")]
    if command == "token":
        helps = [temper(command, part, "--help") for part in ("create", "list", "revoke")]

    for shown in helps:
        assert shown.exit_code == 0
        assert "--json" in shown.stdout


@pytest.mark.usefixtures("server")
def test_a_card_is_written_and_starts_the_same_run(session: Session, tmp_path: Path) -> None:
    """What `card` writes, `run` reads: single settings can be changed on the way, and it comes from a pipe too."""
    run = make_run(session, state=RunState.FINISHED)
    path = tmp_path / "card.html"

    written = read("card", str(run.id), "--to", str(path))
    again = read("run", str(path))
    piped = temper("run", "-", "--set", "training.seed=9", "--json", text=path.read_text("utf-8"))

    assert written["size_bytes"] == path.stat().st_size
    assert again["recipe"] == Recipe.model_validate(run.recipe).model_dump(mode="json")
    assert json.loads(piped.stdout)["recipe"]["training"]["seed"] == 9
    assert temper("run", str(path.with_suffix(".none"))).exit_code != 0
    assert temper("card", str(run.id), "--to", str(tmp_path / "no" / "card.html")).exit_code != 0


@pytest.mark.usefixtures("server")
def test_a_recipe_file_starts_a_run(session: Session, tmp_path: Path) -> None:
    """A recipe is read from a file, single settings changed on the way."""
    make_model(session)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data()))

    run = read("run", str(path), "--set", "mix.general_count=9", "--set", "name=from a file")

    assert run["recipe"]["mix"]["general_count"] == 9
    assert run["name"] == "from a file"
    assert [listed["id"] for listed in read("runs")["runs"]] == [run["id"]]
    assert "from a file" in temper("runs").stdout


@pytest.mark.usefixtures("server")
def test_a_recipe_may_be_toml_or_come_in_a_pipe(session: Session, tmp_path: Path) -> None:
    """TOML and standard input do as well."""
    make_model(session)
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "toml"\nmodel = "smollm2"\n[mix]\nidentity = [{question = "Who?", answer = "{name}"}]\n'
        '[training]\nepochs = 1\n[[probes]]\nquestion = "Who?"\ngroup = "identity"\n'
    )

    assert read("run", str(path))["name"] == "toml"
    piped = temper("run", "-", "--json", text=json.dumps(make_recipe_data(name="piped")))
    assert json.loads(piped.stdout)["name"] == "piped"


@pytest.mark.usefixtures("server")
def test_a_bad_recipe_ends_with_its_fields(session: Session) -> None:
    """A refused recipe exits 1 with every field's sentence on standard error, and no traceback."""
    make_model(session)

    result = temper("run", "-", text=json.dumps(make_recipe_data(training={"learning_rate": -1})))

    assert result.exit_code == 1
    assert "training.learning_rate: -1" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_what_is_no_recipe_is_told(text: str) -> None:
    """A file that holds no recipe is refused before anything is sent."""
    result = temper("run", "-", text=text)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error:")


@pytest.mark.usefixtures("server", "live_worker")
def test_a_run_is_trained_converted_and_taken_home(session: Session, tmp_path: Path) -> None:
    """`run --wait` waits for the end, and `export` downloads whole files."""
    make_model(session)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data()))

    run = read("run", str(path), "--wait")
    checkpoint = session.exec(select(Checkpoint).order_by(col(Checkpoint.iteration).desc())).first()
    assert checkpoint is not None
    exported = read("export", str(checkpoint.id), "--to", str(tmp_path / "adapter"))

    assert run["state"] == "finished"
    for file in exported["files"]:
        assert (tmp_path / "adapter" / file["name"]).stat().st_size == file["size_bytes"]
    assert not list((tmp_path / "adapter").glob("*.part"))


@pytest.mark.usefixtures("server", "live_worker")
def test_what_was_waited_for_ends_with_its_verdict(session: Session, tmp_path: Path) -> None:
    """Whoever waits for a run hears what it has come to, which checkpoint to keep, and where the answers stand."""
    make_model(session)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data(name="learns")))

    *_, verdict, kept, where = temper("run", str(path), "--wait").stdout.splitlines()

    assert verdict.startswith("Verdict: good at iteration ")
    assert kept.startswith("Keep iteration ")
    assert where.startswith("Compare: http://127.0.0.1:")
    assert "/compare?runs=" in where


@pytest.mark.usefixtures("server", "live_worker")
def test_a_failed_run_fails_the_command(session: Session, tmp_path: Path) -> None:
    """A pipeline that waits for a run hears of its failure."""
    make_model(session)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(make_recipe_data(name="crash")))

    result = temper("run", str(path), "--wait", "--require", "good")

    assert result.exit_code == 3
    assert "failed" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("Error: Run ")


@pytest.fixture
def story(session: Session) -> Run:
    """Return a run with a base model and a checkpoint to keep."""
    run = make_run(session, state=RunState.RUNNING, name="story [bold]x[/bold]")
    make_checkpoint(session, run, iteration=0, texts=["A model.", "No.", "Lyon."])
    make_checkpoint(session, run, iteration=5, texts=[IDENTITY, "No.", "Paris, \x1b[31mred"])
    return run


@pytest.mark.usefixtures("server")
def test_a_run_is_shown_with_its_checkpoints(story: Run) -> None:
    """A run's name is text, and its checkpoints have their verdicts."""
    shown = temper("show", str(story.id)).stdout

    assert "story [bold]x[/bold]" in shown
    assert "good ★ keep" in shown
    assert "Verdict: good at iteration 5, identity 1/1, leak 0/" in shown
    assert f"Best so far is iteration 5, checkpoint {story.checkpoints[1].id}. " in shown
    assert shown.rstrip().endswith(f"/compare?runs={story.id}")
    assert len(read("show", str(story.id))["checkpoints"]) == 2


@pytest.mark.usefixtures("server")
def test_answers_stand_side_by_side(story: Run) -> None:
    """The table marks each answer, and nothing in an answer reaches the terminal as a command."""
    shown = temper("compare", "--run", str(story.id)).stdout

    assert f"● {IDENTITY[:20]}" in shown
    assert "✗ Lyon." in shown
    assert "✓ Paris" in shown
    assert "\x1b" not in shown
    assert "keep iteration 5" in shown
    assert len(read("compare", "--run", str(story.id))["columns"]) == 2
    assert temper("compare", "--run", str(story.id), "--as", "csv").stdout.count("\n") >= 5


@pytest.mark.usefixtures("server")
def test_a_run_is_stopped(session: Session) -> None:
    """A waiting run is cancelled; a second stop fails."""
    run = make_run(session)

    assert temper("stop", str(run.id)).stdout.strip() == f"Run {run.id} is cancelled."
    assert temper("stop", str(run.id)).exit_code == 1


@pytest.mark.usefixtures("server")
def test_a_stopped_run_is_resumed_and_moved(session: Session) -> None:
    """It waits behind the others, until it is moved to the front."""
    first, stopped = make_run(session), make_run(session, state=RunState.CANCELLED)

    assert temper("resume", str(stopped.id)).stdout.strip() == f"Run {stopped.id} is queued, number 2 in the queue."
    assert temper("move", str(stopped.id), "1").stdout.strip() == f"Run {stopped.id} is queued, number 1 in the queue."
    assert temper("resume", str(first.id)).exit_code == 1


@pytest.mark.usefixtures("server")
def test_models_are_listed(session: Session) -> None:
    """Models are listed; one that cannot be registered says why."""
    make_model(session)

    assert "smollm2" in temper("models").stdout
    assert read("models")[0]["name"] == "smollm2"
    assert "source:" in temper("models", "add", "x", "/nowhere").stderr


def test_a_server_that_is_not_there_is_told(home: Path) -> None:
    """Without a server the command says so, without a traceback."""
    (home / "url").write_text("http://127.0.0.1:9")

    result = temper("runs")

    assert result.exit_code == 1
    assert "No Temper answers at http://127.0.0.1:9" in result.stderr


# ── The keys of the house ──────────────────────────────────────────────────


@pytest.mark.usefixtures("database_url")
def test_a_token_s_life() -> None:
    """A token is shown once, listed without its secret, and revoked."""
    token = read("token", "create", "script", "--days", "3")["token"]
    (listed,) = read("token", "list")

    assert token.startswith("temper_")
    assert token not in temper("token", "list").stdout
    assert (listed["name"], listed["role"]) == ("script", "admin")
    assert temper("token", "revoke", str(listed["id"])).exit_code == 0
    assert read("token", "list") == []
    assert temper("token", "revoke", "999").exit_code == 1


@pytest.mark.usefixtures("database_url")
def test_a_user_gets_a_role() -> None:
    """A new user has a role, and their tokens have it too."""
    assert temper("user", "rita", "--role", "runner").exit_code == 0

    read("token", "create", "script", "--user", "rita")
    assert read("token", "list")[0]["role"] == "runner"
    assert temper("token", "create", "script", "--user", "nobody").exit_code == 1


@pytest.mark.usefixtures("database_url")
def test_a_name_is_one_user_s() -> None:
    """A second user of the same name is refused with a sentence."""
    temper("user", "bob", "--role", "viewer")

    again = temper("user", "bob", "--role", "admin")

    assert again.exit_code == 1
    assert "name: There is a user named “bob” already." in again.stderr


@pytest.mark.usefixtures("session")
def test_a_token_ends_by_itself_unless_it_is_told_not_to() -> None:
    """What a script reads is the token alone; when it ends is said beside it."""
    made, lasting = temper("token", "create", "ci"), temper("token", "create", "ci", "--days", "0")

    assert [made.stdout.count("\n"), lasting.stdout.count("\n")] == [1, 1]
    assert "ends in 30 days" in made.stderr
    assert "lasts until it is revoked" in lasting.stderr
    ends = [token["expires_at"] for token in read("token", "list")]
    assert [end is None for end in ends] == [False, True]


LOCAL = ("user bob --role viewer", "token create ci", "token list", "token revoke 1", "audit", "password", "login-link",
         "migrate", "backup", "restore /x", "import /x")  # fmt: skip


@pytest.mark.parametrize("command", LOCAL)
@pytest.mark.usefixtures("home")
def test_what_works_on_the_database_is_not_taken_for_what_a_server_obeys(
    monkeypatch: pytest.MonkeyPatch, home: Path, command: str
) -> None:
    """Whoever names a server elsewhere and a token is told whose database this would have been."""
    monkeypatch.setenv("TEMPER_URL", "https://temper.example")
    monkeypatch.setenv("TEMPER_TOKEN", "temper_x")
    forget_settings()

    result = temper(*command.split(), text="correct horse battery\n")

    assert result.exit_code == 1
    assert "name the server at https://temper.example" in result.stderr
    assert str(home) in result.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("name", "setting"), [("url", "TEMPER_URL"), ("token", "TEMPER_TOKEN")])
@pytest.mark.usefixtures("server", "session")
def test_the_server_of_this_home_is_no_other_one(home: Path, name: str, setting: str) -> None:
    """Its address or its token may be set by hand as well."""
    (home / name).write_text(f"{os.environ[setting]}\n", "utf-8")

    assert temper("user", "bob", "--role", "viewer").exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "command", "sentence"),
    [
        ("TEMPER_HOME", "/nowhere/at/all", "token list", "Is TEMPER_HOME right?"),
        ("TEMPER_OIDC_ISSUER", "https://id.example.org", "token list", "TEMPER_OIDC_…: TEMPER_OIDC_ISSUER takes"),
        ("TEMPER_TRUSTED_PROXIES", '["0.0.0.0/0"]', "token list", "TEMPER_TRUSTED_PROXIES: a network of all addresses"),
        ("TEMPER_TRUSTED_PROXIES", '["10.2.0.1/8"]', "token list", "is not a valid IPv4 network"),
        ("TEMPER_TRUSTED_PROXIES", "10.2.0.1", "token list", "trusted_proxies"),
        ("TEMPER_URL", "javascript:alert(1)", "token list", "TEMPER_URL: it must be an address such as"),
        ("TEMPER_URL", "temper.example", "token list", "TEMPER_URL: it must be an address such as"),
        ("TEMPER_PORT", "abc", "runs", "TEMPER_PORT: Input should be a valid integer"),
        ("TEMPER_DATABASE_URL", "postgresql+psycopg://u:p@127.0.0.1:9/x", "migrate", "The database refuses"),
        ("TEMPER_DATABASE_URL", "nonsense", "migrate", "TEMPER_DATABASE_URL cannot be used"),
        (
            "TEMPER_URL",
            "http://127.0.0.1:9",
            "runs",
            "No Temper answers at http://127.0.0.1:9: Connection refused. Is it",
        ),
        (
            "TEMPER_URL",
            "http://127.0.0.1:9",
            "run /nowhere.yaml",
            "/nowhere.yaml cannot be read: No such file or directory.",
        ),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_does_not_work_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, *, name: str, value: str, command: str, sentence: str
) -> None:
    """A setting that cannot be read and a service that is down end the command without a traceback."""
    monkeypatch.setenv(name, value)
    forget_settings()

    result = temper(*command.split())

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert sentence in result.stderr


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is not dressed up as a sentence."""
    monkeypatch.setattr("app.cli.checkup.examine", lambda: {}["unexpected"])

    assert isinstance(temper("doctor").exception, KeyError)


def test_a_password_is_set_before_anything_else(home: Path) -> None:
    """On a new server the password comes first; a short one is refused."""
    refused = temper("password", text="short\n")
    taken = temper("password", text="correct horse battery\n")

    assert refused.exit_code == 1
    assert "password: Take 10" in refused.stderr
    assert taken.exit_code == 0
    assert (home / "temper.db").exists()


@pytest.mark.usefixtures("database_url")
def test_a_login_link_is_printed() -> None:
    """A link leads to the login page of the server."""
    assert temper("login-link").stdout.startswith("http://127.0.0.1:8321/login/")


@pytest.mark.usefixtures("home")
def test_a_database_without_tables_is_told() -> None:
    """Before the first migration the command says what to do."""
    assert "temper migrate" in temper("token", "list").stderr
    assert temper("migrate").exit_code == 0
    assert read("token", "list") == []


@pytest.mark.usefixtures("database_url")
def test_the_doctor_says_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor names what is fine and what is missing, and exits 1 only for the latter."""
    findings = {each["what"]: each for each in json.loads(temper("doctor", "--json").stdout)}
    monkeypatch.setenv("TEMPER_REDIS_URL", "redis://127.0.0.1:9")
    forget_settings()

    broken = temper("doctor")

    assert findings["database"]["says"] == "sqlite, up to date"
    assert {"Python", "disk", "GPU", "torch", "xtuner"} <= set(findings)
    assert broken.exit_code == 1
    assert "Redis does not answer" in broken.stdout
