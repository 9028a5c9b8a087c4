"""
Hold the pairs of a form against each other, and against the files that are mixed with them.

Asked while somebody types: loads neither polars nor a file, does no more than so much work, and
remembers what it found in the pairs. What is wrong within a file is not searched here: `stored` has it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.domain.findings.form_pairs import Asked, search_pairs
from app.domain.findings.index import (
    FileConflicts,
    conflicts_between,
    conflicts_with_pairs,
    index_path,
    read_turn,
)
from app.domain.findings.kinds import (
    Field,
    Finding,
    FindingKind,
    Findings,
    Repair,
    RepairAction,
    merged,
)
from app.domain.findings.sentences import EXCERPT, PlaceOf, conflict_sentence
from app.domain.messages import message


def find_in_mix(
    *,
    identity: Sequence[Asked] = (),
    general: Sequence[Asked] = (),
    files: Sequence[tuple[str, Path]] = (),
    system: str = "",
) -> Findings:
    """
    Search a form's pairs, and the conflicts of all sources with each other.

    Args:
        identity: the identity pairs.
        general: the general pairs, in the order of the mix.
        files: name and path of stored datasets, in the order of the mix.
        system: stands before every pair.

    Returns:
        Rows of pairs are counted from 1 in their list. The earlier source is right: a conflict is
        found in the later one. `unread` names the files that were not searched yet. `is_partial`
        says that the pairs were too much to be searched for all that is nearly alike.
    """
    form = search_pairs(identity, general, system)
    read = [(name, path) for name, path in files if index_path(path).exists()]
    return merged(
        [
            form.findings,
            *(
                _conflicts(source, conflicts_with_pairs(source[1], form.asked, form.answers), form.place_of)
                for source in read
            ),
            *(
                _conflicts(source, conflicts_between(earlier[1], source[1]), partial(_place_in, earlier[0]))
                for number, source in enumerate(read)
                for earlier in read[:number]
            ),
            Findings(unread=tuple(name for name, path in files if (name, path) not in read)),
        ]
    )


def _place_in(source: str, row: int) -> tuple[str, int]:
    return source, row


def _conflicts(source: tuple[str, Path], found: FileConflicts, place_of: PlaceOf) -> Findings:
    """Put conflicts of a file with an earlier source into words."""
    if not found.count:
        return Findings()
    name, path = source
    examples = []
    for row, turn, start, other in zip(found.row, found.turn, found.start, found.other, strict=True):
        other_source, other_row = place_of(int(other))
        examples.append(
            Finding(
                kind=FindingKind.CONFLICT,
                source=name,
                row=int(row) + 1,
                turn=int(turn) + 1,
                field=Field.OUTPUT,
                text=read_turn(path, int(start), int(turn))["output"][:EXCERPT],
                other_source=other_source,
                other_row=other_row + 1,
                sentence=conflict_sentence(name, other_source, other_row),
                repair=Repair(RepairAction.DROP_ROW, message("Drop this row.")),
            )
        )
    return Findings(counts={FindingKind.CONFLICT: found.count}, examples=tuple(examples))
