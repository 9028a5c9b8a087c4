"""What the page of one run shows."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import selectinload
from sqlmodel import Session, col, select

from app.domain.advice import Advice, advise
from app.domain.attempts import MOST_RESTARTS, outcomes
from app.domain.checkpoints import is_in_passing
from app.domain.datasets.store import find_version
from app.domain.events import last_event_id
from app.domain.logs import tail_of_log
from app.domain.messages import Message
from app.domain.mix_rows import RowCounts
from app.domain.mixes import count_rows
from app.domain.models import Answer, Artifact, ArtifactState, Attempt, Checkpoint, Run, RunProbe, RunState
from app.domain.progress import answer_times, planned_around, planned_updates, seconds_left, seconds_until
from app.domain.reasons import artifact_reason_text, reason_text
from app.domain.recipes import Recipe
from app.domain.runs import RESUMABLE_STATES, get_run, recipe_of
from app.domain.stopping import iterations_of_stop, stop_reason
from app.domain.thresholds import read_thresholds
from app.domain.verdicts import AnswerScore, CheckpointScore, CheckpointVerdict, judge_checkpoints
from app.domain.waiting import Place, place_of
from app.web.asking_view import AskingPart, build_asking
from app.web.curves import Curves, draw_curves
from app.web.imported_view import ImportedPart, build_imported
from app.web.proposals import BAD
from app.web.run_list import MixFacts, mix_facts
from app.web.workers import live_workers

FAILURE_LINES = 12  # of the log, right under the reason
MOST_STRIP_BLOCKS = 200  # beside the base model; a strip is scrolled through by hand


@dataclass(frozen=True)
class StripBlock:
    """One checkpoint of the strip: there already, being trained towards, or still to come."""

    iteration: int
    checkpoint: Checkpoint | None
    score: CheckpointScore | None
    filled: float
    seconds_until: float | None


@dataclass(frozen=True)
class AnswerRow:
    """One probe's answer on the run page."""

    probe: RunProbe
    answer: Answer | None
    score: AnswerScore | None


@dataclass(frozen=True)
class ArrivedAnswers:
    """The newest checkpoint that has answered, and all it said."""

    iteration: int | None
    """None: none has answered yet."""
    rows: Sequence[AnswerRow]
    is_waiting: bool
    """Answers of a newer checkpoint are being made now."""


@dataclass(frozen=True)
class CheckpointRow:
    """One line of the table of checkpoints."""

    checkpoint: Checkpoint
    score: CheckpointScore
    artifacts: Sequence[Artifact]
    problems: Mapping[int, Message]
    """By artifact id: why it could not be made."""
    is_kept: bool
    is_in_passing: bool
    """It was saved to go on from, and is never asked."""


@dataclass(frozen=True)
class RunSource:
    """One saved set that a run was made from."""

    name: str
    sha256: str
    dataset_id: int | None
    """None where the version was deleted since."""
    rows: int


@dataclass(frozen=True)
class RunView:
    """The page of one run; every part of it takes this."""

    run: Run
    recipe: Recipe
    mix: MixFacts
    rows: RowCounts
    updates: int
    """Planned."""
    seconds_left: float | None
    last_event: int
    strip: Sequence[StripBlock]
    answers: ArrivedAnswers
    checkpoints: Sequence[CheckpointRow]
    """The newest first."""
    judged: Sequence[CheckpointVerdict]
    """By iteration; only those that have answered."""
    advice: Advice
    curves: Curves
    reason: Message | None
    stop_reason: Message | None
    """Why a rule stopped it; None where a person did, or nobody."""
    failure: Sequence[str]
    """The last lines of a failed run's log."""
    log: Sequence[str]
    sources: Sequence[RunSource]
    """The saved sets of its mix."""
    place: Place | None
    """In the queue; None unless it waits."""
    attempts: Sequence[Attempt]
    outcomes: Mapping[int, RunState]
    """What each attempt's end made of the run, by its number."""
    has_worker: bool
    asking: AskingPart
    imported: ImportedPart | None

    @property
    def wants_dilution(self) -> bool:
        """Whether the newest checkpoint that has answered says the identity where it was not asked."""
        return self.newest_score is not None and self.newest_score.score.verdict in BAD

    @property
    def is_stopping(self) -> bool:
        """Whether the run was asked to stop and has not ended yet."""
        return self.run.stop_requested_at is not None and not self.run.state.is_final

    @property
    def is_resumable(self) -> bool:
        """Whether the run can go on."""
        return self.run.state in RESUMABLE_STATES and not self.run.imported_from

    @property
    def resumes_from(self) -> int:
        """The iteration that it would go on from; 0 for the start."""
        saved = (row.checkpoint.iteration for row in self.checkpoints if row.checkpoint.state_file)
        return next(saved, 0)

    @property
    def in_passing(self) -> frozenset[int]:
        """Ids of the checkpoints that were saved to go on from, and are never asked."""
        return frozenset(row.checkpoint.id or 0 for row in self.checkpoints if row.is_in_passing)

    @property
    def lost(self) -> Attempt | None:
        """The attempt after which the run waits to be tried again."""
        return self.attempts[-1] if self.attempts and self.run.restarts else None

    @property
    def most_restarts(self) -> int:
        """How often it is tried again in a row."""
        return MOST_RESTARTS

    @property
    def makes_artifacts(self) -> bool:
        """Whether an artifact is on its way, which no event of the run will tell."""
        pending = (ArtifactState.QUEUED, ArtifactState.RUNNING)
        return any(artifact.state in pending for row in self.checkpoints for artifact in row.artifacts)

    @property
    def newest_score(self) -> CheckpointVerdict | None:
        """The verdict that the figures show."""
        return self.judged[-1] if self.judged else None


