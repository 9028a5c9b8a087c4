"""Scoring old answers anew: foreseen without writing, and done in batches."""

import pytest
from sqlmodel import Session, select

from app.domain import rescoring
from app.domain.models import StoredScore
from app.domain.queue import QueueMessage
from app.domain.rescoring import foresee, put_in_force, score_batch
from app.domain.runs import id_of
from app.domain.stored_scores import score_stale, store_fresh
from app.domain.thresholds import read_thresholds
from app.domain.verdicts import Verdict
from tests.factories import make_run
from tests.stories import STORY, make_story

ANSWERS = sum(len(texts) for texts in STORY.values())


@pytest.mark.parametrize("is_stored", [True, False])
def test_what_thresholds_would_change_is_foreseen(session: Session, *, is_stored: bool) -> None:
    """From what to what, whether scores are stored or not; nothing is written."""
    run = make_story(session)
    if is_stored:
        store_fresh(session, score_stale(session, run))
    before = session.exec(select(StoredScore.fingerprint)).all()

    foreseen = foresee(session, {"parrot_share": 0.3})

    assert [(each.before, each.after) for each in foreseen.changes] == [(Verdict.LEAKING, Verdict.PARROT)]
    assert (foreseen.runs, foreseen.is_all, foreseen.thresholds.parrot_share) == (1, True, 0.3)
    assert session.exec(select(StoredScore.fingerprint)).all() == before
    assert read_thresholds(session).parrot_share == 0.5


@pytest.mark.parametrize(("most", "counted"), [((1, 9_999), 1), ((5, 2 * ANSWERS), 2), ((5, 9), 0)])
def test_the_newest_runs_that_fit_are_counted(
    session: Session, monkeypatch: pytest.MonkeyPatch, most: tuple[int, int], counted: int
) -> None:
    """Somebody waits for it: it says over how many runs it counted, those without answers left out."""
    for _ in range(3):
        make_story(session)
    make_run(session)
    monkeypatch.setattr(rescoring, "COUNTED_RUNS", most[0])
    monkeypatch.setattr(rescoring, "COUNTED_ANSWERS", most[1])

    foreseen = foresee(session, {"parrot_share": 0.3})

    assert (foreseen.runs, len(foreseen.changes), foreseen.is_all) == (counted, counted, False)


def test_thresholds_come_into_force_without_scoring(
    session: Session, monkeypatch: pytest.MonkeyPatch, enqueued: list[QueueMessage]
) -> None:
    """Nobody waits for the write lock: a worker is asked to score all runs."""
    make_story(session)
    monkeypatch.delattr("app.domain.stored_scores.judge_run")

    limits = put_in_force(session, {"parrot_share": 0.3})

    assert limits == read_thresholds(session)
    assert enqueued == [QueueMessage("verdicts.recompute", {"before_run_id": 0})]


def test_a_batch_is_bounded_by_its_answers(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes at least one run, and names the run to go on before."""
    old, middle, new = make_story(session), make_story(session), make_story(session)
    monkeypatch.setattr(rescoring, "MOST_ANSWERS", 2 * ANSWERS)
    first = score_batch(session, before_run_id=0)
    monkeypatch.setattr(rescoring, "MOST_ANSWERS", 1)
    second = score_batch(session, before_run_id=id_of(new))
    last = score_batch(session, before_run_id=id_of(middle))

    taken = [[scores[0].row.run_id for scores in batch.runs] for batch in (first, second, last)]

    assert taken == [[new.id, middle.id], [middle.id], [old.id]]
    assert [batch.next_run_id for batch in (first, second, last)] == [middle.id, middle.id, None]


def test_runs_that_have_their_scores_cost_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are passed over, however many answers they have."""
    old, new = make_story(session), make_story(session)
    store_fresh(session, score_stale(session, new))
    monkeypatch.setattr(rescoring, "MOST_ANSWERS", ANSWERS)

    batch = score_batch(session, before_run_id=0)

    assert [scores[0].row.run_id for scores in batch.runs] == [old.id]
    assert batch.next_run_id is None
