"""
`make faults`: strike with every fault, and put what each one cost into docs/reliability.md.

Every fault runs in a process and a Temper of its own, a few at once. The page's table is written only
when all of them could be counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- measured: written by make faults -->\n", "<!-- end of measured -->"

WHAT = {
    "F1": "`kill -9` of a trainer",
    "F2": "`kill -9` of a worker, on this host and on another",
    "F3": "`kill -9` of a pool process",
    "F4": "SIGTERM to a worker",
    "F5": "a trainer killed while it saves",
    "F6": "Redis killed, back empty",
    "F7": "Redis away for a minute",
    "F8": "connection cut, silent, slow",
    "F9": "a message delivered 100 times",
    "F10": "a run longer than the visibility timeout",
    "F11": "clock +2 h, -2 h",
    "F12": "two workers, one device, its holder killed",
    "F13": "out of GPU memory",
    "F14": "killed by the kernel for want of memory",
    "F15": "full disk: runs, one file, database",
    "F16": "SQLite locked for 10 s",
    "F17": "Postgres restarted",
    "F18": "`kill -9` of the web server during a launch",
    "F19": "web server restarted under 100 readers",
    "F20": "a trainer stopped by SIGSTOP",
    "F21": "a crash, before the first line and later",
    "F22": "exit 0 without a result",
    "F23": "a truncated, empty or garbage checkpoint; all of them",
    "F24": "ten stops at once, keeping or not; a stop while waiting",
    "F25": "a child that leaves the trainer's session",
    "F26": "`kill -9` of everything at once",
    "F27": "two reconcilers, one killed in the middle",
    "F28": "100 MB of log, a line of 10 MB, invalid bytes, NaN",
    "F29": "retention, a pin, a merge and a resume at once",
}
HEAD = (
    "| | fault | injected | recovered | median s | worst s | iterations repeated | doubled |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|\n"
)


def strike(number: int, *, rounds: int, record: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of one fault."""
    command = [sys.executable, "-m", "pytest", "tests/faults", "--long", "-q", "-k", f"test_f{number:02}_"]
    more = ["--faults-rounds", str(rounds), "--faults-record", str(record), "-p", "no:cacheprovider"]
    return subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the table of what was measured."""
    by_fault: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        by_fault[line["fault"]].append(line)
    return HEAD + "".join(_row(fault, by_fault[fault]) for fault in WHAT if fault in by_fault)


def _row(fault: str, lines: Sequence[dict[str, Any]]) -> str:
    seconds = [line["seconds"] for line in lines if line["seconds"] is not None] or [float("nan")]
    passed, repeated, doubled = (sum(line[name] for line in lines) for name in ("passed", "repeated", "doubled"))
    times = f"{statistics.median(seconds):.1f} | {max(seconds):.1f}"
    return f"| {fault} | {WHAT[fault]} | {len(lines)} | {passed} | {times} | {repeated} | {doubled} |\n"


def write_page(text: str) -> None:
    """Put a text between the two marks of the page."""
    before, begins, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not (begins and ends):
        raise SystemExit(f"{PAGE} has no place for the table: {BEGIN.strip()} ... {END}")
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", "utf-8")


def main() -> int:
    """Strike, show what failed, and write the page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="times that a fault of a random moment strikes")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    record = Path(tempfile.mkdtemp(prefix="temper-faults-")) / "faults.jsonl"
    numbers = [int(fault.removeprefix("F")) for fault in WHAT]
    with ThreadPoolExecutor(options.at_once) as several:
        done = list(several.map(lambda number: strike(number, rounds=options.rounds, record=record), numbers))
    failed = [result for result in done if result.returncode]
    for result in failed:
        print(result.stdout, result.stderr)
    lines = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    print(table(lines))
    if {line["fault"] for line in lines} == set(WHAT):
        write_page(table(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
