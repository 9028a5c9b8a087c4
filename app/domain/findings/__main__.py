"""
The child that searches a stored dataset: `python -P -m app.domain.findings FILE TARGET`.

Writes the findings of FILE to TARGET and the index of its questions beside FILE. With `--repair` it
reads a choice as JSON from standard input, writes the repaired rows to TARGET, and to standard
output what became of them. With `--taught` it reads identity answers, and writes to TARGET which
rows hold them. Knows neither settings nor database.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.domain.datasets.intake import Limits, limit
from app.domain.findings.choices import Choice
from app.domain.findings.kinds import FindingKind
from app.domain.findings.taught_runs import answers_key
from app.processes import die_with

TOO_LARGE = 3  # exit status: more memory was asked for than there is


def main(arguments: Sequence[str]) -> int:
    """Search or repair one file, under limits where some are given."""
    given = _parser().parse_args(arguments)
    if given.limits:
        die_with(given.parent)
        limit(Limits(**json.loads(given.limits)), mapped_bytes=given.file.stat().st_size)
    try:
        if given.repair:
            _repair(given.file, given.target, json.load(sys.stdin))
        elif given.taught:
            _search_taught(given.file, given.target, json.load(sys.stdin))
        else:
            _search(given.file, given.target)
    except MemoryError:
        return TOO_LARGE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -P -m app.domain.findings", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--repair", action="store_true", help="make the repairs that standard input names")
    parser.add_argument("--taught", action="store_true", help="look for the answers that standard input holds")
    parser.add_argument("--limits", help="what this process may take, as JSON")
    parser.add_argument("--parent", type=int, help="process that this one dies with")
    return parser


def _search(path: Path, target: Path) -> None:
    from app.domain.findings.files import search_file  # noqa: PLC0415 - polars starts its threads under the limits
    from app.domain.findings.index import index_path, write_index  # noqa: PLC0415

    searched = search_file(path)
    partial = target.with_suffix(".index.part")
    write_index(searched.table, searched.rows.starts, partial)
    partial.replace(index_path(path))
    _write(searched.findings().as_json(), target)


def _search_taught(path: Path, target: Path, answers: list[str]) -> None:
    from app.domain.findings.files import find_taught_in_file  # noqa: PLC0415 - as above

    _write({"answers": answers_key(answers), **find_taught_in_file(path, answers).as_json()}, target)


def _write(made: dict[str, Any], target: Path) -> None:
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(made, ensure_ascii=False), "utf-8")
    partial.replace(target)


def _repair(path: Path, target: Path, choice: dict[str, Any]) -> None:
    from app.domain.findings.repairs import apply_repairs  # noqa: PLC0415

    kinds = [FindingKind(kind) for kind in choice["kinds"]]
    rows = choice["rows"]
    wanted = Choice(kinds, rows=rows if rows is None else frozenset(rows), drop=frozenset(choice["drop"]))
    sys.stdout.write(json.dumps(asdict(apply_repairs(path, wanted, target))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
