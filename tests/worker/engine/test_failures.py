"""The reason a user reads, of an exception that somebody else raised."""

import errno

import pytest

from app.domain.models import ReasonKind
from worker.engine import failures
from worker.engine.failures import BadDataError, LossNotFiniteError, explain


class OutOfMemoryError(RuntimeError):
    """Stands for torch's, which is known by its name."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("Tried to allocate 2 GiB"), ReasonKind.OUT_OF_GPU_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate"), ReasonKind.OUT_OF_GPU_MEMORY),
        (MemoryError(), ReasonKind.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), ReasonKind.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), ReasonKind.DISK_FULL),
        (RuntimeError("[enforce fail at inline_container.cc:820] . unexpected pos 64 vs 0"), ReasonKind.DISK_FULL),
        (OSError("nothing is not a local folder and is not a valid model identifier"), ReasonKind.BAD_MODEL),
        (
            ValueError("loading x requires you to execute the configuration file; trust_remote_code"),
            ReasonKind.BAD_MODEL,
        ),
        (ValueError("Column 'length' doesn't exist."), ReasonKind.BAD_DATA),
        (BadDataError("none"), ReasonKind.BAD_DATA),
        (ModuleNotFoundError("No module named 'flash_attn'"), ReasonKind.MISSING_PACKAGE),
        (AssertionError("`flash_attn` is required if you set `use_varlen_attn` to True."), ReasonKind.MISSING_PACKAGE),
        (LossNotFiniteError("five"), ReasonKind.LOSS_NOT_FINITE),
        (ZeroDivisionError("division by zero"), ReasonKind.CRASHED),
    ],
)
def test_an_exception_has_a_reason(error: Exception, reason: ReasonKind) -> None:
    assert explain(error)[0] == reason


def test_the_cause_says_more_than_what_wraps_it() -> None:
    """Libraries raise their own errors from the one that matters."""
    error = RuntimeError("class `TrainLoop` could not be built")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")

    reason, detail = explain(error)

    assert reason == ReasonKind.DISK_FULL
    assert "No space left" in detail


def test_every_reason_is_one_the_database_knows() -> None:
    """The trainer writes them as plain words, since it must not import the tables."""
    words = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, str)}

    assert words <= set(ReasonKind)
