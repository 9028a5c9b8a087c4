"""Scores that are kept: as fresh ones, and never when they no longer fit."""

import pytest
from sqlmodel import Session, col, select

from app.domain import stored_scores
from app.domain.models import Answer, Checkpoint, Run, StoredScore
from app.domain.runs import id_of
from app.domain.stored_scores import renew_scores, scores_of, store_scores
from app.domain.thresholds import change_thresholds
from app.domain.verdicts import CheckpointScore, Verdict
from tests.domain.test_answers import statements
from tests.factories import make_checkpoint, make_run
from tests.stories import STORY, make_story, story_recipe


def scores(session: Session, run: Run) -> list[CheckpointScore]:
    return [each.score for each in scores_of(session, [run])[id_of(run)]]


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
    changes = store_scores(session, [run])

    assert read.count(Verdict.PARROT) == 4
    assert [(change.before, change.after) for change in changes] == [(Verdict.LEAKING, Verdict.PARROT)]
    assert store_scores(session, [run]) == []


def test_answers_given_again_are_scored_again(session: Session) -> None:
    """The same number of other answers leaves no trace in a fingerprint, so whoever stores them says so."""
    run = make_story(session)
    store_scores(session, [run])
    checkpoint = session.exec(select(Checkpoint).where(Checkpoint.iteration == 20)).one()
    for answer in checkpoint.answers:
        answer.text = "Hm."
    session.commit()

    renew_scores(session, run, checkpoint)

    assert scores(session, run)[list(STORY).index(20)].verdict is Verdict.NOT_LEARNT
