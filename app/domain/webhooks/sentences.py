"""What people read of an event: one sentence, the verdict, and a link."""

from app.domain.catalogues import SPACES, say
from app.domain.messages import Message, message
from app.domain.models import RunState, StopCause
from app.domain.reasons import reason_text
from app.domain.verdicts import Verdict
from app.domain.webhooks.models import WebhookEvent
from app.domain.webhooks.payloads import CheckpointFacts, Payload, RunData, SweepData

_VERDICTS = {
    Verdict.NOT_LEARNT: message("not learnt"),
    Verdict.GOOD: message("good"),
    Verdict.LEAKING: message("leaking"),
    Verdict.PARROT: message("parrot"),
}


def sentence_of(payload: Payload, language: str) -> str:
    """Return a payload in words of a language, the link on a line of its own."""
    data = payload.data
    if isinstance(data, RunData):
        texts, url = _of_run(payload, data), data.run.url
    elif isinstance(data, SweepData):
        texts, url = [_of_sweep(data)], data.sweep.url
    else:
        return say(message("Temper was asked whether messages arrive here."), language)
    words = SPACES[language].join(say(text, language) for text in texts)
    return f"{words}\n{url}"


def _of_run(payload: Payload, data: RunData) -> list[Message]:
    run = data.run
    names = {"id": run.id, "name": run.name}
    if payload.type == WebhookEvent.VERDICT_REACHED:
        return [message("Run {id}, {name}, has its first good checkpoint.", **names), *_checkpoint(data.checkpoint)]
    if run.state is RunState.FAILED:
        why = [reason_text(run.reason.kind, run.reason.detail)] if run.reason else []
        return [message("Run {id}, {name}, has failed at iteration {at}.", **names, at=run.iteration), *why]
    if run.state is RunState.CANCELLED:
        told = [message("Run {id}, {name}, was stopped at iteration {at}.", **names, at=run.iteration)]
    elif run.stopped_by is StopCause.SWEET_SPOT:
        told = [message("Run {id}, {name}, has finished at its sweet spot.", **names)]
    else:
        told = [message("Run {id}, {name}, has finished.", **names)]
    return told + (_checkpoint(data.checkpoint) or [message("No checkpoint is worth keeping.")])


def _checkpoint(checkpoint: CheckpointFacts | None) -> list[Message]:
    if checkpoint is None or checkpoint.verdict is None:
        return []
    return [
        message(
            "Iteration {at} is {verdict}: identity {hits}/{asked}, leak {leaks}/{open}.",
            at=checkpoint.iteration,
            verdict=_VERDICTS[checkpoint.verdict],
            hits=checkpoint.identity_hits,
            asked=checkpoint.identity_total,
            leaks=checkpoint.leaks,
            open=checkpoint.leak_total,
        )
    ]


def _of_sweep(data: SweepData) -> Message:
    sweep = data.sweep
    finished = sweep.by_state.get(RunState.FINISHED, 0)
    return message(
        "Sweep {id}, {name}, has ended: {finished} of {runs} runs finished.",
        id=sweep.id,
        name=sweep.name,
        finished=finished,
        runs=sum(sweep.by_state.values()),
    )
