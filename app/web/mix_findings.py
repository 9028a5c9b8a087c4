"""What is wrong within the mix of a form: its pairs against each other, and all sources against each other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.domain.datasets.store import dataset_file
from app.domain.errors import AppError
from app.domain.findings.kinds import Findings
from app.domain.findings.mixes import find_in_mix
from app.domain.findings.stored import find_stored
from app.domain.mixes import general_of, identity_of
from app.domain.recipes import Mix
from app.web.dataset_findings import FoundKind, found_kinds

SHOWN = 3  # examples of a kind beside the form
_hopeless: set[Path] = set()  # sets whose search failed: a form that asks again every two seconds must not try again


def find_in_form(mix: Mix) -> Findings:
    """Search a mix; a saved set that was never searched is begun with, and is in the next answer."""
    files = [(file.dataset, dataset_file(file.sha256)) for file in mix.files]
    there = [(name, path) for name, path in files if path.is_file()]
    found = find_in_mix(identity=identity_of(mix), general=general_of(mix), files=there, system=mix.system)
    begun = [name for name, path in there if name in found.unread and _is_begun(path)]
    return replace(found, unread=tuple(begun))


def _is_begun(path: Path) -> bool:
    """Begin to search a set, or go on; False where that failed: the set's own page says why."""
    if path in _hopeless:
        return False
    try:
        find_stored(path, wait_seconds=0)
    except AppError:
        _hopeless.add(path)
    return path not in _hopeless


def found_in_form(findings: Findings | None) -> Sequence[FoundKind]:
    """Return what was found by kind."""
    return found_kinds(findings, shown=SHOWN) if findings else ()
