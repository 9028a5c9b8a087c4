"""What the form that asks another question shows, and how far the asking is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from app.domain.askable import Askable, read_askable
from app.domain.askings import LIVE, newest_askings, problem_of
from app.domain.messages import Message
from app.domain.models import ArtifactState, Asking, Run
from app.domain.near_misses import NearMiss, propose_near_misses, varied
from app.domain.reasons import asking_reason_text
from app.domain.runs import id_of, recipe_of

MOST_PROPOSED = 8  # near misses offered; a page with more of them is no quiet one
NOTHING = {"question": "", "group": "general", "reference": ""}


@dataclass(frozen=True)
class AskedRun:
    """One run, and how far it is with being asked."""

    run: Run
    asking: Asking | None
    """The newest."""
    missing: int
    """Answers that its checkpoints could give and have not."""
    problem: Message | None
    """Why it cannot be asked."""
    refusal: Message | None = None
    """Why what was just asked was not added to it."""

    @property
    def is_live(self) -> bool:
        """Whether an asking waits or is being made."""
        return self.asking is not None and self.asking.state in LIVE

    @property
    def has_failed(self) -> bool:
        """Whether the newest asking failed and answers are still missing."""
        return self.asking is not None and self.asking.state is ArtifactState.FAILED and self.missing > 0

    @property
    def reason(self) -> Message | None:
        """Why the newest asking failed."""
        asking = self.asking
        return asking_reason_text(asking.reason, asking.reason_detail) if asking and asking.reason else None

    @property
    def total(self) -> int:
        """Answers of the asking under way, given and to come."""
        return (self.asking.answers if self.asking else 0) + self.missing


@dataclass(frozen=True)
class AskingPart:
    """The form and the state of the runs that it asks."""

    runs: Sequence[AskedRun]
    near_misses: Sequence[NearMiss]
    """Quick choices."""
    page: str = "run"
    """Where it stands: `run` or `compare`."""
    typed: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    errors: Mapping[str, Message] = field(default_factory=dict)
    was_live: bool = False
    """The page saw an asking under way: the state alone is shown, and once it is over the page anew."""

    @property
    def ids(self) -> str:
        """Ids of the runs, as an address has them."""
        return ",".join(str(each.run.id) for each in self.runs)

    @property
    def key(self) -> str:
        """What the ids of its elements end with."""
        return self.ids.replace(",", "-")

    @property
    def is_live(self) -> bool:
        """Whether some run is being asked."""
        return any(each.is_live for each in self.runs)

    @property
    def has_ended(self) -> bool:
        """Whether the asking that the page saw is over."""
        return self.was_live and not self.is_live

    @property
    def may_ask(self) -> bool:
        """Whether some run can be asked."""
        return any(each.problem is None and each.run.state.is_final for each in self.runs)

    @property
    def problem(self) -> Message | None:
        """Why none of the runs can be asked, though all have ended."""
        is_over = all(each.run.state.is_final for each in self.runs)
        return self.runs[0].problem if self.runs and is_over and not self.may_ask else None


def build_asking(  # noqa: PLR0913 - what is shown, where, and what was sent
    session: Session,
    runs: Sequence[Run],
    *,
    page: str = "run",
    typed: Mapping[str, str] = NOTHING,
    errors: Mapping[str, Message] = {},
    refusals: Mapping[int, Message] = {},
    was_live: bool = False,
) -> AskingPart:
    """Read what the form shows of some runs, in four statements however many there are."""
    askable = read_askable(session, runs)
    askings = newest_askings(session, list(askable))
    return AskingPart(
        runs=[_asked(run, askable[id_of(run)], askings.get(id_of(run)), refusals.get(id_of(run))) for run in runs],
        near_misses=() if was_live else _near_misses(runs, askable),
        page=page,
        typed=typed,
        errors=errors,
        was_live=was_live,
    )


def _asked(run: Run, askable: Askable, asking: Asking | None, refusal: Message | None) -> AskedRun:
    if not run.state.is_final:
        return AskedRun(run, None, 0, None)
    if problem := problem_of(run, askable):
        return AskedRun(run, None, 0, problem, refusal)
    missing = sum(len(each.probes) for each in askable.unanswered)
    return AskedRun(run, asking, missing, None, refusal)


def _near_misses(runs: Sequence[Run], askable: Mapping[int, Askable]) -> Sequence[NearMiss]:
    """Propose near the first run's identity what none of the runs asks."""
    if not runs:
        return ()
    asked = [probe.question for each in askable.values() for probe in each.probes]
    return varied(propose_near_misses(recipe_of(runs[0]).mix, asked=asked))[:MOST_PROPOSED]
