"""How verdicts are made: every score in plain words, and the thresholds, for an admin to change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.errors import InvalidError
from app.domain.messages import Message
from app.domain.models import Role
from app.domain.rescoring import Change, Foreseen, foresee, put_in_force
from app.domain.taught_rows import MOST_ROWS
from app.domain.thresholds import DEFAULTS, Thresholds, read_thresholds
from app.domain.verdicts import Verdict
from app.web.deps import ReadSession, WriteSession
from app.web.forms import SentForm
from app.web.recipe_settings import Setting, describe
from app.web.render import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class ThresholdField:
    """One threshold of the form."""

    about: Setting
    value: str
    default: str
    error: Message | None
    is_changed: bool


@dataclass(frozen=True)
class Moved:
    """How many checkpoints went from one verdict to another."""

    before: Verdict | None
    after: Verdict | None
    checkpoints: int


@dataclass(frozen=True)
class VerdictsPage:
    """The page of verdicts."""

    limits: Thresholds
    """In force."""
    fields: Sequence[ThresholdField]
    may_change: bool
    """The reader is an admin."""
    outcome: Foreseen | None
    """Of a change that was made just now."""
    moved: Sequence[Moved]
    most_rows: int = MOST_ROWS

    @property
    def is_default(self) -> bool:
        """Whether no threshold was ever changed, or all were put back."""
        return self.limits == DEFAULTS

    @property
    def has_errors(self) -> bool:
        """Whether something that was typed cannot be used."""
        return any(field.error for field in self.fields)


@router.get("/verdicts", name="verdicts.index")
def show_verdicts(request: Request, session: ReadSession) -> Response:
    """Show how verdicts are made."""
    return _show(request, read_thresholds(session))


@router.post("/verdicts", name="verdicts.change")
def change(request: Request, reading: ReadSession, session: WriteSession, form: SentForm) -> Response:
    """Put thresholds in force and say what that changed; or show the form again with every bad field named."""
    typed = {name: str(value).strip() for name, value in form.multi_items() if name in Thresholds.model_fields}
    wanted = {} if "reset" in form else {name: value for name, value in typed.items() if value}
    try:
        outcome = foresee(reading, wanted)
        put_in_force(session, wanted)  # begins to write only now: what comes before takes a second or two
    except InvalidError as error:
        return _show(request, read_thresholds(reading), typed=typed, refused=error)
    return _show(request, outcome.thresholds, outcome=outcome)


def _show(
    request: Request,
    limits: Thresholds,
    *,
    typed: Mapping[str, str] | None = None,
    refused: InvalidError | None = None,
    outcome: Foreseen | None = None,
) -> Response:
    errors = {problem.field: problem.message for problem in refused.fields} if refused else {}
    page = VerdictsPage(
        limits=limits,
        fields=[_field(about, limits, typed or {}, errors.get(about.path)) for about in _abouts()],
        may_change=request.state.user.may(Role.ADMIN),
        outcome=outcome,
        moved=_moved(outcome.changes) if outcome else (),
    )
    status = HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK
    return render(request, "verdicts/index.html", page, status)


@cache
def _abouts() -> tuple[Setting, ...]:
    return tuple(describe(name, info) for name, info in Thresholds.model_fields.items())


def _field(about: Setting, limits: Thresholds, typed: Mapping[str, str], error: Message | None) -> ThresholdField:
    value, default = getattr(limits, about.path), getattr(DEFAULTS, about.path)
    return ThresholdField(
        about, typed.get(about.path, _shown(value)), _shown(default), error, is_changed=value != default
    )


def _shown(value: float) -> str:
    return f"{value:g}"


def _moved(changes: Sequence[Change]) -> list[Moved]:
    """Count what went where, the most first."""
    counts = Counter((change.before, change.after) for change in changes)
    return [Moved(before, after, count) for (before, after), count in counts.most_common()]
