"""
What is wrong within the mix of a form: its pairs against each other, and all sources against each other.

Saved sets are searched in children. The form never waits for one: it asks again every two seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from app.domain.datasets.store import dataset_file
from app.domain.errors import AppError, TooLargeError
from app.domain.findings.kinds import Findings, merged
from app.domain.findings.mixes import find_in_mix
from app.domain.findings.stored import find_stored, find_taught_stored, known_taught
from app.domain.findings.taught_runs import answers_key
from app.domain.messages import Message, message
from app.domain.mixes import general_of, identity_of
from app.domain.recipes import Mix
from app.web.dataset_findings import FoundKind, found_kinds

SHOWN = 3  # examples of a kind beside the form
TRY_AGAIN_SECONDS = 60.0  # after a search that failed: the form asks every two seconds
MOST_ASKED = 256
BROKE_OFF = message("The search broke off. It is tried again in a minute.")


@dataclass(frozen=True)
class MixFindings:
    """What was found in a mix, and what was not searched."""

    findings: Findings
    failed: Sequence[tuple[str, Message]] = ()
    """Saved sets that cannot be searched now, and why."""

    @property
    def unread(self) -> Sequence[str]:
        """Saved sets that are being searched."""
        return self.findings.unread

    @property
    def found(self) -> Sequence[FoundKind]:
        """What was found by kind."""
        return found_kinds(self.findings, shown=SHOWN)


@dataclass(frozen=True)
class _Failure:
    """A search that failed; how it ended, and when it may be tried again."""

    why: Message
    again_at: float


_failures: dict[Path, _Failure] = {}
_asked: dict[tuple[Path, str], None] = {}
"""Sets and the identity answers that were asked for in them, the oldest first."""


def find_in_form(mix: Mix) -> MixFindings:
    """Search a mix; a saved set that was never searched is begun with, and is in a later answer."""
    identity = identity_of(mix)
    answers = [pair.answer for pair in identity if pair.answer.strip()]
    files = [(file.dataset, dataset_file(file.sha256)) for file in mix.files]
    there = [(name, path) for name, path in files if path.is_file()]
    found = find_in_mix(identity=identity, general=general_of(mix), files=there, system=mix.system)
    parts, failed = [Findings(found.rows, found.counts, found.examples, is_partial=found.is_partial)], []
    for name, path in there:
        searched = _searched(name, path, answers, is_new=name in found.unread)
        if isinstance(searched, Findings):
            parts.append(searched)
        else:
            failed.append((name, searched))
    return MixFindings(merged(parts), tuple(failed))


def _searched(name: str, path: Path, answers: Sequence[str], *, is_new: bool) -> Findings | Message:
    """Begin to search a set, or go on: return what identity answers it holds, or why nobody can say."""
    failure = _failures.get(path)
    if failure is not None and monotonic() < failure.again_at:
        return failure.why
    try:
        if is_new:
            find_stored(path, wait_seconds=0)
            return Findings(unread=(name,))
        return _taught(name, path, answers) or Findings(unread=(name,))
    except AppError as error:
        why, is_hopeless = error.message, isinstance(error, TooLargeError)
    except (RuntimeError, OSError):  # the child ended as it should not have: the log has the rest
        why, is_hopeless = BROKE_OFF, False
    _failures[path] = _Failure(why, float("inf") if is_hopeless else monotonic() + TRY_AGAIN_SECONDS)
    return why


def _taught(name: str, path: Path, answers: Sequence[str]) -> Findings | None:
    """Return which rows hold an identity answer; a search begins once the same answers are asked for again."""
    known = known_taught(path, answers, source=name)
    asked = (path, answers_key(answers))
    if known is not None or asked in _asked:  # else somebody types: each letter would begin a search of its own
        return known if known is not None else find_taught_stored(path, answers, source=name, wait_seconds=0)
    if len(_asked) >= MOST_ASKED:
        _asked.pop(next(iter(_asked)), None)
    _asked[asked] = None
    return None
