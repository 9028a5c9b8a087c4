"""The next recipe after a run, as its form is opened with it: each difference with the reason for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from app.domain.dilution import Change, Proposal, propose_dilution
from app.domain.messages import Message
from app.domain.models import Checkpoint, Run
from app.domain.runs import id_of, recipe_of
from app.domain.thresholds import read_thresholds
from app.domain.verdicts import Verdict, judge_checkpoints
from app.web.form_fields import as_text
from app.web.mix_fields import percent_text
from app.web.recipe_settings import CHOICE_WORDS, id_of_path, setting

_WORDS = {choice.value: word for choice, word in CHOICE_WORDS.items()}
BAD = frozenset({Verdict.LEAKING, Verdict.PARROT})


@dataclass(frozen=True)
class ShownChange:
    """One setting that is another now."""

    id: str
    """Of its field on the page."""
    title: str
    old: str
    new: str
    reason: Message


@dataclass(frozen=True)
class ShownProposal:
    """What is proposed after a run; no changes where nothing is."""

    run: Run
    summary: Message
    changes: Sequence[ShownChange]


def proposal_after(session: Session, run: Run) -> Proposal:
    """Propose the recipe that dilutes a run; StillCountingError while a saved set of it is being counted."""
    of_run = select(Checkpoint).where(Checkpoint.run_id == id_of(run)).order_by(col(Checkpoint.iteration))
    verdicts = judge_checkpoints(
        recipe_of(run), run.probes, session.exec(of_run).all(), thresholds=read_thresholds(session)
    )
    return propose_dilution(run, verdicts, waits=False)


def shown_proposal(run: Run, proposal: Proposal) -> ShownProposal:
    """Put a proposal into words."""
    return ShownProposal(run, proposal.summary, [_shown(change) for change in proposal.changes])


def _shown(change: Change) -> ShownChange:
    about = setting(change.path)
    old, new = (_words(change.path, value) for value in (change.old, change.new))
    return ShownChange(_field(change.path), about.title, old, new, change.reason)


def _field(path: str) -> str:
    """Return the id of what a setting is edited with; the length is one field, sets are boxes of a table."""
    if path in {"training.iterations", "training.epochs"}:
        return "training-length"
    return "mix" if path == "mix.general_sets" else id_of_path(path)


def _words(path: str, value: Any) -> str:  # noqa: ANN401 - whatever a setting holds
    if isinstance(value, list | tuple):
        return ", ".join(as_text(each) for each in value) or "–"
    if path.endswith("_share"):
        return f"{percent_text(value)} %" if value is not None else "–"
    return _WORDS.get(value, value) if isinstance(value, str) and value else as_text(value) or "–"