def build_run_view(session: Session, run_id: int) -> RunView:
    """Read everything that the page of a run shows."""
    run = get_run(session, run_id)
    recipe, checkpoints = recipe_of(run), _checkpoints_of(session, run_id)
    judged = judge_checkpoints(recipe, run.probes, checkpoints, thresholds=read_thresholds(session))
    answered = [each for each in judged if each.score.answered]
    gone = {row.iteration for row in checkpoints if row.deleted_at is not None}
    advice, log = advise(judged, gone=gone), tail_of_log(run)
    return RunView(
        run=run,
        recipe=recipe,
        mix=mix_facts(recipe.mix),
        rows=count_rows(recipe.mix),
        updates=planned_updates(run, recipe),
        seconds_left=seconds_left(run, recipe, answer_times(checkpoints)),
        last_event=last_event_id(session, run_id),
        strip=_strip(run, recipe, checkpoints, judged),
        answers=_arrived(run, checkpoints, answered),
        checkpoints=[
            _checkpoint_row(run, recipe, row, judged=score, advice=advice)
            for row, score in zip(reversed(checkpoints), reversed(judged), strict=True)
        ],
        judged=answered,
        advice=advice,
        curves=draw_curves(answered, checkpoints, iterations=max(run.iterations, run.iteration), advice=advice),
        reason=reason_text(run.reason, run.reason_detail) if run.reason else None,
        stop_reason=stop_reason(run.stopped_by, iterations_of_stop(session, run), judged),
        failure=log[-FAILURE_LINES:] if run.state is RunState.FAILED else (),
        log=log,
        sources=_sources(session, recipe),
        place=place_of(session, run),
        attempts=run.attempts,
        outcomes=outcomes(session, run_id),
        has_worker=bool(live_workers()),
        asking=build_asking(session, [run]),
        imported=build_imported(session, run),
    )


def _sources(session: Session, recipe: Recipe) -> list[RunSource]:
    given = count_rows(recipe.mix).sources[2:]
    stored = [find_version(session, sha256=file.sha256) for file in recipe.mix.files]
    return [
        RunSource(file.dataset, file.sha256, version.id if version else None, source.rows)
        for file, version, source in zip(recipe.mix.files, stored, given, strict=True)
    ]


def _checkpoints_of(session: Session, run_id: int) -> Sequence[Checkpoint]:
    statement = (
        select(Checkpoint)
        .where(Checkpoint.run_id == run_id)
        .order_by(col(Checkpoint.iteration))
        .options(selectinload(Checkpoint.answers), selectinload(Checkpoint.artifacts))  # type: ignore[arg-type]
    )
    return session.exec(statement).all()


def _strip(
    run: Run, recipe: Recipe, checkpoints: Sequence[Checkpoint], judged: Sequence[CheckpointVerdict]
) -> list[StripBlock]:
    """Lay saved and planned checkpoints side by side; those that a stopped run never reached stay empty."""
    every, times = recipe.checkpoints.every, answer_times(checkpoints)
    saved = {row.iteration: (row, each.score) for row, each in zip(checkpoints, judged, strict=True)}
    iterations = _around_present(run, every, saved)
    blocks = []
    for before, iteration in zip([0, *iterations], iterations, strict=False):
        row, score = saved.get(iteration, (None, None))
        done = (run.iteration - before) / max(1, iteration - before)
        due = seconds_until(run, recipe, times, iteration) if row is None else None
        blocks.append(StripBlock(iteration, row, score, min(1.0, max(0.0, done)), due))
    return blocks


def _around_present(run: Run, every: int, saved: Iterable[int]) -> list[int]:
    """Return the base model and the blocks nearest to where a run is, as many before as after where there are."""
    planned = planned_around(run.iteration, run.iterations, every, count=MOST_STRIP_BLOCKS)
    known = sorted({*planned, *saved} - {0})
    present = bisect_right(known, run.iteration)
    first = max(0, min(present - MOST_STRIP_BLOCKS // 2, len(known) - MOST_STRIP_BLOCKS))
    return [0, *known[first : first + MOST_STRIP_BLOCKS]]


def _arrived(run: Run, checkpoints: Sequence[Checkpoint], answered: Sequence[CheckpointVerdict]) -> ArrivedAnswers:
    is_waiting = run.state is RunState.RUNNING and run.phase == "answering"
    if not answered:
        rows = [AnswerRow(probe, None, None) for probe in run.probes]
        return ArrivedAnswers(None, rows, is_waiting)
    newest = answered[-1]
    given = next(row.answers for row in checkpoints if row.iteration == newest.iteration)
    by_probe = {answer.probe_id: answer for answer in given}
    rows = [
        AnswerRow(probe, by_probe.get(probe.id or 0), newest.score.answers.get(probe.position)) for probe in run.probes
    ]
    return ArrivedAnswers(newest.iteration, rows, is_waiting)


def _checkpoint_row(
    run: Run, recipe: Recipe, row: Checkpoint, *, judged: CheckpointVerdict, advice: Advice
) -> CheckpointRow:
    problems = {
        artifact.id or 0: artifact_reason_text(artifact.reason, artifact.reason_detail)
        for artifact in row.artifacts
        if artifact.reason is not None
    }
    return CheckpointRow(
        row,
        judged.score,
        row.artifacts,
        problems,
        is_kept=row.id == advice.checkpoint_id,
        is_in_passing=is_in_passing(row, run, every=recipe.checkpoints.every, is_answered=bool(row.answers)),
    )
