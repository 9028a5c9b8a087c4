"""
Probes added to a run that has ended, and the asking of every checkpoint that still can answer.

A probe that is added waits for nothing but a device: the base model and all checkpoints that have
their adapter, or their weights after a full fine-tune, answer it. One asking of a run is under way
at most; a probe that is added meanwhile joins it. What an asking finds out to be missing it asks,
so that one that was interrupted goes on where it was, and nothing is ever answered twice.
"""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.domain import claims
from app.domain.answer_search import index_answers
from app.domain.askable import Askable, probes_of, read_askable, unanswered
from app.domain.columns import utc_now
from app.domain.errors import ConflictError, FieldError, InvalidError
from app.domain.importing.limits import problem_of_base, problem_of_files
from app.domain.messages import Message, message
from app.domain.models import Answer, ArtifactState, Asking, Checkpoint, Event, ReasonKind, Run, RunProbe
from app.domain.queue import enqueue
from app.domain.recipes import MAX_PROBES, Probe
from app.domain.runs import LIVE_STATES, id_of, locked_run
from app.domain.stored_scores import renew_scores
from app.domain.taught import folded
from app.domain.texts import storable
from app.domain.trainer_events import AnswersGiven

LIVE = (ArtifactState.QUEUED, ArtifactState.RUNNING)
TASK = "probes.ask"


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
    if problem := problem_of(run, read_askable(session, [run], anew=True)[id_of(run)]):
        raise ConflictError(problem)


def problem_of(run: Run, askable: Askable) -> Message | None:
    """Say why a run that has ended cannot be asked, if so."""
    has_files = any(each.iteration for each in askable.checkpoints)
    if problem := problem_of_files(run, has_adapter=has_files) or problem_of_base(run):
        return problem
    if has_files:
        return None
    return message(
        "No checkpoint of run {id} has its files, so none can be asked. Train it again with this probe.", id=run.id
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


def askings_of(session: Session, run_id: int) -> Sequence[Asking]:
    """Return a run's askings, the newest first."""
    return session.exec(select(Asking).where(Asking.run_id == run_id).order_by(col(Asking.id).desc())).all()


def newest_askings(session: Session, run_ids: Sequence[int]) -> dict[int, Asking]:
    """Return the newest asking of each run that was asked, by the run's id."""
    statement = select(Asking).where(col(Asking.run_id).in_(run_ids)).order_by(col(Asking.id))
    return {asking.run_id: asking for asking in session.exec(statement)}


def live_asking(session: Session, run_id: int) -> Asking | None:
    """Return the asking of a run that waits or is being made; there is one at most."""
    return session.exec(select(Asking).where(Asking.run_id == run_id, col(Asking.state).in_(LIVE))).first()


def count_running_askings(session: Session) -> int:
    """Count the askings that are being made."""
    return session.exec(select(func.count(col(Asking.id))).where(Asking.state == ArtifactState.RUNNING)).one()


# ── Work on it ─────────────────────────────────────────────────────────────


def waiting_askings(session: Session) -> Sequence[Asking]:
    """Return the askings that may start, the oldest first: those whose run was resumed wait for its end."""
    statement = select(Asking).join(Run).where(Asking.state == ArtifactState.QUEUED, col(Run.state).not_in(LIVE_STATES))
    return session.exec(statement.order_by(col(Asking.id))).all()


def claim_asking(session: Session, asking_id: int, *, device: str) -> Asking | None:
    """Take a queued asking for one worker; None when somebody else has it, or its run was resumed."""
    if locked_run(session, session.get_one(Asking, asking_id).run_id).state in LIVE_STATES:
        return None
    return claims.claim(session, Asking, asking_id, device=device)


def store_answers(session: Session, asking_id: int, event: AnswersGiven, *, attempt: int) -> bool:
    """Store what one checkpoint answered, unless it has an answer there; False when another attempt has the asking."""
    asking = session.get_one(Asking, asking_id)
    run = locked_run(session, asking.run_id)  # its trainer may have begun again, and answer too
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
        renew_scores(session, run, checkpoint)
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
    """
    Write down that nothing is left to ask.

    Returns:
        False while this attempt has something left, such as a probe that joined.
    """
    run = locked_run(session, session.get_one(Asking, asking_id).run_id)
    if not claims.renew(session, Asking, asking_id, attempt=attempt):
        return True  # the run was resumed, or another worker has the asking
    if unanswered(session, run):
        return False
    claims.finish(session, Asking, asking_id, attempt=attempt)
    _record_anew(session, run, asking_id)
    return True


def fail_asking(session: Session, asking_id: int, *, attempt: int, reason: ReasonKind, detail: str) -> None:
    """Write down why an asking failed, unless another attempt has it."""
    run = locked_run(session, session.get_one(Asking, asking_id).run_id)
    claims.fail(session, Asking, asking_id, attempt=attempt, reason=reason, detail=detail)
    _record_anew(session, run, asking_id)


def put_asking_back(session: Session, asking_id: int, *, attempt: int) -> None:
    """Let another worker go on with an asking whose worker leaves or is lost; a few times, then it has failed."""
    run = locked_run(session, session.get_one(Asking, asking_id).run_id)
    if claims.put_back(session, Asking, asking_id, attempt=attempt):
        enqueue(TASK, asking_id=asking_id)
    _record_anew(session, run, asking_id)


def _record_anew(session: Session, run: Run, asking_id: int) -> None:
    _record(session, run, session.get_one(Asking, asking_id, populate_existing=True))
