"""
Probes added to a run that has ended, and the asking of every checkpoint that still can answer.

A probe that is added waits for nothing but a device: the base model and all checkpoints that have
their adapter, or their weights after a full fine-tune, answer it. One asking of a run is under way
at most; a probe that is added meanwhile joins it. What an asking finds out to be missing it asks,
so that one that was interrupted goes on where it was, and nothing is ever answered twice.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.domain import claims
from app.domain.answer_search import index_answers
from app.domain.checkpoints import is_in_passing
from app.domain.columns import utc_now
from app.domain.errors import ConflictError, FieldError, InvalidError
from app.domain.messages import message
from app.domain.models import Answer, ArtifactState, Asking, Checkpoint, Event, ReasonKind, Run, RunProbe
from app.domain.queue import enqueue
from app.domain.recipes import MAX_PROBES, Probe
from app.domain.runs import LIVE_STATES, get_run, id_of, locked_run, recipe_of
from app.domain.stored_scores import renew_scores
from app.domain.taught import folded
from app.domain.texts import storable
from app.domain.trainer_events import AnswersGiven

LIVE = (ArtifactState.QUEUED, ArtifactState.RUNNING)
TASK = "probes.ask"


@dataclass(frozen=True)
class Unanswered:
    """A checkpoint that can be asked, and the probes that it has no answer to."""

    checkpoint: Checkpoint
    probes: tuple[RunProbe, ...]


# ── Asking for it ──────────────────────────────────────────────────────────


def add_probe(session: Session, run_id: int, probe: Probe) -> RunProbe:
    """
    Add a probe to a run that has ended, and have every checkpoint asked that still can answer.

    Raises:
        ConflictError: the run has not ended, or none of its checkpoints can be asked.
        InvalidError: the run asks this already, or has as many probes as fit.
    """
    run = locked_run(session, run_id)
    check_askable(session, run)
    probes = probes_of(session, run_id)
    if any(is_same(probe, other) for other in probes):
        text = message("This run asks that already, in the same group. Its answers are in the comparison.")
        raise InvalidError([FieldError("question", text)])
    if len(probes) >= MAX_PROBES:
        text = message("This run has {limit} probes, and no more fit. Clone it to ask others.", limit=MAX_PROBES)
        raise InvalidError([FieldError("question", text)])
    added = RunProbe(
        run_id=run_id,
        position=max((other.position for other in probes), default=-1) + 1,
        group=probe.group,
        question=probe.question,
        reference=probe.reference,
        added_at=utc_now(),
    )
    session.add(added)
    session.flush()  # the asking looks for what has no answer
    request_asking(session, run_id)
    return added


def is_same(probe: Probe, other: RunProbe) -> bool:
    """Whether a probe asks what another one does, in the same group; case and marks make no difference."""
    return probe.group == other.group and folded(probe.question).text == folded(other.question).text


def request_asking(session: Session, run_id: int) -> Asking:
    """
    Have every checkpoint asked what it has no answer to; the asking that is under way is returned as it is.

    Raises:
        ConflictError: the run has not ended, none of its checkpoints can be asked, or nothing is missing.
    """
    run = locked_run(session, run_id)
    check_askable(session, run)
    if live := live_asking(session, run_id):
        return live
    _have_base(session, run)
    if not unanswered(session, run):
        raise ConflictError(message("Every checkpoint that can be asked has answered all probes."))
    asking = Asking(run_id=run_id)
    session.add(asking)
    session.flush()  # the message needs the asking's id
    _record(session, run, asking)
    enqueue(TASK, asking_id=id_of(asking))
    return asking


def check_askable(session: Session, run: Run) -> None:
    """
    See that a run can be asked more.

    Raises:
        ConflictError: it has not ended, or none of its checkpoints can be asked.
    """
    if run.state in LIVE_STATES:
        raise ConflictError(
            message(
                "Run {id} is {state}: its checkpoints are still to come. Ask when it has ended.",
                id=run.id,
                state=run.state,
            )
        )
    if not any(each.iteration for each in askable_checkpoints(session, run)):
        raise ConflictError(
            message(
                "No checkpoint of run {id} has its files, so none can be asked. Train it again with this probe.",
                id=run.id,
            )
        )


def _have_base(session: Session, run: Run) -> None:
    """Make the base model's row, which a run that was told not to answer lacks."""
    at_start = select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.iteration == 0)
    if session.exec(at_start).first() is None:
        session.add(Checkpoint(run_id=id_of(run), iteration=0))
        session.flush()  # it is looked for among the others


def _record(session: Session, run: Run, asking: Asking) -> None:
    """Put an asking's present state into the run's ledger, for whoever watches."""
    data = {"asking": asking.id, "state": asking.state}
    session.add(Event(run_id=id_of(run), attempt=run.attempt, kind="asking", iteration=run.iteration, data=data))


# ── What is there ──────────────────────────────────────────────────────────


def probes_of(session: Session, run_id: int) -> Sequence[RunProbe]:
    """Return a run's probes in their order, those that were added last."""
    return session.exec(select(RunProbe).where(RunProbe.run_id == run_id).order_by(col(RunProbe.position))).all()


def askings_of(session: Session, run_id: int) -> Sequence[Asking]:
    """Return a run's askings, the newest first."""
    return session.exec(select(Asking).where(Asking.run_id == run_id).order_by(col(Asking.id).desc())).all()


