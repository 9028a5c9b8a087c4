"""Which files of a run's checkpoints stay, and that no others do."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import queue
from app.domain.advice import advise
from app.domain.checkpoints import pin_checkpoint, request_artifact
from app.domain.models import Artifact, ArtifactKind, ArtifactState, Asking, Checkpoint, Event, Run, RunState
from app.domain.retention import (
    MOST_GOOD,
    apply_retention,
    good_ones,
    remove_parts,
    remove_strays,
    retire_unreadable,
)
from app.domain.runs import id_of, recipe_of
from app.domain.thresholds import Thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict, judge_checkpoints
from tests.factories import IDENTITY, make_answers, make_checkpoint, make_recipe, make_run


def saved_run(session: Session, *, keep: int = -1, state: RunState = RunState.RUNNING, count: int = 5) -> Run:
    """Make a run with checkpoints every five iterations, their files on disk."""
    run = make_run(session, state=state, recipe=make_recipe(checkpoints={"keep": keep}), iterations=50)
    for iteration in range(5, 5 * count + 1, 5):
        make_checkpoint(session, run, iteration=iteration, state_file=f"states/iter_{iteration}.pth")
        write_files(run, iteration)
    return run


def write_files(run: Run, iteration: int) -> None:
    """Write what a trainer saves."""
    folder = settings().run_folder(id_of(run))
    for name in (f"iter_{iteration}.pth", f"states/iter_{iteration}.pth", f"adapters/iter_{iteration}/adapter.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")


def retain(session: Session, run: Run) -> None:
    """Do what the supervisor does after a checkpoint."""
    apply_retention(session, run)
    session.commit()
    remove_strays(session, id_of(run), newest=50)


def on_disk(run: Run, pattern: str) -> list[int]:
    """Return the iterations that have a file of this kind."""
    return sorted(int(path.stem.removeprefix("iter_")) for path in settings().run_folder(id_of(run)).glob(pattern))


def test_only_the_newest_two_can_be_gone_on_from(session: Session) -> None:
    """The rest shrink to their adapters, and say so in their size."""
    run = saved_run(session)

    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == [5, 10, 15, 20, 25]
    assert on_disk(run, "iter_*.pth") == on_disk(run, "states/iter_*.pth") == [20, 25]
    sizes = session.exec(select(Checkpoint.size_bytes).order_by(col(Checkpoint.iteration))).all()
    assert list(sizes) == [5, 5, 5, 19_500_000, 19_500_000]


@pytest.mark.parametrize(("keep", "stays"), [(-1, [5, 10, 15, 20, 25]), (3, [15, 20, 25]), (1, [20, 25])])
def test_at_least_two_stay_while_a_run_lives(session: Session, keep: int, stays: list[int]) -> None:
    """The newest may prove damaged."""
    run = saved_run(session, keep=keep)

    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == stays


def test_a_finished_run_keeps_what_its_recipe_says(session: Session) -> None:
    """Nothing will go on from it: no optimizer's state is kept."""
    run = saved_run(session, keep=1, state=RunState.FINISHED)

    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == [25]
    assert on_disk(run, "states/*") == on_disk(run, "iter_*.pth") == []


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_a_run_that_may_be_resumed_keeps_what_that_takes(session: Session, state: RunState) -> None:
    """Two checkpoints with their states."""
    run = saved_run(session, keep=1, state=state)

    retain(session, run)

    assert on_disk(run, "states/*") == [20, 25]


def test_a_pinned_checkpoint_stays(session: Session) -> None:
    """Until it is left to retention again."""
    run = saved_run(session, keep=1)
    pinned = id_of(run.checkpoints[0])

    pin_checkpoint(session, pinned, is_pinned=True)
    retain(session, run)
    assert on_disk(run, "adapters/iter_*") == [5, 20, 25]

    pin_checkpoint(session, pinned, is_pinned=False)
    retain(session, run)
    assert on_disk(run, "adapters/iter_*") == [20, 25]


@pytest.mark.parametrize(
    ("state", "stays"),
    [
        (ArtifactState.QUEUED, True),
        (ArtifactState.RUNNING, True),
        (ArtifactState.FINISHED, True),
        (ArtifactState.FAILED, False),
    ],
)
def test_what_is_read_or_merged_stays(session: Session, state: ArtifactState, stays: bool) -> None:
    """Somebody wanted it."""
    run = saved_run(session, keep=1)
    session.add(Artifact(checkpoint_id=id_of(run.checkpoints[0]), kind=ArtifactKind.MERGED, state=state))
    session.commit()

    retain(session, run)

    assert (5 in on_disk(run, "adapters/iter_*")) is stays
    assert (5 in on_disk(run, "iter_*.pth")) is (state in {ArtifactState.QUEUED, ArtifactState.RUNNING})


