"""The project's shape: what may be loaded where, how large things may grow, and what must be written down."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.settings_page import PAGE, ROOT, settings_page

TRAINING = {"torch", "transformers", "xtuner", "mmengine", "peft", "bitsandbytes", "datasets"}
PACKAGES = ("app", "worker", "tests", "migrations")
MOST_LINES = 300
MOST_FUNCTION_LINES = 40
LARGE_FILES = {"app/domain/models.py": "every table and every state on one page"}


def sources(*folders: str) -> list[Path]:
    """Return the Python files of some folders."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def loaded_by(module: str) -> set[str]:
    """Return the names of the packages that a fresh process has loaded after importing a module."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["app.main", "app.cli", "app.client"])
def test_the_web_process_loads_nothing_that_trains(module: str) -> None:
    """It starts within moments, and its image has no torch."""
    assert loaded_by(module) & (TRAINING | {"worker"}) == set()


@pytest.mark.parametrize("module", ["worker.main", "worker.tasks", "worker.supervisor", "worker.exporter"])
def test_the_workers_own_process_loads_nothing_that_trains(module: str) -> None:
    """Only children hold a GPU and the memory of a model."""
    assert loaded_by(module) & TRAINING == set()


def test_the_settings_page_is_that_of_the_settings() -> None:
    """Every setting is on it with its default and its meaning; `python -m tests.settings_page` renews it."""
    assert PAGE.read_text("utf-8") == settings_page()


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    """At most 300 lines unless it says why, and a docstring first."""
    text = path.read_text("utf-8")
    name = str(path.relative_to(ROOT))
    is_shipped = path.is_relative_to(ROOT / "app") or path.is_relative_to(ROOT / "worker")

    if is_shipped and name not in LARGE_FILES:
        assert len(text.splitlines()) <= MOST_LINES
    if text.strip():
        assert ast.get_docstring(ast.parse(text))


def test_functions_are_short() -> None:
    """At most 40 lines each, and half of them ten or fewer."""
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in sources("app", "worker")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 10


def test_only_the_edges_commit() -> None:
    """One request or one task is one transaction: nothing between commits a part of it."""
    edges = {"app/domain/db.py", "app/web/deps.py"}
    committing = {
        str(path.relative_to(ROOT))
        for path in sources("app", "worker")
        if re.search(r"\.(commit|rollback)\b", path.read_text("utf-8"))
    }

    assert committing <= edges


def test_no_module_is_a_box_of_odds_and_ends() -> None:
    """A module is named after what it is about."""
    names = {path.stem for path in sources("app", "worker")}

    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}


@pytest.mark.parametrize("folder", ["templates", "static"])
def test_pages_carry_no_inline_script_or_style(folder: str) -> None:
    """The content security policy allows neither, so a page that has one is broken."""
    inline = re.compile(r"<[^>]*\s(?:on[a-z]+|style)\s*=|<style|<script(?![^>]*\ssrc=)", re.IGNORECASE)
    found = {
        str(path.relative_to(ROOT)): match.group()
        for path in (ROOT / folder).rglob("*.html")
        if (match := inline.search(path.read_text("utf-8")))
    }

    assert found == {}


def test_a_page_template_is_a_skeleton() -> None:
    """A page is made of includes: at most 60 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "templates").rglob("*.html")
        if not path.name.startswith("_")
        and path.parent.name != "macros"
        and (lines := len(path.read_text("utf-8").splitlines())) > 60
    }

    assert long == {}


def test_the_decisions_are_short_and_complete() -> None:
    """Each says its context, what was decided, what follows and what else there was, in 60 lines."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

    assert len(decisions) >= 5
    for path in decisions:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 60, path.name
        for heading in ("## Context", "## Decision", "## Consequences", "## Alternatives"):
            assert heading in text, path.name


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    """A link to a file of this repository names one that is there."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    broken = {
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    }

    assert broken == set()


def test_web_and_worker_of_a_server_see_the_same_models() -> None:
    """A folder or a hub id that the web registers is there where it is trained; a worker has time to save."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]

    targets = [{volume.split(":", 1)[-1] for volume in services[name]["volumes"]} for name in ("web", "worker")]
    assert targets[0] == targets[1]
    assert any(target.endswith("/models:ro") for target in targets[0])
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > 60


def test_a_server_opens_no_port_but_the_webs() -> None:
    """Database and queue are on a network of their own, and the web server listens to its own machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]

    assert {name for name, service in services.items() if "ports" in service} == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in services["web"]["ports"])
    assert services["postgres"]["networks"] == services["redis"]["networks"] == ["back"]
