"""
From an exception to the reason a user reads.

The values are those of `app.domain.models.ReasonKind`, written out: importing that module would
bring the database into the trainer.
"""

import errno
from collections.abc import Iterator
from typing import Final

OUT_OF_MEMORY: Final = "out-of-memory"
OUT_OF_GPU_MEMORY: Final = "out-of-gpu-memory"
DISK_FULL: Final = "disk-full"
BAD_MODEL: Final = "bad-model"
UNSAFE_CHECKPOINT: Final = "unsafe-checkpoint"
BAD_DATA: Final = "bad-data"
LOSS_NOT_FINITE: Final = "loss-not-finite"
MISSING_PACKAGE: Final = "missing-package"
CRASHED: Final = "crashed"


class LossNotFiniteError(RuntimeError):
    """The loss was not a number for too many iterations in a row."""


class BadModelError(RuntimeError):
    """The base model cannot be read, or is of a kind that cannot be trained."""


class UnsafeCheckpointError(RuntimeError):
    """A checkpoint holds more than tensors and plain values."""


class BadDataError(RuntimeError):
    """No row of the mix can be trained on."""


_SIGNS: Final = (
    ("CUDA out of memory", OUT_OF_GPU_MEMORY),
    ("CUBLAS_STATUS_ALLOC_FAILED", OUT_OF_GPU_MEMORY),
    ("DefaultCPUAllocator: not enough memory", OUT_OF_MEMORY),
    ("can't allocate memory", OUT_OF_MEMORY),
    ("No space left on device", DISK_FULL),
    # torch's zip writer reports a write cut short by a full disk in these words, without an errno.
    ("unexpected pos", DISK_FULL),
    ("file write failed", DISK_FULL),
    ("Column length not in the dataset", BAD_DATA),  # xtuner, once no row is left; and the same of datasets 5:
    ("Column 'length' doesn't exist", BAD_DATA),
    ("Error occurred while generating the dataset", BAD_DATA),
    ("num_samples should be a positive integer", BAD_DATA),
    ("Weights only load failed", UNSAFE_CHECKPOINT),
    ("legacy .tar format", UNSAFE_CHECKPOINT),  # torch unpickles all of it, and refuses to with weights only
    ("flash_attn", MISSING_PACKAGE),
    ("bitsandbytes", MISSING_PACKAGE),
    ("pip install", MISSING_PACKAGE),
    ("trust_remote_code", BAD_MODEL),
    ("is not a local folder and is not a valid model identifier", BAD_MODEL),
    ("does not appear to have a file named", BAD_MODEL),
    ("Can't load tokenizer", BAD_MODEL),
    ("Error while deserializing header", BAD_MODEL),
    ("Unrecognized model in", BAD_MODEL),
    ("Target modules", BAD_MODEL),
    ("Repo id must", BAD_MODEL),
    ("not a valid JSON file", BAD_MODEL),
)
"""Words of other people's exceptions; the first that fits decides, so memory comes before packages."""


def explain(error: BaseException) -> tuple[str, str]:
    """Return an exception's reason and its own words, of the cause that says most."""
    chain = list(_causes(error))
    for cause in chain:
        reason = _reason_by_type(cause) or _reason_by_words(str(cause))
        if reason:
            return reason, _words(cause)
    return CRASHED, _words(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason_by_type(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DISK_FULL
    if type(error).__name__ == "OutOfMemoryError":  # torch's, known by name so that this module loads without torch
        return OUT_OF_GPU_MEMORY
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (MemoryError, OUT_OF_MEMORY),
        (UnsafeCheckpointError, UNSAFE_CHECKPOINT),
        (LossNotFiniteError, LOSS_NOT_FINITE),
        (BadModelError, BAD_MODEL),
        (BadDataError, BAD_DATA),
        (ModuleNotFoundError, MISSING_PACKAGE),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), "")


def _reason_by_words(words: str) -> str:
    return next((reason for sign, reason in _SIGNS if sign in words), "")


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip()[:2_000]
