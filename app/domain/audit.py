"""
The audit log: who asked for which change, with what, from where, and what came of it.

Entries are written at the edges: by the door for every request that is not safe, and by
`changing` for every command that works on the database itself. What runs in between adds what it
knows to the trail of the request in hand, by `note`. Does not cover what workers do by
themselves: that is in the ledger of each run.
"""

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from sqlmodel import Session

from app.domain import db
from app.domain.audit_models import AuditEntry, Means, Outcome
from app.domain.errors import AppError
from app.domain.models import User

LONGEST_WORD = 200  # characters of a name or an address
LONGEST_VALUE = 500  # characters of one detail
MOST_DETAILS = 40  # of one entry

_trail: ContextVar["Trail | None"] = ContextVar("trail", default=None)


@dataclass
class Trail:
    """What is known of a request or a command while it runs."""

    object_kind: str = ""
    object_id: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    user_id: int | None = None
    user_name: str = ""
    means: Means | None = None
    is_noted: bool = False
    """Something was noted: it is worth an entry, whatever the method of the request."""
    is_refused: bool = False
    """Though the status may not say so: a stranger's form is answered with a way to the login page."""


@contextmanager
def following() -> Iterator[Trail]:
    """Follow one request or command: what is noted meanwhile, in its threads too, is in the trail."""
    trail = Trail()
    token = _trail.set(trail)
    try:
        yield trail
    finally:
        _trail.reset(token)


def note(kind: str = "", object_id: int | str | None = None, **details: object) -> None:
    """
    Add to the entry of the request in hand what it is about; outside of one this does nothing.

    Only the first object is named: whatever a change brings along with it belongs to it.

    Args:
        details: Names, or values as `before_and_after` puts them; never a secret.
    """
    trail = _trail.get()
    if trail is None:
        return
    name = "" if object_id is None else str(object_id)
    if kind and trail.object_kind and (trail.object_kind, trail.object_id) not in {(kind, name), (kind, "")}:
        return
    trail.is_noted = True
    if kind:
        trail.object_kind, trail.object_id = kind, name
    trail.details |= {key: value for key, value in details.items() if value is not None}


def note_user(user: User, means: Means) -> None:
    """Say who is let in: until then the request is a stranger's."""
    trail = _trail.get()
    if trail is not None:
        trail.user_id, trail.user_name, trail.means, trail.is_noted = user.id, user.name, means, True


def note_reason(text: str) -> None:
    """Say why the request in hand is refused; that alone is worth no entry."""
    trail = _trail.get()
    if trail is not None:
        trail.is_refused = True
        trail.details.setdefault("reason", text)


def before_and_after(before: object, after: object) -> dict[str, object]:
    """Return how a value changed, as entries hold it."""
    return {"before": before, "after": after}


def changed_values(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, Any]:
    """Return the values that differ, each before and after."""
    return {name: before_and_after(before[name], after[name]) for name in before if before[name] != after[name]}


# ── Entering ───────────────────────────────────────────────────────────────


def enter(session: Session, entry: AuditEntry) -> None:
    """Add an entry; what in it cannot be stored, or is endless, is made fit."""
    for name in ("user_name", "address", "action", "object_kind", "object_id"):
        setattr(entry, name, _fit(getattr(entry, name), LONGEST_WORD))
    entry.details = {_fit(key, LONGEST_WORD): _plain(value) for key, value in [*entry.details.items()][:MOST_DETAILS]}
    session.add(entry)


@contextmanager
def changing(action: str) -> Iterator[Session]:
    """
    Open the unit of work of a command on the server's own machine.

    What it changes and the entry of it are committed together; what is refused is entered too.
    """
    with following() as trail:
        try:
            with db.unit_of_work() as session:
                yield session
                enter(session, _of_command(action, trail, Outcome.DONE))
        except AppError as error:
            with db.unit_of_work() as session:
                trail.details["reason"] = str(error)
                enter(session, _of_command(action, trail, Outcome.REFUSED))
            raise


def _of_command(action: str, trail: Trail, outcome: Outcome) -> AuditEntry:
    return AuditEntry(
        user_name=_name_on_machine(),
        means=Means.COMMAND,
        address=socket.gethostname(),
        action=action,
        object_kind=trail.object_kind,
        object_id=trail.object_id,
        outcome=outcome,
        details=trail.details,
    )


def _name_on_machine() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number and no name
        return str(os.getuid())


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON has
    if isinstance(value, Mapping):
        return {_fit(str(key), LONGEST_WORD): _plain(each) for key, each in [*value.items()][:MOST_DETAILS]}
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if value is None or isinstance(value, bool | int | float):
        return value
    return _fit(str(value), LONGEST_VALUE)


def _fit(text: str, most: int) -> str:
    """Return text that both databases take: no NUL, no half of a character, not without end."""
    fit = text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
    return fit if len(fit) <= most else fit[: most - 1] + "…"
