"""
Any order of what may happen to runs, against the real domain code on both databases.

Hypothesis chooses: workers claim, store, renew, end and fall silent; messages come twice; people stop
and resume; reconcilers watch by a monotonic clock of their own while the wall's clock jumps. After
every step at most one attempt of a run is live, no sweep trains more runs than it may at once, what has
ended stays so until a person resumes it, and what could start does start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import Session, col, func, select

from app.domain import attempts, columns, db, stop_requests, waiting
from app.domain.attempts import Ending, claim_run, end_attempt, renew_claim
from app.domain.errors import ConflictError
from app.domain.events import ingest, metrics_of
from app.domain.models import Attempt, Event, ReasonKind, Run, RunState, StopCause, Sweep
from app.domain.runs import get_run, id_of, request_stop, resume_run
from app.domain.stop_requests import ask_to_stop
from app.domain.sweep_plans import SweepPlan
from app.domain.sweeps import change_at_once, create_sweep, runs_of_sweep, sweep_id_of
from app.domain.trainer_events import AnyTrainerEvent, CheckpointSaved, MetricMeasured, TrainingResumed
from tests.factories import make_model, make_recipe, make_run
from worker import leases
from worker.reconciler import Reconciliation

LEASE = 15.0
LINE_BYTES = 10  # of one event in a trainer's file
STEPS = 40  # in one story
STORIES, LONG_STORIES = 15, 250  # of each database, as a rule and with `--long`
ENDINGS = st.sampled_from(
    [
        Ending(RunState.FINISHED),
        Ending(RunState.FAILED, ReasonKind.CRASHED),
        Ending(RunState.FAILED, ReasonKind.KILLED, "9"),
        Ending(RunState.QUEUED),
        Ending(RunState.CANCELLED),
    ]
)


class Clock:
    """The wall's clock, which jumps, and a monotonic one, which does not."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.jumped = timedelta(0)

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.passed

    def now(self) -> object:
        """Return what the wall's clock shows."""
        return TRUE_NOW() + timedelta(seconds=self.passed) + self.jumped


TRUE_NOW = columns.utc_now


@dataclass
class Holder:
    """A worker with a claim; whether it still works, or has fallen silent."""

    run_id: int
    attempt: int
    attempt_id: int
    stored: int = 0
    was_lost: bool = False


