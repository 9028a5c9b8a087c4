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
        "The disk is full. Free some space or keep fewer checkpoints; the last whole checkpoint is safe."
    ),
    ReasonKind.BAD_MODEL: message(
        "The model could not be loaded. Check its folder on the Models page: a file is missing or does not fit."
    ),
    ReasonKind.BAD_DATA: message(
        "No row of the mix survived tokenising. Raise the maximum length, and check that the answers are not empty."
    ),
    ReasonKind.LOSS_NOT_FINITE: message(
        "The loss became infinite or not a number. Lower the learning rate, or take bfloat16 instead of float16."
    ),
    ReasonKind.MISSING_PACKAGE: message(
        "A package that this recipe needs is not installed on the worker. The details name it."
    ),
    ReasonKind.KILLED: message(
        "The trainer was killed from outside by signal {detail}. Signal 9 is most often the system short of memory."
    ),
    ReasonKind.NO_OUTPUT: message("The trainer ended without an error and without finishing. The log may say why."),
    ReasonKind.WORKER_LOST: message("The worker that trained this run is gone. Clone the run to start it again."),
    ReasonKind.CRASHED: message("The trainer crashed. Its last lines are below."),
}


def reason_text(kind: ReasonKind, detail: str = "") -> Message:
    """Return the sentence for a reason; `detail` fills the few that have a place for it."""
    text = _TEXTS[kind]
    return Message(text.template, {"detail": detail})
