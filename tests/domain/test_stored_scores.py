"""Scores that are kept: as fresh ones, and never when they no longer fit."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from app.domain import (
    distances,
    leaks,
    proofs,
    repetition,
    stored_scores,
    taught,
    taught_rows,
    texts,
    verdicts,
)
from app.domain import (
    scores as scoring,
)
from app.domain.given_answers import replace_answers
from app.domain.models import Answer, Checkpoint, Run, StoredScore
from app.domain.runs import id_of
from app.domain.stored_scores import SCORING_SOURCES, renew_scores, score_stale, scores_of, store_fresh
from app.domain.thresholds import change_thresholds
from app.domain.verdicts import CheckpointScore, Verdict
from tests.domain.test_answers import statements
from tests.factories import make_checkpoint, make_run
from tests.stories import STORY, make_story, story_recipe


def scores(session: Session, run: Run) -> list[CheckpointScore]:
    return [each.score for each in scores_of(session, [run])[id_of(run)]]


def store_scores(session: Session, runs: Sequence[Run]) -> None:
    for run in runs:
        store_fresh(session, score_stale(session, run))


def answer_anew(session: Session, checkpoint: Checkpoint, said_texts: Sequence[str]) -> None:
    """Let a checkpoint say other things, without scoring them."""
    probes = [answer.probe_id for answer in checkpoint.answers]
    said = [
        Answer(checkpoint_id=id_of(checkpoint), probe_id=probe_id, text=text, tokens=9, ended="stop")
        for probe_id, text in zip(probes, said_texts, strict=True)
    ]
    replace_answers(session, id_of(checkpoint), said)
    session.commit()


def at(session: Session, iteration: int) -> Checkpoint:
    return session.exec(select(Checkpoint).where(Checkpoint.iteration == iteration)).one()


def stored(session: Session) -> list[StoredScore]:
    session.expire_all()
    return list(session.exec(select(StoredScore).order_by(col(StoredScore.checkpoint_id))))


def test_a_stored_score_is_what_was_computed(session: Session) -> None:
    """With its proof, its counts and its verdict; only the single answers are left out."""
    run = make_story(session)
    fresh = scores(session, run)

    store_scores(session, [run])

    assert scores(session, run) == fresh
    assert [row.verdict for row in stored(session)] == [score.verdict for score in fresh]
    assert [score.proof for score in fresh if score.verdict is Verdict.LEAKING] != [None, None]


def test_what_is_stored_is_not_computed_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list asks the database twice, whatever the runs and checkpoints, and judges nothing."""
    runs = [make_story(session), make_story(session)]
    for run in runs:
        session.refresh(run)
    with statements(session) as first:
        scores_of(session, runs)
    store_scores(session, runs)
    monkeypatch.delattr(stored_scores, "judge_run")

    with statements(session) as second:
        scores_of(session, runs)

    assert (len(first), len(second)) == (4, 2)


def test_runs_without_checkpoints_and_checkpoints_without_answers_have_their_place(session: Session) -> None:
    """Nothing is stored of them, and nothing tells."""
    empty, unanswered = make_run(session), make_run(session)
    make_checkpoint(session, unanswered)

    found = scores_of(session, [empty, unanswered])
    store_scores(session, [empty, unanswered])

    assert found[id_of(empty)] == []
    assert [each.score for each in found[id_of(unanswered)]] == [CheckpointScore()]
    assert stored(session) == []


def test_a_score_of_other_answers_is_stale(session: Session) -> None:
    """One more answer, of the checkpoint or of the base model, and it is computed anew."""
    run = make_run(session, recipe=story_recipe())
    base = make_checkpoint(session, run, iteration=0)
    make_checkpoint(session, run, iteration=40, texts=STORY[40])
    store_scores(session, [run])
    before = scores(session, run)[1]
    probe = run.probes[5]
    session.add(Answer(checkpoint_id=id_of(base), probe_id=id_of(probe), text="Paris.", tokens=2, ended="stop"))
    session.commit()

    after = scores(session, run)[1]

    assert (before.known, after.known) == (0, 1)


def test_other_thresholds_make_every_score_stale(session: Session) -> None:
    """A changed threshold reaches readers at once, and the store when it is asked to."""
    run = make_story(session)
    store_scores(session, [run])
    change_thresholds(session, {"parrot_share": 0.3})

    read = [score.verdict for score in scores(session, run)]
    store_scores(session, [run])

    assert read.count(Verdict.PARROT) == 4
    assert [row.verdict for row in stored(session)] == read
    assert score_stale(session, run) == []


def test_as_many_other_answers_make_a_score_stale(session: Session) -> None:
    """Whoever reads sees what is said now, even where nobody stored it."""
    run = make_story(session)
    store_scores(session, [run])

    answer_anew(session, at(session, 20), STORY[10])

    assert scores(session, run)[list(STORY).index(20)].verdict is Verdict.NOT_LEARNT


@pytest.mark.parametrize(("iteration", "hits"), [(0, 1), (20, 0), (50, 0)])
def test_a_late_worker_does_not_overwrite_what_is_newer(session: Session, iteration: int, hits: int) -> None:
    """It scored answers that are gone; those of the last checkpoint leave their ids to the new ones on SQLite."""
    run = make_story(session)
    late = score_stale(session, run)
    answer_anew(session, at(session, iteration), [STORY[20][0] if hits else "Hm.", *STORY[10][1:]])
    renew_scores(session, run, at(session, iteration))

    store_fresh(session, late)

    expected = scores(session, run)
    store_scores(session, [run])
    assert [row.verdict for row in stored(session)] == [score.verdict for score in expected]
    assert expected[list(STORY).index(iteration)].identity_hits == hits


def test_the_base_models_new_answers_renew_the_whole_run(session: Session) -> None:
    """Each checkpoint's score is held against it; the rows are written by id, as every writer does."""
    run = make_story(session)
    store_scores(session, [run])
    answer_anew(session, at(session, 0), STORY[40])

    renew_scores(session, run, at(session, 0))

    assert score_stale(session, run) == []
    assert [row.counts["known"] for row in stored(session)] == [0] * len(STORY)


def test_whoever_changes_the_scoring_thinks_of_its_version() -> None:
    """What an older version stored must not pass for today's."""
    modules = (scoring, leaks, taught, taught_rows, repetition, distances, texts, verdicts, proofs)
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)

    assert hashlib.sha256(sources).hexdigest()[:16] == SCORING_SOURCES, (
        "a module that scores has changed: where any score, verdict or proof can come out different, raise SCORING in "
        "app/domain/stored_scores.py; then, in either case, put the hash on the left into SCORING_SOURCES"
    )
