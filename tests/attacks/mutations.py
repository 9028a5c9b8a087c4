"""
Remove a guard and see the attack's test fail: `python -m tests.attacks.mutations [ROW ...]`.

The table is made of the modules `tests/attacks/guards_*.py`, one to an area, so that two people can add rows without
touching the same file. Each has a list `GUARDS` of `Guard(row, file, text, replacement)`:

- `row`: number in the checklist of attacks. The tests of a row are those of `tests/attacks/test_*.py` whose docstring
  begins with it: `16: ...`.
- `file`: where the guard stands, from the root of the tree.
- `text`: the guard, as it stands there; exactly once, or the row is an error.
- `replacement`: what stands there when it is gone.
- `tests`: words of pytest's `-k`, where only some of the row's tests look at this guard; all of them without.

For each guard the tree is copied, the one text replaced, and the row's tests run in the copy. They are expected to
fail: a guard without which they still pass is not looked at by any of them. `--intact` runs the tests of each row in
an unchanged copy as well, where they must pass.
"""

import argparse
import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
TESTS_FAILED = 1  # pytest's own exit code; others say that nothing could be run
FAILED = re.compile(r"\b(\d+) failed\b")


@dataclass(frozen=True)
class Guard:
    """One guard, and what stands in its place when it is gone."""

    row: int
    file: str
    text: str
    replacement: str
    tests: str = ""


def guards() -> list[Guard]:
    """Return the whole table, by row."""
    modules = (importlib.import_module(f"tests.attacks.{path.stem}") for path in sorted(FOLDER.glob("guards_*.py")))
    found: list[Guard] = [guard for module in modules for guard in module.GUARDS]
    return sorted(found, key=lambda guard: guard.row)


def tests_of(row: int) -> list[str]:
    """Return the tests of a row as pytest names them, those that stand elsewhere last."""
    return [*(name for at, name in _numbered() if at == row), *elsewhere().get(row, [])]


def elsewhere() -> dict[int, list[str]]:
    """Return the tests that look at an attack where its subject is tested, by row; whoever adds one says so here."""
    modules = (importlib.import_module(f"tests.attacks.{path.stem}") for path in sorted(FOLDER.glob("guards_*.py")))
    found: dict[int, list[str]] = {}
    for module in modules:
        for row, names in getattr(module, "ELSEWHERE", {}).items():
            found.setdefault(row, []).extend(names)
    return found


def rows() -> set[int]:
    """Return the rows that have a test."""
    return {row for row, _ in _numbered()} | set(elsewhere())


def _numbered() -> Iterator[tuple[int, str]]:
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            said = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
            number = re.match(r"(\d+): ", said or "")
            if number and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield int(number[1]), f"tests/attacks/{path.name}::{node.name}"


def check(guard: Guard) -> str:
    """Remove a guard in a copy of the tree; return `fails` when its tests do, else what is wrong."""
    with tempfile.TemporaryDirectory(prefix="temper-mutation-") as scratch:
        tree = copy_tree(Path(scratch) / "tree")
        path = tree / guard.file
        text = path.read_text("utf-8")
        if text.count(guard.text) != 1:
            return f"ERROR: the guard stands {text.count(guard.text)} times in {guard.file}"
        path.write_text(text.replace(guard.text, guard.replacement), "utf-8")
        done = run_tests(tree, tests_of(guard.row), words=guard.tests)
    failed = FAILED.search(done.stdout)
    if done.returncode == TESTS_FAILED and failed:
        return f"fails ({failed[1]})"
    return "STILL PASSES" if done.returncode == 0 else f"ERROR: {_last_words(done)}"


def check_intact(row: int) -> str:
    """Run a row's tests in an unchanged copy."""
    with tempfile.TemporaryDirectory(prefix="temper-mutation-") as scratch:
        done = run_tests(copy_tree(Path(scratch) / "tree"), tests_of(row))
    return "passes" if done.returncode == 0 else f"ERROR: {_last_words(done)}"


def copy_tree(target: Path) -> Path:
    """Copy what is tested; the virtual environment and the models are linked."""
    shutil.copytree(ROOT, target, ignore=LEFT_OUT, symlinks=True)
    for name in (".venv", "build"):
        if (ROOT / name).exists() and not (target / name).exists():
            (target / name).symlink_to((ROOT / name).resolve())
    return target


def run_tests(tree: Path, tests: Sequence[str], *, words: str = "") -> "subprocess.CompletedProcess[str]":
    """Run tests of a copied tree, in which its own modules are found first."""
    chosen = ["-k", words] if words else []
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *chosen, *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"C_FORCE_ROOT": "1"}  # as root Celery itself refuses to start a worker that takes pickles
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stdout + done.stderr).strip().splitlines()
    return f"exit {done.returncode}, {lines[-1] if lines else 'no word'}"


def main() -> int:
    """Check the guards of some rows, or all; return how the process ends."""
    parser = argparse.ArgumentParser(prog="tests.attacks.mutations", description=__doc__.splitlines()[1])
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW")
    parser.add_argument("--intact", action="store_true", help="run the tests with every guard in its place, too")
    options = parser.parse_args()
    wanted = [guard for guard in guards() if not options.rows or guard.row in options.rows]
    bad = 0
    for row in sorted({guard.row for guard in wanted}) if options.intact else ():
        said = check_intact(row)
        bad += said != "passes"
        print(f"{row:>3}  {'(all guards in place)':<58} {said}", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(check, wanted)
        for guard, said in zip(wanted, outcomes, strict=True):
            bad += not said.startswith("fails")
            print(f"{guard.row:>3}  {guard.file + ': ' + _short(guard.text):<58} {said}", flush=True)
    for row in sorted((set(options.rows) or rows()) - {guard.row for guard in wanted}):
        bad += 1
        print(f"{row:>3}  {'no guard in the table':<58} ERROR", flush=True)
    return 1 if bad else 0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:39]}…"


if __name__ == "__main__":
    sys.exit(main())