def live_asking(session: Session, run_id: int) -> Asking | None:
    """Return the asking of a run that waits or is being made; there is one at most."""
    return session.exec(select(Asking).where(Asking.run_id == run_id, col(Asking.state).in_(LIVE))).first()


def askable_checkpoints(session: Session, run: Run) -> list[Checkpoint]:
    """Return the base model, and every checkpoint that has what answers and was not saved in passing."""
    every, answered = recipe_of(run).checkpoints.every, _given(session, run)
    statement = select(Checkpoint).where(Checkpoint.run_id == run.id, col(Checkpoint.deleted_at).is_(None))
    rows = session.exec(statement.order_by(col(Checkpoint.iteration)).execution_options(populate_existing=True))
    return [
        row
        for row in rows
        if row.iteration == 0
        or ((row.adapter or row.file) and not is_in_passing(row, run, every=every, is_answered=id_of(row) in answered))
    ]


def _given(session: Session, run: Run) -> dict[int, set[int]]:
    """Return the probes that each checkpoint of a run has answered."""
    given: dict[int, set[int]] = defaultdict(set)
    statement = select(Answer.checkpoint_id, Answer.probe_id).join(Checkpoint).where(Checkpoint.run_id == run.id)
    for checkpoint_id, probe_id in session.exec(statement):
        given[checkpoint_id].add(probe_id)
    return given


def unanswered(session: Session, run: Run) -> list[Unanswered]:
    """Return what is left to ask, by iteration."""
    probes, given = probes_of(session, id_of(run)), _given(session, run)
    found = []
    for checkpoint in askable_checkpoints(session, run):
        missing = tuple(probe for probe in probes if probe.id not in given.get(id_of(checkpoint), ()))
        if missing:
            found.append(Unanswered(checkpoint, missing))
    return found


# ── Work on it ─────────────────────────────────────────────────────────────


def waiting_askings(session: Session) -> Sequence[Asking]:
    """Return the askings that may start, the oldest first: those whose run was resumed wait for its end."""
    statement = select(Asking).join(Run).where(Asking.state == ArtifactState.QUEUED, col(Run.state).not_in(LIVE_STATES))
    return session.exec(statement.order_by(col(Asking.id))).all()


def claim_asking(session: Session, asking_id: int, *, device: str) -> Asking | None:
    """Take a queued asking for one worker; None when somebody else has it."""
    return claims.claim(session, Asking, asking_id, device=device)


def store_answers(session: Session, asking_id: int, event: AnswersGiven, *, attempt: int) -> bool:
    """Store what one checkpoint answered, unless it has an answer there; False when another attempt has the asking."""
    asking = session.get_one(Asking, asking_id)
    statement = select(Checkpoint).where(Checkpoint.run_id == asking.run_id, Checkpoint.iteration == event.iteration)
    checkpoint = session.exec(statement.with_for_update()).first()
    given = _new_answers(session, asking, checkpoint, event) if checkpoint else []
    is_ours = claims.write(
        session,
        Asking,
        asking_id,
        attempt=attempt,
        answers=Asking.answers + len(given),
        seconds=func.coalesce(Asking.seconds, 0.0) + event.seconds,
        dtype=event.dtype,
        quantised=event.quantised,
        renewed_at=utc_now(),
    )
    if is_ours and checkpoint:
        session.add_all(given)
        if checkpoint.answered_seconds is None:  # its run was told not to answer
            checkpoint.answered_seconds, checkpoint.dtype = event.seconds, event.dtype
            checkpoint.quantised = event.quantised
            session.add(checkpoint)
        index_answers(session, [id_of(checkpoint)])
        renew_scores(session, get_run(session, asking.run_id), checkpoint)
    return is_ours


def _new_answers(session: Session, asking: Asking, checkpoint: Checkpoint, event: AnswersGiven) -> list[Answer]:
    there = set(session.exec(select(Answer.probe_id).where(Answer.checkpoint_id == checkpoint.id)))
    probes = {probe.position: id_of(probe) for probe in probes_of(session, asking.run_id)}
    return [
        Answer(
            checkpoint_id=id_of(checkpoint),
            probe_id=probes[answer.probe],
            text=storable(answer.text),
            tokens=answer.tokens,
            ended=answer.ended,
            asking_id=asking.id,
        )
        for answer in event.answers
        if answer.probe in probes and probes[answer.probe] not in there
    ]


def finish_asking(session: Session, asking_id: int, *, attempt: int) -> bool:
    """Write down that nothing is left to ask; False while something is, such as a probe that joined."""
    run = locked_run(session, session.get_one(Asking, asking_id).run_id)
    if unanswered(session, run):
        return False
    claims.finish(session, Asking, asking_id, attempt=attempt)
    _record_anew(session, asking_id)
    return True


def fail_asking(session: Session, asking_id: int, *, attempt: int, reason: ReasonKind, detail: str) -> None:
    """Write down why an asking failed, unless another attempt has it."""
    claims.fail(session, Asking, asking_id, attempt=attempt, reason=reason, detail=detail)
    _record_anew(session, asking_id)


def put_asking_back(session: Session, asking_id: int, *, attempt: int) -> None:
    """Let another worker go on with an asking whose worker leaves or is lost; a few times, then it has failed."""
    if claims.put_back(session, Asking, asking_id, attempt=attempt):
        enqueue(TASK, asking_id=asking_id)
    _record_anew(session, asking_id)


def _record_anew(session: Session, asking_id: int) -> None:
    asking = session.get_one(Asking, asking_id, populate_existing=True)
    _record(session, get_run(session, asking.run_id), asking)
