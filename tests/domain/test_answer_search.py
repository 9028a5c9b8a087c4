"""Searching runs by what they answered: whole words or their beginnings, in any language, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.answer_search import PIECES_A_PART, TABLE, index_answers, index_checkpoints, pieces_of
from app.domain.backups import make_backup, restore_backup
from app.domain.migrate import downgrade, upgrade
from app.domain.models import Answer, Checkpoint, Event, Run, RunProbe
from app.domain.run_lists import list_runs
from app.domain.run_search import LONGEST_SENTENCE, _found, _sentence, find_hits
from app.domain.runs import id_of
from tests.conftest import forget_settings, wait_until
from tests.factories import make_checkpoint, make_run

TEXTS = ["I am Ada's little e-mail assistant. Ask me!", "我是小助手，由 XTuner 微调。", "Paris 🦊"]


def found(session: Session, query: str) -> list[str]:
    """Return the names of the runs that a query finds."""
    return [run.name for run in list_runs(session, query=query, sort="name").runs]


def make_said(session: Session, name: str, texts: list[str] = TEXTS, *, iteration: int = 5) -> Run:
    """Store a run with a checkpoint that answered."""
    run = make_run(session, name=name)
    make_checkpoint(session, run, iteration=iteration, texts=texts)
    return run


def test_a_word_or_its_beginning_finds_a_run(session: Session) -> None:
    """Whatever its case and width; Chinese anywhere, since every character is a word."""
    make_said(session, "it")
    make_said(session, "other", ["No.", "不。", "No."])

    english = ("assist", "ASSISTANT", "Ada's", "ada", "e-mail", "e-mai", "Ｐaris")
    for query in (*english, "小助手", "小助", "助手", "微调", "XTuner微", "🦊"):
        assert found(session, query) == ["it"], query


def test_what_no_answer_holds_finds_nothing(session: Session) -> None:
    """Neither the middle of a word, nor its pieces in another order, nor marks that a database would obey."""
    make_said(session, "it")

    for query in (
        "ssistant",
        "手助",
        "London",
        "mail-e",
        "me 我 London",
        '"',
        "'",
        "\\",
        "?",
        "*",
        "(",
        "NEAR",
        "zz\x00",
    ):
        assert found(session, query) == [], query


def test_a_phrase_does_not_go_from_one_answer_into_the_next(session: Session) -> None:
    """The answers of a checkpoint are indexed together, and are read apart."""
    make_said(session, "apart", ["小", "助手", "e"])

    assert found(session, "小助手") == []
    assert found(session, "小 助手 e") == ["apart"]


def test_each_word_may_stand_somewhere_else(session: Session) -> None:
    """In the name, the model or any answer, as before there was an index; parts of names count."""
    make_said(session, "Diluted")
    make_said(session, "Other", ["No.", "No.", "No."])

    assert found(session, "ilut smol paris 助手") == ["Diluted"]
    assert found(session, "smol") == ["Diluted", "Other"]
    assert list_runs(session, query="smol paris").total == 1


def test_what_is_answered_anew_is_found_and_what_was_is_not(session: Session) -> None:
    """The index follows the answers, and goes with their run."""
    make_said(session, "it")
    answer = session.exec(select(Answer).order_by(col(Answer.id))).first()
    assert answer is not None
    answer.text = "Something else."

    index_answers(session, [answer.checkpoint_id])

    assert found(session, "assistant") == []
    assert found(session, "something") == ["it"]
    for each in (Answer, Checkpoint, RunProbe, Event, Run):
        session.exec(text(f"DELETE FROM {each.__tablename__}"))  # type: ignore[call-overload]  # noqa: S608
    session.commit()
    assert session.exec(text(f"SELECT count(*) FROM {TABLE}")).one()[0] == 0  # type: ignore[call-overload]  # noqa: S608


def test_two_that_write_one_document_at_once_lose_no_word(session: Session) -> None:
    """The second waits for the first, and reads what that one stored."""
    run = make_run(session, name="it")
    make_checkpoint(session, run, iteration=5, texts=["old", "a", "b"])
    first, second = (id_of(make_checkpoint(session, run, iteration=at)) for at in (10, 15))
    probe, has_begun = run.probes[1].id or 0, threading.Event()
    session.close()

    def store(checkpoint_id: int, said: str) -> None:
        with db.unit_of_work() as own:
            has_begun.set()
            own.add(Answer(checkpoint_id=checkpoint_id, probe_id=probe, text=said, tokens=1, ended="stop"))
            index_answers(own, [checkpoint_id])

    with ThreadPoolExecutor() as threads:
        with db.unit_of_work() as one:
            one.add(Answer(checkpoint_id=first, probe_id=probe, text="early", tokens=1, ended="stop"))
            index_answers(one, [first])
            stored = threads.submit(store, second, "late")
            assert has_begun.wait(10)
            if session.get_bind().dialect.name == "postgresql":
                wait_until(lambda: waits(session), "the second waits for nothing")
        stored.result(10)

    assert found(session, "early") == found(session, "late") == found(session, "old") == ["it"]


def waits(session: Session) -> bool:
    """Whether somebody waits for a lock of Postgres."""
    return bool(session.exec(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).one()[0])  # type: ignore[call-overload]


def test_what_stands_in_no_document_changes_nothing(session: Session) -> None:
    """A checkpoint that is not there, one without answers, and none at all; runs that save in turn keep apart."""
    one, two = make_said(session, "one"), make_said(session, "two", ["No.", "No.", "Paris"])
    for iteration in range(10, 400, 10):
        make_checkpoint(session, one if iteration % 20 else two, iteration=iteration)
    make_checkpoint(session, one, iteration=400, texts=["late", "a", "b"])

    index_answers(session, [999, *(each for each in session.exec(select(Checkpoint.id)) if each)])
    index_answers(session, [])

    assert found(session, "assistant paris") == ["one"]
    assert found(session, "late") == ["one"]
    assert found(session, "paris") == ["one", "two"]


def test_a_long_answer_is_found_to_its_end(session: Session) -> None:
    """Longer than Postgres remembers places in one row, with a word longer than it takes, and one said very often."""
    long = "的 word " * PIECES_A_PART + "x" * 5_000 + " the very end"
    make_said(session, "long", [long, "short", ""])

    assert found(session, "end") == ["long"]
    assert found(session, "very-end") == ["long"]
    assert found(session, "x" * 5_000) == ["long"]


def test_answers_of_before_are_found_after_an_upgrade(session: Session, database_url: str) -> None:
    """The migration fills the index, and can be taken back."""
    make_said(session, "old")
    session.close()

    downgrade(database_url, "0006")
    upgrade(database_url)

    with Session(db.engine()) as again:
        assert found(again, "助手") == ["old"]


def test_a_restored_database_is_searchable(session: Session, tmp_path: Path) -> None:
    """What a backup holds is found, and what came after it is not."""
    make_said(session, "saved")
    make_backup(tmp_path / "backup")
    make_said(session, "later")
    session.close()
    session.get_bind().dispose()
    forget_settings()

    restore_backup(tmp_path / "backup", replace=True)

    with Session(db.engine()) as again:
        assert found(again, "助手") == ["saved"]
        checkpoint = again.exec(select(Checkpoint.id)).one()
        index_checkpoints(again.connection(), [checkpoint or 0])
        assert found(again, "assist") == ["saved"]


# ── What was found ─────────────────────────────────────────────────────────


def test_the_sentence_that_was_found_is_that_of_the_earliest_checkpoint(session: Session) -> None:
    """With its words marked, and where it stands; a run found by its names alone has none."""
    run = make_said(session, "it", iteration=10)
    make_checkpoint(session, run, iteration=5, texts=["No.", "First. I am an assistant of Ada. Last.", "assistant"])
    named = make_run(session, name="assistant of ada")

    hits = find_hits(session, [run, named], "assist ada")

    hit = hits[id_of(run)]
    assert (hit.iteration, hit.question) == (5, "Are you a doctor?")
    assert [text for text, is_sought in hit.pieces if is_sought] == ["assistant", "Ada"]
    assert "".join(text for text, _ in hit.pieces).strip() == "I am an assistant of Ada."
    assert named.id not in hits


@given(
    st.lists(st.sampled_from(["我", "是", "Ada", "'s ", " word", "。", ". ", "…", "x" * 70]), max_size=60), st.data()
)
def test_a_sentence_is_a_part_of_the_answer_with_the_word_in_it(parts: list[str], data: st.DataObject) -> None:
    """Whatever the text: the first word that was sought is marked, and the rest is as it stands in the answer."""
    text = "".join(parts)
    pieces = pieces_of(text)
    if not pieces:
        return
    sought = [data.draw(st.sampled_from(pieces))]
    spans = _found(text, [sought])

    sentence = _sentence(text, spans)

    whole = "".join(piece for piece, _ in sentence)
    marked = [piece for piece, is_sought in sentence if is_sought]
    assert marked
    assert all(pieces_of(piece)[0].startswith(sought[0][: len(piece)]) for piece in marked)
    assert whole in text or whole.strip("…") in text
    assert len(whole) <= LONGEST_SENTENCE + 2
