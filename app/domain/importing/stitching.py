"""
Several starts of one run, put into one line of iterations.

A start that was resumed takes the place of everything after the checkpoint that it went on from. One that
began anew takes the place of what it trained again. Of a start that never trained, nothing is taken. What
was saved of a line that was given up stays on the disk until it is saved again: it is none of the run's.

Source:
    mmengine 0.10 `hooks/checkpoint_hook.py`: a start that goes on deletes what it saved itself, or what the
    checkpoint that it went on from names; nothing later.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from app.domain.importing.found import Measured, Start
from app.domain.messages import Message, message


@dataclass(frozen=True)
class Stitched:
    """Several starts as one line."""

    starts: Sequence[Start]
    """Those that trained."""
    given_up: AbstractSet[int]
    """Iterations of checkpoints that are there, and of no start any more."""
    notes: Sequence[Message]


def stitch(starts: Sequence[Start], saved: Iterable[int] = ()) -> Stitched:
    """
    Cut the starts so that every iteration is one's alone.

    Args:
        starts: by time.
        saved: iterations of the checkpoints that are there, for a start whose log does not say where it went on.
    """
    known = sorted(saved)
    told = {at for start in starts for at in (*start.saved, *start.said)}
    furthest = max((start.last for start in starts), default=0)
    trained: list[Start] = []
    notes: list[Message] = []
    base = next((start.said[0] for start in starts if 0 in start.said), None)
    for start in starts:
        if not start.has_trained:
            continue
        if trained and not start.resumed_from:
            start.resumed_from = _guessed(start, known)
        if trained:
            notes += _make_room(trained, start)
        trained.append(start)
    trained = [start for start in trained if start.measured or start.saved or start.said]
    if base is not None and trained:
        trained[0].said.setdefault(0, base)  # a start that came no further has told it too
    return Stitched(trained, {at for at in known if _is_given_up(at, trained, told, furthest)}, notes)


def _is_given_up(at: int, trained: Sequence[Start], told: AbstractSet[int], furthest: int) -> bool:
    """
    Whether a checkpoint on the disk is of a line that no start went on with.

    Args:
        told: iterations that any start saved or answered at, before the starts were cut.
        furthest: the last iteration that any start came to.
    """
    if not trained or any(at in start.saved or at in start.said for start in trained):
        return False
    if at > max(start.last for start in trained):
        return at <= furthest
    is_told = all(start.ended_at is not None for start in trained if start.resumed_from < at <= start.last)
    return at in told and is_told  # a start whose log is lost may have saved it again


def _guessed(start: Start, saved: Sequence[int]) -> int:
    """Return where a start went on whose log does not say so: at the last checkpoint before its first number."""
    first = min(start.measured, default=0)
    others = sorted(start.measured)[1:2]
    step = others[0] - first if others else first
    if first <= step or not first:
        return 0
    return max((at for at in saved if at < first), default=max(0, first - step))


def _make_room(earlier: Iterable[Start], start: Start) -> list[Message]:
    notes = []
    for other in earlier:
        last = other.last
        if start.resumed_from:
            if start.resumed_from in other.said:  # what it says as it begins is cut at 50 tokens
                start.said.pop(start.resumed_from, None)
            _cut(other, start.resumed_from, until=max(last, start.last))
        elif last > start.last:
            _cut(other, 0, until=start.last)
            notes.append(
                message(
                    "The start {name} began anew and came to iteration {at}; what is after it is of an earlier start.",
                    name=start.name,
                    at=start.last,
                )
            )
        else:
            _cut(other, 0, until=last)
    return notes


def _cut(start: Start, after: int, *, until: int) -> None:
    """Take iterations away from a start: those after one, up to and with another; never the base model's answers."""
    start.measured = {at: one for at, one in start.measured.items() if not after < at <= until}
    start.said = {at: said for at, said in start.said.items() if not after < at <= until}
    start.saved = [at for at in start.saved if not after < at <= until]


def line_of(starts: Iterable[Start]) -> dict[int, Measured]:
    """Return the numbers of all starts by iteration, the later start's where two have one."""
    line: dict[int, Measured] = {}
    for start in starts:
        line.update(start.measured)
    return dict(sorted(line.items()))