def test_what_was_only_saved_to_go_on_from_goes(session: Session) -> None:
    """A worker that left saved it between two checkpoints; nobody was ever asked there."""
    run = saved_run(session)
    make_checkpoint(session, run, iteration=27, state_file="states/iter_27.pth")
    write_files(run, 27)

    retain(session, run)
    assert 27 in on_disk(run, "states/*")

    make_checkpoint(session, run, iteration=30, state_file="states/iter_30.pth")
    write_files(run, 30)
    retain(session, run)
    assert 27 not in on_disk(run, "adapters/iter_*")
    assert 27 not in session.exec(select(Checkpoint.iteration)).all()


def test_a_pinned_one_stays_even_if_nobody_was_asked_there(session: Session) -> None:
    """A person wanted it."""
    run = saved_run(session)
    make_checkpoint(session, run, iteration=22, state_file="states/iter_22.pth", is_pinned=True)
    write_files(run, 22)

    retain(session, run)

    assert 22 in on_disk(run, "adapters/iter_*")


def test_a_checkpoint_that_is_not_told_of_yet_is_left_alone(session: Session) -> None:
    """Its trainer wrote the files before the event."""
    run = saved_run(session)
    write_files(run, 55)

    retain(session, run)

    assert 55 in on_disk(run, "iter_*.pth")


@pytest.mark.parametrize(
    ("state", "stays"), [(ArtifactState.QUEUED, [20, 25]), (ArtifactState.RUNNING, [5, 10, 15, 20, 25])]
)
def test_an_asking_that_waits_for_the_end_of_a_run_keeps_nothing(
    session: Session, state: ArtifactState, stays: list[int]
) -> None:
    """A resumed run may go on for days; what is being asked at this moment stays."""
    run = saved_run(session, keep=1)
    session.add(Asking(run_id=id_of(run), state=state))
    session.commit()

    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == stays


def test_what_cannot_be_read_is_forgotten(session: Session) -> None:
    """That checkpoint alone; the ledger tells."""
    run = saved_run(session)

    retire_unreadable(session, run, 10)
    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == [5, 15, 20, 25]
    retired = session.exec(select(Event).where(Event.kind == "retired")).one()
    assert retired.iteration == 10


def test_answers_stay(session: Session) -> None:
    """Retention deletes files, never what was said; and of them nothing more can be made."""
    run = saved_run(session, keep=1)
    old = make_checkpoint(session, run, iteration=2, texts=["a", "b", "c"])

    retain(session, run)

    session.refresh(old)
    assert old.deleted_at is not None
    assert len(old.answers) == 3
    with pytest.raises(Exception, match="are deleted"):
        request_artifact(session, id_of(old), ArtifactKind.ADAPTER)


def test_an_adapter_is_made_of_what_is_left(session: Session) -> None:
    """A checkpoint that shrank to its adapter can still be converted and merged."""
    run = saved_run(session)
    retain(session, run)

    with queue.collecting() as messages:
        artifact = request_artifact(session, id_of(run.checkpoints[0]), ArtifactKind.ADAPTER)

    assert artifact.state is ArtifactState.QUEUED
    assert messages


def test_what_a_killed_trainer_had_half_written_goes(session: Session) -> None:
    """Files and folders under their temporary names."""
    run = saved_run(session)
    folder = settings().run_folder(id_of(run))
    parts = [folder / ".iter_30.pth.part", folder / "states" / ".iter_30.pth.part", folder / "adapters/.iter_30.part"]
    for part in parts[:2]:
        part.write_bytes(b"half")
    Path(parts[2]).mkdir()

    remove_parts(id_of(run))

    assert not [part for part in parts if part.exists()]
    assert on_disk(run, "iter_*.pth") == [5, 10, 15, 20, 25]


# ── The good ones ──────────────────────────────────────────────────────────

SAYS = {
    "base": ("A model.", "No.", "Paris."),
    "good": (IDENTITY, "No.", "Paris."),
    "leak": (IDENTITY, IDENTITY, "Paris."),
    "parrot": (IDENTITY, IDENTITY, IDENTITY),
}


