"""
Everything that is too long for the suite: `make security`, or `python -m tests.attacks.security`.

Attacks every row of the checklist, then again with each guard removed; asks the API for 500 examples of every
operation, with and without a token; throws thousands of uploads and recipes at it; looks for weak code and for
packages with known holes. Prints one table in the end; exit 1 when something fails. What cannot be looked at
here, because no service answers, is said to be NOT RUN.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attacks.mutations import ROOT

NOT_RUN = "NOT RUN"
UNKNOWN = "could not be audited"  # pip-audit's own words: it passes what it could not ask about
PYTEST = ("-m", "pytest", "-q", "--no-header")


@dataclass(frozen=True)
class Outcome:
    """How one part went."""

    part: str
    said: str
    is_fine: bool
    seconds: float


def run(arguments: Sequence[str], **environment: str) -> tuple[int, str]:
    """Run a module or program of this environment, its output shown as it comes and kept."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def last_line(said: str) -> str:
    """Return the last line that says something."""
    return next((line.strip("= \n") for line in reversed(said.splitlines()) if line.strip("= \n")), "")


def attacks(_: argparse.Namespace) -> tuple[bool, str]:
    """Carry out every attack that stands in the folder of attacks."""
    code, said = run([*PYTEST, "tests/attacks"])
    return code == 0, last_line(said)


def mutations(_: argparse.Namespace) -> tuple[bool, str]:
    """Remove each guard."""
    code, said = run(["-m", "tests.attacks.mutations"])
    rows = [line for line in said.splitlines() if line[:3].strip().isdigit()]
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "mutations.txt").write_text("\n".join(rows) + "\n", "utf-8")
    fail = sum(" fails (" in line for line in rows)
    return code == 0, f"{fail} of {len(rows)} guards are missed by their tests when they are gone"


def api(options: argparse.Namespace) -> tuple[bool, str]:
    """Ask the API for everything."""
    outcomes = [_asked(options.examples, "sqlite"), _asked(options.examples // 5, "postgres")]
    return all(is_fine for is_fine, _ in outcomes), "; ".join(said for _, said in outcomes)


def _asked(examples: int, database: str) -> tuple[bool, str]:
    code, said = run(["-m", "tests.attacks.api_fuzz", "--examples", str(examples), "--database", database])
    with_token, without, *rest = (int(found) for found in re.findall(r"(\d+) generated", said))
    asked = f"{examples} examples on {database}: {with_token + sum(rest)} requests with a token, {without} without one"
    return code == 0, asked


def fuzzers(options: argparse.Namespace) -> tuple[bool, str]:
    """Upload anything, and ask for runs of anything."""
    code, said = run([*PYTEST, "tests/attacks/test_fuzz.py"], FUZZ_EXAMPLES=str(options.fuzz))
    return code == 0, f"{options.fuzz} uploads, 3 x {options.fuzz} recipes: {last_line(said)}"


def bandit(_: argparse.Namespace) -> tuple[bool, str]:
    """Look for weak code."""
    code, said = run(["-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "app", "worker"])
    return code == 0, "nothing" if code == 0 else f"{said.count('>> Issue')} findings"


def packages(_: argparse.Namespace) -> tuple[bool, str]:
    """Look for packages with known holes, where a service that knows them answers."""
    with TemporaryDirectory() as folder:
        one = Path(folder) / "one.txt"
        one.write_text(f"jinja2=={version('jinja2')}\n", "utf-8")
        code, said = run(["-m", "pip_audit", "-r", str(one), "--no-deps", "--disable-pip", "--progress-spinner", "off"])
    if UNKNOWN in said or "No known vulnerabilities found" not in said:
        return True, f"{NOT_RUN}: no service that knows of vulnerabilities answers here"
    code, said = run(["-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off"])
    return code == 0, last_line(said) if code else "no known vulnerability"


PARTS: dict[str, Callable[[argparse.Namespace], tuple[bool, str]]] = {
    "attacks": attacks,
    "guards": mutations,
    "api": api,
    "fuzzers": fuzzers,
    "bandit": bandit,
    "packages": packages,
}


def main() -> int:
    """Run the parts that are asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="tests.attacks.security")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--examples", type=int, default=500, help="of each operation of the API")
    parser.add_argument("--fuzz", type=int, default=2_000, help="uploads, and recipes of each kind")
    options = parser.parse_args()
    outcomes = []
    for part in options.parts or PARTS:
        print(f"── {part}", flush=True)
        began = time.monotonic()
        is_fine, said = PARTS[part](options)
        outcomes.append(Outcome(part, said, is_fine, time.monotonic() - began))
    print()
    for each in outcomes:
        word = "NOT RUN" if each.said.startswith(NOT_RUN) else "ok" if each.is_fine else "FAILED"
        print(f"{each.part:10} {word:8} {each.seconds:7.0f} s  {each.said.removeprefix(f'{NOT_RUN}: ')}")
    return int(not all(each.is_fine for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
