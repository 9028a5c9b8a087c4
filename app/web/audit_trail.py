"""
The door's part of the audit log: an entry for every request that is not safe, whatever route it is for.

Written when the answer begins, in a transaction of its own, so that it says what came of it. A
crash in between leaves a change without its entry; what the database does not take is told in
the server's log.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import compile_path

from app.domain import audit, db
from app.domain.audit import Trail
from app.domain.audit_models import AuditEntry, Means, Outcome
from app.web.callers import SAFE_METHODS, address_of

log = logging.getLogger(__name__)

# Routes that are asked by POST for the length of what they are told, and change nothing: they take no session that
# writes, and a form asks them with every key. Only a refusal of them is entered.
UNCHANGING = frozenset(
    {
        "forecast", "forecast_sweep", "inspect_mix", "language.choose", "new_run.dilution", "new_run.mix",
        "new_run.preview", "new_run.probes", "new_run.reading", "new_run.translate", "new_run_file.fill",
        "new_sweep.preview", "new_sweep.take", "propose_recipe_near_misses",
    }
)  # fmt: skip
# What a page and the API call by different names. All others follow from the route's: `runs.stop` and `stop_run`
# are `run.stop`.
ACTIONS: Mapping[str, str] = {
    "account.create_token": "token.create",
    "account.end_login": "login.end",
    "account.end_other_logins": "login.end-others",
    "account.password": "password.change",
    "account.revoke_token": "token.revoke",
    "add_model": "model.add",
    "add_run_probe": "asking.ask",
    "answers.rate": "rating.put",
    "artifacts.request": "artifact.request",
    "blind.undo": "vote.undo",
    "blind.vote": "vote.create",
    "change_user_role": "user.role",
    "convert_checkpoint": "artifact.request",
    "end_other_logins": "login.end-others",
    "end_user_logins": "user.end-logins",
    "login.out": "logout",
    "login.use_link": "login.link",
    "merge_checkpoint": "artifact.request",
    "models.register": "model.add",
    "new_run.start": "run.create",
    "new_sweep.start": "sweep.create",
    "put_thresholds": "thresholds.change",
    "request_run_asking": "asking.again",
    "runs.queue": "run.move",
    "save_mix": "dataset.save",
    "sweeps.at_once": "sweep.change",
    "users.end_logins": "user.end-logins",
    "users.revoke_token": "token.revoke",
    "verdicts.change": "thresholds.change",
}
UNKNOWN = "unknown"
STRANGERS_A_MINUTE = 60  # entries of one action: the log grows at a bounded pace whoever knocks
MINUTE_SECONDS = 60.0
REASONS = {  # of what is refused where nobody says more
    HTTPStatus.NOT_FOUND: "there is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address takes other methods",
    HTTPStatus.UNPROCESSABLE_ENTITY: "a field needs another value",
}
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})


class Route(NamedTuple):
    """One address that takes requests."""

    name: str
    methods: frozenset[str]
    path: re.Pattern[str]


class Asked(NamedTuple):
    """What a request is for."""

    route: str
    object_kind: str = ""
    object_id: str = ""


def action_of(route: str) -> str:
    """Return the stable name of what a route does."""
    if route in ACTIONS:
        return ACTIONS[route]
    nouns, dot, verb = route.partition(".")
    if dot:
        return f"{nouns.removesuffix('s')}.{verb}"
    verb, underscore, noun = route.partition("_")
    return f"{noun}.{verb}" if underscore else route


def routes_of(app: FastAPI) -> list[Route]:
    """Return every route of an application, in the order in which they are tried; kept with the application."""
    if not hasattr(app.state, "audited_routes"):
        app.state.audited_routes = list(_routes(app))
    found: list[Route] = app.state.audited_routes
    return found


def _routes(app: FastAPI) -> Iterator[Route]:
    for route in iter_route_contexts(app.routes):
        if route.path and route.methods:
            yield Route(str(route.name), frozenset(route.methods), compile_path(route.path)[0])


def asked_by(request: Request) -> Asked:
    """
    Return what a request is for, found here and not taken from the router: a refusal comes before it.

    An object is named by its id alone. What else stands in a path, such as the code of a one-time link, is left out.
    """
    path = request.url.path
    for route in routes_of(request.app):
        match = route.path.match(path)
        if match and request.method in route.methods:
            ids = {key: value for key, value in match.groupdict().items() if key.endswith("_id")}
            kind, number = next(iter(ids.items()), ("", ""))
            return Asked(route.name, kind.removesuffix("_id"), number)
    return Asked(UNKNOWN, "path", "/login/…" if path.startswith("/login/") else path)


# ── Entering ───────────────────────────────────────────────────────────────


def enter(request: Request, trail: Trail, status: int) -> None:
    """Enter a request that has been answered, where it is one that the log is for."""
    is_safe = request.method in SAFE_METHODS
    if is_safe and not trail.is_noted:
        return
    asked = asked_by(request)
    if asked.route in UNCHANGING and status not in REFUSALS and not trail.is_noted:
        return
    entry = _entry(request, trail, asked, status)
    if entry.user_name == "":
        left_out = _allowance(request.app, entry.action).take()
        if left_out is None:
            return
        if left_out:
            entry.details["entries left out before"] = left_out
    try:
        with db.unit_of_work() as session:
            audit.enter(session, entry)
    except SQLAlchemyError:
        text = json.dumps(entry.model_dump(mode="json"), ensure_ascii=True)
        log.exception("an entry of the audit log could not be stored: %s", text)


def _entry(request: Request, trail: Trail, asked: Asked, status: int) -> AuditEntry:
    caller = getattr(request.state, "user", None)
    means = trail.means or (Means(caller.kind) if caller else Means.NOTHING)
    is_named = trail.object_kind != ""
    outcome = _outcome(status, is_refused=trail.is_refused)
    why = {"reason": _usual_reason(status)} if outcome is Outcome.REFUSED else {}
    return AuditEntry(
        user_id=trail.user_id or (caller.user_id if caller else None),
        user_name=trail.user_name or (caller.name if caller else ""),
        means=means,
        credential_id=caller.credential_id if caller else None,
        address=address_of(request),
        action=action_of(asked.route),
        object_kind=trail.object_kind if is_named else asked.object_kind,
        object_id=trail.object_id if is_named else asked.object_id,
        outcome=outcome,
        status=status,
        details=why | trail.details,
    )


def _usual_reason(status: int) -> str:
    return REASONS.get(HTTPStatus(status), HTTPStatus(status).phrase.lower())


def _outcome(status: int, *, is_refused: bool) -> Outcome:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.FAILED
    return Outcome.REFUSED if is_refused or status >= HTTPStatus.BAD_REQUEST else Outcome.DONE


# ── Strangers ──────────────────────────────────────────────────────────────


@dataclass
class Allowance:
    """How many entries of one action strangers get in a minute; those beyond are counted."""

    clock: Callable[[], float] = time.monotonic
    _begun: float = float("-inf")
    _taken: int = 0
    _left_out: int = 0
    _lock: Lock = field(default_factory=Lock)

    def take(self) -> int | None:
        """Return how many were left out since the last entry; None when this one is to be left out too."""
        with self._lock:
            now = self.clock()
            if now - self._begun >= MINUTE_SECONDS:
                self._begun, self._taken = now, 0
            if self._taken >= STRANGERS_A_MINUTE:
                self._left_out += 1
                return None
            self._taken += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


def _allowance(app: FastAPI, action: str) -> Allowance:
    if not hasattr(app.state, "allowances"):
        app.state.allowances = {}
    found: Allowance = app.state.allowances.setdefault(action, Allowance())  # an action is a route's: there are few
    return found