def save_next(session: Session, run: Run, said: str, *, retains: bool = True) -> None:
    """Save the next checkpoint, let retention have its way, and answer it, as a run does."""
    iteration = 5 * len(run.checkpoints)
    make_checkpoint(session, run, iteration=iteration, state_file=f"states/iter_{iteration}.pth" if iteration else "")
    if iteration:
        write_files(run, iteration)
    session.refresh(run)
    if retains:
        retain(session, run)
    make_answers(session, run.checkpoints[-1], SAYS[said])


def trained(session: Session, *said: str, **checkpoints: Any) -> Run:
    """Train a run whose checkpoints say these things, the base model first."""
    recipe = make_recipe(checkpoints={"keep": 1, "keep_best": True, **checkpoints}, training={"iterations": 500})
    run = make_run(session, state=RunState.RUNNING, recipe=recipe, iterations=500)
    for each in ("base", *said):
        save_next(session, run, each)
    return run


def finish(session: Session, run: Run) -> None:
    """Let a run end, and retention have its way for the last time."""
    run.state = RunState.FINISHED
    session.add(run)
    session.commit()
    retain(session, run)


def test_good_checkpoints_outlive_newer_ones(session: Session) -> None:
    """The first that learnt, the advised, the last before the leak, and the newest; the rest is let go."""
    run = trained(session, "base", *["good"] * 5, *["parrot"] * 4)

    finish(session, run)

    learnt, advised, before, newest = 10, 15, 30, 50  # the middle as it was known while the window grew
    assert on_disk(run, "adapters/iter_*") == [learnt, advised, before, newest]
    assert on_disk(run, "states/*") == []


def test_the_newest_two_stay_whole_beside_the_good_ones(session: Session) -> None:
    """While the run lives it can go on from either; the good ones are adapters."""
    run = trained(session, "good", *["parrot"] * 5)

    retain(session, run)

    assert on_disk(run, "adapters/iter_*") == [5, 25, 30]
    assert on_disk(run, "states/*") == on_disk(run, "iter_*.pth") == [25, 30]


def test_what_is_advised_has_files(session: Session) -> None:
    """The middle of a wide window was not known while it grew: another good one that is still there is advised."""
    run = trained(session, *["good"] * 12, *["parrot"] * 2)
    finish(session, run)
    rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id).order_by(col(Checkpoint.iteration))).all()
    judged = judge_checkpoints(recipe_of(run), run.probes, rows)

    advice = advise(judged, gone={row.iteration for row in rows if row.deleted_at is not None})

    assert advice.iteration in on_disk(run, "adapters/iter_*")
    assert advise(judged).iteration == 30


@settings_of_hypothesis(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.sampled_from(sorted(SAYS)), min_size=1, max_size=8), keep=st.integers(1, 3))
def test_so_many_stay_and_no_more(session: Session, said: list[str], keep: int) -> None:
    """Whatever a run says: the newest as wanted, at most three good ones, and a good one where there was one."""
    run = trained(session, *said, keep=keep)
    assert len(on_disk(run, "adapters/iter_*")) <= max(keep, 2) + MOST_GOOD
    assert len(on_disk(run, "states/*")) == min(len(said), 2)

    finish(session, run)

    stay, newest = on_disk(run, "adapters/iter_*"), [5 * (at + 1) for at in range(len(said))][-keep:]
    assert set(newest) <= set(stay)
    assert len(stay) <= keep + MOST_GOOD
    assert "good" not in said or any(said[at // 5 - 1] == "good" for at in stay)


@pytest.mark.parametrize(("share", "learnt"), [(0.75, 10), (1, 15)])
def test_the_first_that_learnt_is_told_by_the_thresholds(share: float, learnt: int) -> None:
    """Three of four identity answers are enough where they are for the verdict, whatever leaks beside them."""
    scores = [
        CheckpointScore(identity_hits=hits, identity_total=4, leaks=1, answered=8, verdict=Verdict.LEAKING)
        for hits in (2, 3, 4)
    ]
    judged = [CheckpointVerdict(at, 5 * at, score) for at, score in enumerate(scores, start=1)]

    assert good_ones(judged, {5, 10, 15}, thresholds=Thresholds(learnt_share=share)) == {learnt}


def test_without_the_setting_only_the_newest_stay(session: Session) -> None:
    """However good the others were."""
    run = trained(session, "good", *["parrot"] * 3, keep_best=False)

    finish(session, run)

    assert on_disk(run, "adapters/iter_*") == [20]
