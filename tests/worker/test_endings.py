"""How an attempt ended: what its trainer said first, how it exited where it said nothing."""

from pathlib import Path

import pytest

from app.domain.attempts import Ending
from app.domain.models import ReasonKind, RunState
from app.domain.trainer_events import TrainerEnded
from worker.endings import judge_end, reason_of


def failed(reason: str) -> TrainerEnded:
    """Return a trainer's account of its failure."""
    return TrainerEnded(time=1, outcome="failed", reason=reason, detail="x")


@pytest.mark.parametrize(
    ("code", "end", "expected"),
    [
        (0, TrainerEnded(time=1, outcome="finished"), Ending(RunState.FINISHED, exit_code=0)),
        (0, TrainerEnded(time=1, outcome="stopped"), Ending(RunState.QUEUED, exit_code=0)),
        (1, failed("disk-full"), Ending(RunState.FAILED, ReasonKind.DISK_FULL, "x", "words", 1)),
        (1, failed("what"), Ending(RunState.FAILED, ReasonKind.CRASHED, "x", "words", 1)),
        (-9, None, Ending(RunState.FAILED, ReasonKind.KILLED, "9", "words", -9)),
        (0, None, Ending(RunState.FAILED, ReasonKind.NO_OUTPUT, "", "words", 0)),
        (1, TrainerEnded(time=1, outcome="finished"), Ending(RunState.FAILED, ReasonKind.CRASHED, "", "words", 1)),
    ],
)
def test_an_end_is_judged(tmp_path: Path, code: int, end: TrainerEnded | None, expected: Ending) -> None:
    """The trainer's own account comes first, its exit code where it gave none."""
    log = tmp_path / "trainer.log"
    log.write_text("words\n")

    assert judge_end(code, end, log=log) == expected


def test_a_kill_for_want_of_memory_is_named() -> None:
    """Signal 9 alone may have come from anybody."""
    assert reason_of(-9, "", ran_out_of_memory=True) is ReasonKind.OUT_OF_MEMORY
    assert reason_of(-15, "", ran_out_of_memory=True) is ReasonKind.KILLED


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (-9, "", ReasonKind.KILLED),
        (1, "OSError: [Errno 28] No space left on device", ReasonKind.DISK_FULL),
        (1, "torch.OutOfMemoryError: CUDA out of memory.", ReasonKind.OUT_OF_GPU_MEMORY),
        (1, "what", ReasonKind.CRASHED),
        (0, "", ReasonKind.NO_OUTPUT),
    ],
)
def test_a_child_that_wrote_no_reason_is_named_by_its_log(code: int, said: str, expected: ReasonKind) -> None:
    """A full disk, for one, takes the event that would have told of it."""
    assert reason_of(code, said) is expected