class RunMachine(RuleBasedStateMachine):
    """Every step that the domain knows of, in any order."""

    clock: Clock
    holders = Bundle("holders")
    runs = Bundle("runs")
    sweeps = Bundle("sweeps")

    def __init__(self) -> None:
        super().__init__()
        self.watchers = [Reconciliation(), Reconciliation()]
        self.ended: dict[int, RunState] = {}
        self.highest: dict[int, int] = {}
        self.bytes: dict[int, int] = {}
        self.renewed: dict[tuple[int, int], float] = {}

    @rule(target=runs)
    def create(self) -> int:
        """Start a run, as a person does."""
        with db.unit_of_work() as session:
            run_id = id_of(make_run(session))
        self.highest[run_id] = 0
        return run_id

    @rule(target=sweeps, at_once=st.integers(1, 2))
    def create_sweep(self, at_once: int) -> int:
        """Start a sweep of three runs, as a person does."""
        axes = [{"setting": "mix.identity_count", "values": [1, 2, 3]}]
        with db.unit_of_work() as session:
            make_model(session)
            plan = SweepPlan.model_validate({"name": "s", "recipe": make_recipe(), "axes": axes, "at_once": at_once})
            sweep_id = sweep_id_of(create_sweep(session, plan))
            self.highest |= dict.fromkeys((id_of(run) for run in runs_of_sweep(session, sweep_id)), 0)
        return sweep_id

    @rule(target=runs, sweep_id=consumes(sweeps))
    def look_into(self, sweep_id: int) -> object:
        """Treat the runs of a sweep as any other from now on."""
        with db.reading() as session:
            return multiple(*(id_of(run) for run in runs_of_sweep(session, sweep_id)))

    @rule(sweep_id=sweeps, at_once=st.integers(2, 3))
    def raise_limit(self, sweep_id: int, at_once: int) -> None:
        """Let more runs of a sweep train at once."""
        with db.unit_of_work() as session:
            change_at_once(session, sweep_id, at_once=max(at_once, session.get_one(Sweep, sweep_id).at_once))

    @rule(target=holders, run_id=runs)
    def claim(self, run_id: int) -> Holder:
        """Claim a run at a message: the first, one that comes again, or one that comes late."""
        with db.unit_of_work() as session:
            was, number = get_run(session, run_id).state, get_run(session, run_id).attempt
            has_room = self.has_room(session, run_id)
            attempt = claim_run(session, run_id, worker="w", supervisor="elsewhere/1/1")
            assert (attempt is not None) == (was is RunState.QUEUED and has_room)
            if attempt is None:
                return Holder(run_id, attempt=number + 1_000, attempt_id=0, was_lost=True)
            assert attempt.number == self.highest[run_id] + 1
            self.highest[run_id] = attempt.number
            self.renewed[run_id, attempt.number] = self.clock.passed
            return Holder(run_id, attempt.number, attempt.id or 0)

    @rule(holder=holders)
    def renew(self, holder: Holder) -> None:
        """Keep a claim; only its own holder can."""
        with db.unit_of_work() as session:
            holds = self.holds(session, holder)
            assert renew_claim(session, holder.run_id, attempt=holder.attempt) == holds
            self.renewed[holder.run_id, holder.attempt] = self.clock.passed

    @rule(holder=holders)
    def work_on(self, holder: Holder) -> None:
        """Renew a claim for longer than a lease, while others look for what is lost."""
        for _ in range(5):
            self.clock.passed += LEASE / 3
            self.renew(holder)
            self.reconcile(0)
            self.reconcile(1)

    @rule(holder=holders, saves=st.booleans(), resumes=st.booleans())
    def store(self, holder: Holder, *, saves: bool, resumes: bool) -> None:
        """Store what a trainer wrote, as `worker.recording` does."""
        with db.unit_of_work() as session:
            if not renew_claim(session, holder.run_id, attempt=holder.attempt):
                return
            run, attempt = get_run(session, holder.run_id), session.get_one(Attempt, holder.attempt_id)
            before = attempt.event_offset
            iteration = holder.stored + 1
            lines = [TrainingResumed(time=0, iteration=0)] if resumes and not holder.stored else []
            measured = MetricMeasured(time=0, iteration=iteration, loss=1, learning_rate=1, seconds=1, memory_bytes=1)
            saved = CheckpointSaved(
                time=0, iteration=iteration, updates=1, file="f", adapter=None, state_file="s", size_bytes=1
            )
            told: list[AnyTrainerEvent] = [*lines, measured, *([saved] if saves else [])]
            ingest(session, run, attempt, told, size=LINE_BYTES * len(told))
            assert attempt.event_offset == before + LINE_BYTES * len(told)
            holder.stored = iteration
            self.renewed[holder.run_id, holder.attempt] = self.clock.passed
            self.bytes[holder.attempt_id] = attempt.event_offset

    @rule(holder=consumes(holders), ending=ENDINGS)
    def end(self, holder: Holder, ending: Ending) -> None:
        """End a trainer; its worker writes that down, if the run is still its own."""
        with db.unit_of_work() as session:
            holds = self.holds(session, holder)
            assert end_attempt(session, holder.run_id, attempt=holder.attempt, ending=ending) == holds

    @rule(holder=consumes(holders))
    def kill(self, holder: Holder) -> None:
        """Kill a worker: nobody hears of it."""

    @rule(run_id=runs, keep=st.booleans())
    def stop(self, run_id: int, *, keep: bool) -> None:
        """Stop a run, as a person does."""
        with db.unit_of_work() as session:
            was_over = get_run(session, run_id).state.is_final
            try:
                request_stop(session, run_id, keep=keep)
                assert not was_over
            except ConflictError:
                assert was_over

    @rule(run_id=runs, cause=st.sampled_from([StopCause.SWEET_SPOT, StopCause.PARROT]))
    def stop_by_rule(self, run_id: int, cause: StopCause) -> None:
        """Stop a run as its recipe or its sweep does: one that trains and that nobody stopped before."""
        with db.unit_of_work() as session:
            run = get_run(session, run_id)
            is_news = run.state is RunState.RUNNING and run.stop_requested_at is None
            assert ask_to_stop(session, run_id, cause=cause) == is_news

    @rule(run_id=runs)
    def resume(self, run_id: int) -> None:
        """Let a run go on, as a person does: one that failed or was stopped, and no other."""
        with db.unit_of_work() as session:
            was = get_run(session, run_id).state
            try:
                resume_run(session, run_id)
                assert was in {RunState.FAILED, RunState.CANCELLED}
                self.ended.pop(run_id, None)
            except ConflictError:
                assert was not in {RunState.FAILED, RunState.CANCELLED}

    @rule(watcher=st.integers(0, 1))
    def reconcile(self, watcher: int) -> None:
        """Look for claims that were lost; one that was renewed within a lease is not."""
        kept = {key for key in self.held() if self.clock.passed - self.renewed[key] < LEASE}
        self.watchers[watcher].reconcile()
        assert kept <= self.held()

    @rule(watcher=st.integers(0, 1))
    def restart_watcher(self, watcher: int) -> None:
        """Kill a reconciler; the one after it knows nothing."""
        self.watchers[watcher] = Reconciliation()

    @rule(seconds=st.sampled_from([1.0, 4.0, 8.0, 16.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.passed += seconds

    @rule(hours=st.sampled_from([-2, 2]))
    def jump(self, hours: int) -> None:
        """Set the wall's clock."""
        self.clock.jumped += timedelta(hours=hours)

    @rule(run_id=runs)
    def wait_for_the_lost(self, run_id: int) -> None:
        """Find every run without a live worker startable after a lease and the longest delay, whatever has happened."""
        for _ in range(2):
            self.watchers[0].reconcile()
            self.clock.passed += LEASE + 1
        self.watchers[0].reconcile()
        self.clock.passed += waiting.LONGEST_DELAY.total_seconds() + 1
        with db.reading() as session:
            run = get_run(session, run_id)
            assert run.state.is_final or run_id in waiting.startable_run_ids(session)

    @staticmethod
    def held() -> set[tuple[int, int]]:
        """Return the runs that train, each with its attempt."""
        with db.reading() as session:
            return set(session.exec(select(Run.id, Run.attempt).where(Run.state == RunState.RUNNING)).all())  # type: ignore[arg-type]

    @staticmethod
    def holds(session: Session, holder: Holder) -> bool:
        """Whether a claim is still its holder's."""
        run = get_run(session, holder.run_id)
        return run.state is RunState.RUNNING and run.attempt == holder.attempt

    @staticmethod
    def has_room(session: Session, run_id: int) -> bool:
        """Whether the sweep of a run, if it is in one, trains fewer runs than it may."""
        run = get_run(session, run_id)
        if run.sweep_id is None:
            return True
        training = [each for each in runs_of_sweep(session, run.sweep_id) if each.state is RunState.RUNNING]
        return len(training) < session.get_one(Sweep, run.sweep_id).at_once

    @invariant()
    def no_sweep_trains_more_than_it_may(self) -> None:
        """Find as many training runs of each sweep as it may have at once, or fewer."""
        training = select(Run.sweep_id, func.count()).where(Run.state == RunState.RUNNING).group_by(col(Run.sweep_id))
        with db.reading() as session:
            limits = dict(session.exec(select(Sweep.id, Sweep.at_once)).all())
            counted = session.exec(training.where(col(Run.sweep_id).is_not(None))).all()
            assert all(count <= limits[sweep_id] for sweep_id, count in counted)

    @invariant()
    def one_live_attempt_each(self) -> None:
        """Find one attempt without an end of a run that trains, and none of any other."""
        live = select(Attempt.run_id, func.count()).where(col(Attempt.ended_at).is_(None)).group_by(col(Attempt.run_id))
        with db.reading() as session:
            training = session.exec(select(Run.id).where(Run.state == RunState.RUNNING)).all()
            assert dict(session.exec(live).all()) == dict.fromkeys(training, 1)

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        """Find no run out of a final state that no person took out of it."""
        with db.reading() as session:
            for run in session.exec(select(Run)):
                run_id = id_of(run)
                assert self.ended.get(run_id, run.state) is run.state
                if run.state.is_final:
                    self.ended[run_id] = run.state

    @invariant()
    def who_stopped_it_says_how_it_ended(self) -> None:
        """Find every run that the sweet spot stopped finished, and every other that was stopped cancelled."""
        with db.reading() as session:
            for run in session.exec(select(Run).where(col(Run.stopped_by).is_not(None))):
                if run.state.is_final:
                    is_done = run.stopped_by is StopCause.SWEET_SPOT
                    assert run.state is (RunState.FINISHED if is_done else RunState.CANCELLED)
                else:
                    assert run.state is RunState.RUNNING

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        """Find every attempt's offset where its lines end, and its iterations in the ledger once."""
        lines = select(Event.run_id, Event.attempt, Event.iteration).where(Event.kind == "metric")
        with db.reading() as session:
            stored = session.exec(lines).all()
            assert len(stored) == len(set(stored))
            offsets = {row.id: row.event_offset for row in session.exec(select(Attempt)) if row.event_offset}
            assert offsets == self.bytes
            for run_id in self.highest:
                shown = [metric.iteration for metric in metrics_of(session, run_id)]
                assert shown == sorted(set(shown))


@contextmanager
def emptied() -> Iterator[None]:
    """Begin a story with no runs."""
    from sqlalchemy import delete

    from app.domain.models import Checkpoint, RunProbe

    with db.unit_of_work() as session:
        for table in (Event, Attempt, Checkpoint, RunProbe, Run, Sweep):
            session.exec(delete(table))
    yield


@pytest.mark.usefixtures("database_url")
def test_runs_in_any_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens in whatever order, no run is lost, doubled or stuck."""
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    monkeypatch.setattr("app.domain.db.queue.send", lambda _: None)
    for module in (attempts, waiting, stop_requests):
        monkeypatch.setattr(module, "utc_now", clock.now)

    class Story(RunMachine):
        def __init__(self) -> None:
            with emptied():
                super().__init__()
            self.clock = clock
            clock.jumped = timedelta(0)

    stories = LONG_STORIES if request.config.getoption("--long") else STORIES
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=stories,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            database=None,
            derandomize=True,
        ),
    )
