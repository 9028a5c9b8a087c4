"""What the list of runs shows of each run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import select as sa_select
from sqlmodel import Session, col

from app.domain.advice import advise
from app.domain.mixes import count_rows
from app.domain.models import Checkpoint, Run, RunState
from app.domain.progress import Block, bar_blocks, seconds_left
from app.domain.recipes import Mix
from app.domain.registry import list_models
from app.domain.run_lists import RunPage, list_runs
from app.domain.run_search import Hit, find_hits
from app.domain.runs import LIVE_STATES, count_runs, id_of, recipe_of
from app.domain.stored_scores import scores_of
from app.domain.verdicts import CheckpointVerdict, Verdict
from app.domain.waiting import waiting_run_ids

PAGE_SIZE = 25
MAX_PAGE = 1_000_000  # beyond it an offset no longer fits what databases count with
IN_ORDER = "queue"  # the sort of what waits


@dataclass(frozen=True)
class ListQuery:
    """What of the list is asked for, as it stands in the address."""

    words: str = ""
    state: RunState | None = None
    sort: str = "-created"
    page: int = 1

    def url(self, **changes: object) -> str:
        """Return the address of the list with some of it changed; what is the default is left out."""
        values = {"q": self.words, "state": self.state, "sort": self.sort, "page": self.page} | {"page": 1} | changes
        defaults = {"q": "", "state": None, "sort": "-created", "page": 1}
        query = urlencode({name: value for name, value in values.items() if value != defaults[name]})
        return f"/runs?{query}" if query else "/runs"

    def in_state(self, state: RunState | None) -> str:
        """Return the address of the runs in one state; those that wait stand in the order in which they start."""
        sort = "-created" if self.sort == IN_ORDER else self.sort
        return self.url(state=state, sort=IN_ORDER if state is RunState.QUEUED else sort)

    def sorted_by(self, key: str) -> str:
        """Return the address that sorts by a column; the other way round when it does already."""
        return self.url(sort=key if self.sort == f"-{key}" else f"-{key}")

    def direction(self, key: str) -> str:
        """Return `ascending` or `descending` when the list is sorted by this column, else nothing."""
        return {f"-{key}": "descending", key: "ascending"}.get(self.sort, "")


@dataclass(frozen=True)
class MixFacts:
    """A mix in three numbers."""

    identity_rows: int
    general_pairs: int
    general_copies: int


class SavedCheckpoint(NamedTuple):
    """What the list shows of a checkpoint."""

    iteration: int
    answered_seconds: float | None
    is_gone: bool


@dataclass(frozen=True)
class RunRow:
    """One run of the list."""

    run: Run
    mix: MixFacts
    blocks: Sequence[Block]
    seconds_left: float | None
    place: int | None
    """In the queue, from 1; None unless it waits."""
    keep: int | None
    verdict: Verdict | None
    is_answered: bool
    """The base model counts: it has answers, and no verdict."""
    hit: Hit | None
    """What a search found in its answers."""


@dataclass(frozen=True)
class RunsPage:
    """The list of runs, and what it was asked for."""

    query: ListQuery
    rows: Sequence[RunRow]
    found: RunPage
    states: Sequence[RunState]
    all_runs: int
    """With the words that are asked for, whatever their state."""
    total_runs: int
    running: int
    queued: int
    first: int
    pages: int
    has_models: bool
    """There is a model to train, or a run that has trained one."""

    @property
    def is_live(self) -> bool:
        """Whether a row may change by itself."""
        return any(row.run.state in LIVE_STATES for row in self.rows)


def mix_facts(mix: Mix) -> MixFacts:
    """Return a mix as the list writes it: `300 identity + 80 × 4`."""
    identity, general, *_ = count_rows(mix).sources
    return MixFacts(identity.rows, general.distinct, max(1, general.rows // max(1, general.distinct)))


def build_runs_page(session: Session, query: ListQuery) -> RunsPage:
    """Read one page of the list; the last one where fewer are found than the address thinks."""
    found = _find(session, query)
    pages = max(1, -(-found.total // PAGE_SIZE))
    if query.page > pages:
        query = replace(query, page=pages)
        found = _find(session, query)
    checkpoints = _checkpoints_of(session, [id_of(run) for run in found.runs])
    scores = scores_of(session, found.runs)
    waiting = waiting_run_ids(session)
    hits = find_hits(session, found.runs, query.words) if query.words else {}
    return RunsPage(
        query=query,
        rows=[
            _row(run, checkpoints.get(id_of(run), []), scores[id_of(run)], waiting=waiting, hit=hits.get(id_of(run)))
            for run in found.runs
        ],
        found=found,
        states=tuple(RunState),
        all_runs=sum(found.by_state.values()),
        total_runs=count_runs(session),
        running=count_runs(session, RunState.RUNNING),
        queued=len(waiting),
        first=_offset(query) + 1,
        pages=pages,
        has_models=bool(found.runs or list_models(session)),
    )


def _find(session: Session, query: ListQuery) -> RunPage:
    words, state, sort = query.words, query.state, query.sort
    return list_runs(session, query=words, state=state, sort=sort, offset=_offset(query), limit=PAGE_SIZE)


def _offset(query: ListQuery) -> int:
    return (query.page - 1) * PAGE_SIZE


def _checkpoints_of(session: Session, run_ids: Sequence[int]) -> dict[int, list[SavedCheckpoint]]:
    """Read what the list shows of the checkpoints of all its runs: hundreds of them, so no whole rows."""
    columns = map(col, (Checkpoint.run_id, Checkpoint.iteration, Checkpoint.answered_seconds, Checkpoint.deleted_at))
    statement = sa_select(*columns).where(col(Checkpoint.run_id).in_(run_ids)).order_by(col(Checkpoint.iteration))
    found: dict[int, list[SavedCheckpoint]] = {}
    for run_id, iteration, answered_seconds, deleted_at in session.execute(statement):
        found.setdefault(run_id, []).append(SavedCheckpoint(iteration, answered_seconds, deleted_at is not None))
    return found


def _row(
    run: Run,
    checkpoints: Sequence[SavedCheckpoint],
    judged: Sequence[CheckpointVerdict],
    *,
    waiting: Sequence[int],
    hit: Hit | None,
) -> RunRow:
    recipe = recipe_of(run)
    verdicts = [each.score.verdict for each in judged if each.iteration > 0 and each.score.verdict]
    gone = {checkpoint.iteration for checkpoint in checkpoints if checkpoint.is_gone}
    answered = [row.answered_seconds for row in checkpoints if row.answered_seconds is not None]
    return RunRow(
        run=run,
        mix=mix_facts(recipe.mix),
        blocks=bar_blocks(run.iteration, run.iterations or recipe.checkpoints.every, recipe.checkpoints.every),
        seconds_left=seconds_left(run, recipe, answered),
        place=waiting.index(id_of(run)) + 1 if id_of(run) in waiting else None,
        keep=advise(judged, gone=gone).iteration if run.state.is_final else None,
        verdict=verdicts[-1] if verdicts else None,
        is_answered=any(each.score.answered for each in judged),
        hit=hit,
    )
