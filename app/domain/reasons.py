"""Why work failed, in words, and what its owner can do about it."""

from app.domain.messages import Message, message
from app.domain.models import ReasonKind

_TEXTS: dict[ReasonKind, Message] = {
    ReasonKind.OUT_OF_MEMORY: message(
        "The machine ran out of memory. Lower the maximum length or the batch size, or tune with LoRA instead of full."
    ),
    ReasonKind.OUT_OF_GPU_MEMORY: message(
        "The GPU ran out of memory. Lower the maximum length or the batch size, switch activation checkpointing on,"
        " or take QLoRA."
    ),
    ReasonKind.DISK_FULL: message(
        "The disk is full. Free some space or keep fewer checkpoints, then resume: the last whole checkpoint is safe."
    ),
    ReasonKind.BAD_MODEL: message(
        "The model could not be loaded. Check its folder on the Models page: a file is missing or does not fit."
    ),
    ReasonKind.REFUSED_MODEL: message(
        "The model's folder holds what no admin has approved, or what nothing may read. The details name it; an admin"
        " looks at it on the Models page."
    ),
    ReasonKind.UNSAFE_CHECKPOINT: message(
        "This is an unsafe checkpoint: it holds more than tensors and plain values, which could run code. Nothing of it"
        " was run."
    ),
    ReasonKind.BAD_DATA: message(
        "The rows of the mix cannot be trained on. Raise the maximum length and check that answers are not empty; "
        "upload a saved set that is missing again."
    ),
    ReasonKind.LOSS_NOT_FINITE: message(
        "The loss became infinite or not a number. Lower the learning rate, or take bfloat16 instead of float16."
    ),
    ReasonKind.MISSING_PACKAGE: message(
        "A package that this recipe needs is not installed on the worker. The details name it."
    ),
    ReasonKind.KILLED: message(
        "The trainer was killed from outside by signal {detail}, several times in a row. Resume the run once the"
        " cause is gone."
    ),
    ReasonKind.NO_OUTPUT: message("The trainer ended without an error and without finishing. The log may say why."),
    ReasonKind.STALLED: message(
        "The trainer made no progress for {detail} seconds and was ended. If the machine was busy with something else,"
        " resume the run; else look at the log's last lines."
    ),
    ReasonKind.WORKER_LOST: message(
        "The worker went away in the middle of it, several times. See that it stays up, then resume."
    ),
    ReasonKind.CRASHED: message("The trainer crashed. Its last lines are below."),
}


def reason_text(kind: ReasonKind, detail: str = "") -> Message:
    """Return the sentence for a reason; `detail` fills the few that have a place for it."""
    text = _TEXTS[kind]
    return Message(text.template, {"detail": detail})


_OF_ARTIFACTS: dict[ReasonKind, Message] = {
    ReasonKind.OUT_OF_MEMORY: message("The machine ran out of memory. Ask again when less is running on it."),
    ReasonKind.DISK_FULL: message("The disk is full. Free some space, then ask again."),
    ReasonKind.KILLED: message("It was killed from outside by signal {detail}. Ask again."),
    ReasonKind.WORKER_LOST: message("Its worker went away, several times. See that it stays up, then ask again."),
    ReasonKind.CRASHED: message("The engine failed, and this is what it said:"),
}


def artifact_reason_text(kind: ReasonKind, detail: str = "") -> Message:
    """Return the sentence for an artifact that could not be made."""
    text = _OF_ARTIFACTS.get(kind)
    return Message(text.template, {"detail": detail}) if text else reason_text(kind, detail)


_OF_ASKINGS: dict[ReasonKind, Message] = {
    ReasonKind.OUT_OF_GPU_MEMORY: message("The GPU ran out of memory. Ask again when nothing else works on it."),
    ReasonKind.BAD_MODEL: message(
        "The model could not be loaded, or an adapter of this run. The details name what is missing."
    ),
    ReasonKind.NO_OUTPUT: message("The engine ended without an error, and answers are missing. Ask again."),
}


def asking_reason_text(kind: ReasonKind, detail: str = "") -> Message:
    """Return the sentence for an asking that failed."""
    text = _OF_ASKINGS.get(kind)
    return Message(text.template, {"detail": detail}) if text else artifact_reason_text(kind, detail)
