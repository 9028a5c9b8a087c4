"""
Which checkpoint of a run to keep, and why, in one line.

One function serves the page, the API and the command: in the widest window of good checkpoints
the one that forgot least, by what its answers lack and by how likely held-out pairs are. It sees one
run at a time.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.domain.messages import Message, message
from app.domain.proofs import ProofKind
from app.domain.verdicts import CheckpointVerdict, Verdict


@dataclass(frozen=True, slots=True)
class Advice:
    """What to keep of a run."""

    checkpoint_id: int | None
    iteration: int | None
    """None: nothing to keep, and the reason says what to change."""
    reason: Message
    first_leak: int | None = None
    """Iteration at which something taught first appears where it was not asked for."""


def advise(verdicts: Sequence[CheckpointVerdict], *, gone: Container[int] = ()) -> Advice:
    """
    Recommend a checkpoint of one run.

    A window where less is forgotten goes before a wider one. The widest has the most checkpoints; of
    equals the one over more iterations, then the earlier one. In it, of those that forgot least, the one
    at which held-out pairs are likeliest, identity and general together: it has learnt most of the one and
    lost least of the other. Where that was not measured, the nearest to the middle, then the one nearer to
    the identity, then the earlier one.

    Args:
        verdicts: the run's, in any order; the base model's is left out.
        gone: iterations whose files are deleted; one of them is advised only where no other will do.
    """
    tuned = sorted((each for each in verdicts if each.iteration > 0), key=lambda each: each.iteration)
    leak = next((each.iteration for each in tuned if each.score.leaks), None)
    window = best_window(tuned, gone)
    if not window:
        return Advice(None, None, _why_none(tuned, leak), leak)
    kept = _best(window, gone)
    return Advice(kept.checkpoint_id, kept.iteration, _why(kept, window, leak), leak)


def best_window(tuned: Sequence[CheckpointVerdict], gone: Container[int] = ()) -> Sequence[CheckpointVerdict]:
    """Return the good checkpoints in a row that go before all others; `tuned` is by iteration, without the base."""
    grouped = groupby(tuned, lambda each: each.score.verdict)
    windows = [list(group) for verdict, group in grouped if verdict is Verdict.GOOD]
    return max(windows, key=lambda each: width_of(each, gone), default=[])


def width_of(window: Sequence[CheckpointVerdict], gone: Container[int] = ()) -> tuple[bool, int, int, int]:
    """Return what good checkpoints in a row are compared by; more is better."""
    fewest = min(each.score.forgotten for each in window)
    is_there = any(each.iteration not in gone for each in window)
    return is_there, -fewest, len(window), window[-1].iteration - window[0].iteration


def _is_measured(window: Sequence[CheckpointVerdict]) -> bool:
    return len(window) > 1 and all(each.held_out is not None for each in window)


def _best(window: Sequence[CheckpointVerdict], gone: Container[int]) -> CheckpointVerdict:
    is_measured = _is_measured(window)

    def rank(place: int) -> tuple[bool, int, float, int, float]:
        each, from_middle = window[place], abs(2 * place - (len(window) - 1))
        likely = -(each.held_out or 0.0) if is_measured else 0.0
        return each.iteration not in gone, -each.score.forgotten, likely, -from_middle, each.score.identity

    return window[max(range(len(window)), key=rank)]


def _why(kept: CheckpointVerdict, window: Sequence[CheckpointVerdict], leak: int | None) -> Message:
    score = kept.score
    values = {"hits": score.identity_hits, "total": score.identity_total, "first": window[0].iteration}
    values["last"] = window[-1].iteration
    if score.forgotten:
        return message(
            "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
            "forgot {forgotten} of {known} answers that the base model had right, and no good checkpoint forgot fewer.",
            **values,
            forgotten=score.forgotten,
            known=score.known,
        )
    if _is_measured(window):
        return _why_likeliest(values, leak if leak is None or leak >= kept.iteration else None)
    is_narrow = len(window) == 1
    if leak is None or leak < kept.iteration:
        if is_narrow:
            return message(
                "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
                "the only good checkpoint.",
                **values,
            )
        return message(
            "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
            "good from iteration {first} to {last}.",
            **values,
        )
    if is_narrow:
        return message(
            "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
            "the only good checkpoint, leaking from iteration {leak} on.",
            **values,
            leak=leak,
        )
    return message(
        "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
        "good from iteration {first} to {last}, leaking from {leak} on.",
        **values,
        leak=leak,
    )


def _why_likeliest(values: Mapping[str, int], leak: int | None) -> Message:
    if leak is None:
        return message(
            "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
            "good from iteration {first} to {last}; of these, pairs kept out of training are likeliest here.",
            **values,
        )
    return message(
        "Answers {hits} of {total} identity probes with the identity, and nothing taught appears elsewhere; "
        "good from iteration {first} to {last}, leaking from {leak} on; of these, pairs kept out of training are "
        "likeliest here.",
        **values,
        leak=leak,
    )


def _why_none(tuned: Sequence[CheckpointVerdict], leak: int | None) -> Message:
    judged = [each for each in tuned if each.score.verdict is not None]
    if not any(each.score.answered for each in tuned):
        return message("No checkpoint has answered yet.")
    if not judged:
        return message("Without an identity probe nothing can tell whether the identity is learnt: add one.")
    return _why_none_is_good(judged, leak)


def _why_none_is_good(judged: Sequence[CheckpointVerdict], leak: int | None) -> Message:
    learnt = next((each.iteration for each in judged if each.score.identity_hits), None)
    broken = next((each.iteration for each in judged if _is_broken(each)), None)
    if broken is not None and (leak is None or broken <= leak):
        return message(
            "From iteration {broken} on most answers loop or are empty where the base model answered: lower the "
            "learning rate, train for fewer iterations, or add general pairs.",
            broken=broken,
        )
    if leak is not None:
        return _why_leaking(judged, leak, learnt)
    if any(each.score.verdict is Verdict.PARROT for each in judged):
        return message(
            "The identity is learnt at iteration {learnt}, and too much of what the base model knew is forgotten: "
            "lower the learning rate, save more often, or add general pairs.",
            learnt=learnt,
        )
    return _why_not_learnt(judged)


def _is_broken(each: CheckpointVerdict) -> bool:
    """Whether a checkpoint is a parrot for what it no longer answers, more than for what it leaks."""
    score = each.score
    return score.verdict is Verdict.PARROT and score.proof is not None and score.proof.kind is ProofKind.BROKEN


def _why_leaking(judged: Sequence[CheckpointVerdict], leak: int, learnt: int | None) -> Message:
    if learnt is None:
        return message(
            "From iteration {leak} on what was taught appears where it was not asked for, and no identity probe "
            "answers with the identity: ask the probes as the identity pairs do, and add general pairs.",
            leak=leak,
        )
    if all(each.score.verdict is Verdict.PARROT for each in judged):
        return message(
            "Every checkpoint is a parrot, from the first one at iteration {first} on: save much more often, lower "
            "the learning rate or the identity copies, and add general pairs.",
            first=judged[0].iteration,
        )
    if leak <= judged[0].iteration:
        return message(
            "The first checkpoint, at iteration {leak}, already leaks: save more often, and add general pairs.",
            leak=leak,
        )
    return _why_between(judged, leak, learnt)


def _why_between(judged: Sequence[CheckpointVerdict], leak: int, learnt: int) -> Message:
    if leak < learnt:
        return message(
            "What was taught appears elsewhere from iteration {leak} on, before the identity is learnt at {learnt}: "
            "add general pairs, and vary the questions of the identity pairs.",
            learnt=learnt,
            leak=leak,
        )
    if leak == learnt:
        before = max(each.iteration for each in judged if each.iteration < leak)
        return message(
            "The identity is learnt and leaks at once, between iterations {before} and {leak}: save more often there, "
            "and add general pairs.",
            before=before,
            leak=leak,
        )
    return message(
        "The identity is learnt at iteration {learnt} and leaks at {leak}: save more often in between, and add "
        "general pairs.",
        learnt=learnt,
        leak=leak,
    )


def _why_not_learnt(judged: Sequence[CheckpointVerdict]) -> Message:
    best = max(judged, key=lambda each: each.score.identity_hits).score
    if best.identity_hits:
        return message(
            "At best {hits} of {total} identity probes answer with the identity: train longer, add identity copies, or "
            "add the questions of the other probes as identity pairs.",
            hits=best.identity_hits,
            total=best.identity_total,
        )
    return message(
        "The identity is not learnt at any checkpoint: train longer, raise the learning rate or add identity copies."
    )
