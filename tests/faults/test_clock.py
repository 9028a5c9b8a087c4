"""F11, F14: clocks that jump, and a kernel that kills for want of memory; both by a worker that is told so."""

import re
from collections.abc import Iterator

import pytest
from sqlmodel import Session

from app.domain.models import ReasonKind, RunState
from tests.faults.measuring import Fault
from tests.faults.processes import kill_if_there
from tests.faults.site import (
    ALTERED,
    Site,
    attempts,
    check_so_far,
    check_whole,
    now,
    trainer_of,
    wait_for_iteration,
    wait_for_state,
)


@pytest.fixture(autouse=True)
def surroundings(site: Site) -> Iterator[None]:
    """Let the only worker be one whose surroundings can change; put them right afterwards."""
    site.keep_one_worker(ALTERED)
    yield
    for name in ("clock", "oom-kills"):
        (site.home / name).unlink(missing_ok=True)


@pytest.mark.parametrize("hours", [2, -2])
def test_f11_the_clock_jumps(site: Site, session: Session, fault: Fault, hours: int) -> None:
    """While a run trains and while it waits for its next try: one trainer, no claim lost, no wait of hours."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, 7)

    fault.strike(session, run_id)
    (site.home / "clock").write_text(str(hours))
    wait_for_iteration(session, run_id, 12)
    assert now(session, run_id).attempt == 1
    kill_if_there(trainer_of(session, run_id))
    wait_for_state(session, run_id, RunState.QUEUED)
    (site.home / "clock").write_text("0")
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert [attempt.reason for attempt in attempts(session, run_id)] == [ReasonKind.KILLED, None]
    assert 0 < (now(session, run_id).seconds_per_iteration or 0) < 1


def test_f14_the_kernel_is_out_of_memory(site: Site, session: Session, fault: Fault) -> None:
    """The run fails with that word and is not tried again; its worker goes on."""
    run_id = site.start_run("hang")
    wait_for_iteration(session, run_id, 3)

    fault.strike(session)
    (site.home / "oom-kills").write_text("1")
    kill_if_there(trainer_of(session, run_id))
    run = wait_for_state(session, run_id, RunState.FAILED)
    fault.over()

    assert (run.reason, run.attempt) == (ReasonKind.OUT_OF_MEMORY, 1)
    assert re.search("memory", site.ask("GET", f"/runs/{run_id}").text)
    check_so_far(session, site, run_id)
    check_whole(session, site, site.start_run("plain"))
