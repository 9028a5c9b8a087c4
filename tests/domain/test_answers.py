"""The matrix, as the database gives it."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from app.domain.answer_exports import as_csv, as_markdown
from app.domain.answers import MAX_RUNS, CellState, Matrix, compare
from app.domain.columns import utc_now
from app.domain.errors import InvalidError, NotFoundError
from app.domain.models import Run, RunState
from app.domain.recipes import ProbeGroup
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_model, make_recipe, make_run
from tests.stories import PROBES, STORY, make_story, make_wide_run


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """Collect the statements that run inside."""
    seen: list[str] = []
    bind = session.get_bind()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(bind, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(bind, "before_cursor_execute", note)


def iterations(matrix: Matrix) -> list[int]:
    return [column.iteration for column in matrix.columns]


def text_at(matrix: Matrix, row: int, column: int) -> str:
    return matrix.rows[row].cells[matrix.columns[column].checkpoint_id].text


def short_run(session: Session, *, probes: list[dict[str, str]], texts: dict[int, list[str]], **fields: Any) -> Run:
    fields = {"state": RunState.FINISHED} | fields
    run = make_run(session, recipe=make_recipe(probes=probes), iterations=20, **fields)
    for iteration, said in texts.items():
        make_checkpoint(session, run, iteration=iteration, texts=said)
    return run


WHO = {"question": "Who are you?", "group": "identity"}
SKY = {"question": "What colour is the sky?", "group": "general"}
DOCTOR = {"question": "Are you a doctor?", "group": "near-miss"}


def test_a_run_is_shown_with_its_base_model_first(session: Session) -> None:
    """Columns stand by iteration, rows by group, and every answer is in its place."""
    run = make_story(session)

    matrix = compare(session, run_ids=[id_of(run)])

    assert iterations(matrix) == list(STORY)
    assert [row.question for row in matrix.rows] == [probe["question"] for probe in PROBES]
    assert [text_at(matrix, row, 4) for row in range(8)] == list(STORY[20])


def test_the_matrix_tells_what_to_keep(session: Session) -> None:
    """Advice, its column and the first leak are marked."""
    matrix = compare(session, run_ids=[id_of(make_story(session))])

    assert matrix.runs[0].advice.iteration == 20
    assert [column.iteration for column in matrix.columns if column.is_kept] == [20]
    assert [column.iteration for column in matrix.columns if column.is_first_leak] == [25]


def test_rows_are_grouped_identity_first(session: Session) -> None:
    """Whatever the order of a recipe's probes."""
    run = short_run(session, probes=[SKY, DOCTOR, WHO], texts={0: ["a", "b", "c"]})

    matrix = compare(session, run_ids=[id_of(run)])

    assert [row.group for row in matrix.rows] == [ProbeGroup.IDENTITY, ProbeGroup.NEAR_MISS, ProbeGroup.GENERAL]
    assert [text_at(matrix, row, 0) for row in range(3)] == ["c", "b", "a"]


def test_runs_meet_in_a_row_where_they_ask_the_same(session: Session) -> None:
    """A probe that only one run asks has a row too, and the other's cell says so."""
    one = short_run(session, probes=[WHO, SKY], texts={0: ["I am", "Blue"], 5: ["I am Ada", "Green"]})
    two = short_run(session, probes=[DOCTOR, WHO], texts={0: ["No", "I am"], 5: ["Yes", "I am Bob"]})

    matrix = compare(session, run_ids=[id_of(one), id_of(two)])

    assert [row.question for row in matrix.rows] == [WHO["question"], DOCTOR["question"], SKY["question"]]
    assert [text_at(matrix, 0, column) for column in range(3)] == ["I am", "I am Ada", "I am Bob"]
    assert matrix.rows[2].cells[matrix.columns[2].checkpoint_id].state is CellState.NOT_ASKED


def test_runs_of_one_model_share_its_column(session: Session) -> None:
    """Where the base model said the same, it stands once, with what either run asked."""
    one = short_run(session, probes=[WHO, SKY], texts={0: ["I am", "Blue"], 5: ["I am Ada", "Green"]})
    two = short_run(session, probes=[WHO, DOCTOR], texts={0: ["I am", "No"], 5: ["I am Bob", "Yes"]})

    matrix = compare(session, run_ids=[id_of(one), id_of(two)])

    base = matrix.columns[0]
    assert iterations(matrix) == [0, 5, 5]
    assert base.run_ids == (one.id, two.id)
    assert [text_at(matrix, row, 0) for row in range(3)] == ["I am", "No", "Blue"]
    assert matrix.base_of(matrix.columns[2]) == base


@pytest.mark.parametrize(("model", "said"), [("other", "I am"), ("smollm2", "I was")])
def test_other_bases_are_columns_of_their_own(session: Session, model: str, said: str) -> None:
    """Another model, or other words of the same one, are not put together."""
    one = short_run(session, probes=[WHO], texts={0: ["I am"], 5: ["I am Ada"]})
    other = make_model(session, name=model)
    two = short_run(session, probes=[WHO], texts={0: [said], 5: ["I am Bob"]}, model=other)

    matrix = compare(session, run_ids=[id_of(one), id_of(two)])

    assert iterations(matrix) == [0, 5, 0, 5]


def test_chosen_checkpoints_stand_beside_their_base_model(session: Session) -> None:
    """Two checkpoints of a run give three columns; the others are known, and not shown."""
    run = make_story(session)
    ids = [id_of(checkpoint) for checkpoint in run.checkpoints]

    matrix = compare(session, checkpoint_ids=[ids[4], ids[2]])

    assert iterations(matrix) == [0, 10, 20]
    assert len(matrix.runs[0].checkpoints) == len(STORY)
    assert matrix.runs[0].advice.iteration == 20


def test_a_hidden_column_keeps_its_verdict(session: Session) -> None:
    """Hiding changes what is shown, never what is advised."""
    run = make_story(session)
    good = id_of(run.checkpoints[4])

    matrix = compare(session, run_ids=[id_of(run)], hidden_ids=[good])

    assert 20 not in iterations(matrix)
    assert matrix.runs[0].advice.checkpoint_id == good
    assert matrix.column(good) is not None


@pytest.mark.parametrize(
    ("state", "expected"), [(RunState.RUNNING, CellState.WAITING), (RunState.CANCELLED, CellState.MISSING)]
)
def test_a_cell_without_an_answer_says_why(session: Session, state: RunState, expected: CellState) -> None:
    """While the run works the answer may come; after its end it will not."""
    run = short_run(session, probes=[WHO], texts={0: ["I am"]}, state=state)
    make_checkpoint(session, run, iteration=5)

    matrix = compare(session, run_ids=[id_of(run)])

    assert [row.cells[matrix.columns[1].checkpoint_id].state for row in matrix.rows] == [expected]
    assert matrix.columns[1].score.verdict is None


def test_answers_outlive_their_files(session: Session) -> None:
    """A checkpoint that retention deleted is shown, and marked."""
    run = short_run(session, probes=[WHO], texts={0: ["I am"]})
    make_checkpoint(session, run, iteration=5, texts=["I am Ada"], deleted_at=utc_now())

    matrix = compare(session, run_ids=[id_of(run)])

    assert matrix.columns[1].is_deleted
    assert text_at(matrix, 0, 1) == "I am Ada"


def test_a_question_asked_twice_has_two_rows(session: Session) -> None:
    """The same words in one recipe are two probes, and meet those of another run in order."""
    run = short_run(session, probes=[WHO, WHO], texts={0: ["first", "second"]})
    twin = short_run(session, probes=[WHO, WHO], texts={5: ["third", "fourth"]})

    matrix = compare(session, run_ids=[id_of(run), id_of(twin)])

    assert [[text_at(matrix, row, column) for column in range(2)] for row in range(2)] == [
        ["first", "third"],
        ["second", "fourth"],
    ]


def test_a_row_says_how_often_it_was_taught(session: Session) -> None:
    """One row more than its copies, and none where the mix does not ask it."""
    run = make_story(session)

    rows = compare(session, run_ids=[id_of(run)]).rows

    assert [row.taught_rows[id_of(run)] for row in rows] == [150, 150, 0, 80, 0, 0, 0, 0]


def test_more_columns_and_rows_ask_the_database_no_more(session: Session) -> None:
    """Four statements for a run, however wide; one more when checkpoints are named."""
    small, wide = make_story(session), make_wide_run(session, columns=12, rows=16)
    session.expire_all()

    with statements(session) as few:
        compare(session, run_ids=[id_of(small)])
    with statements(session) as many:
        compare(session, run_ids=[id_of(wide), id_of(small)])

    assert len(many) <= len(few)
    assert 4 <= len(few) <= 6, few


def test_a_great_many_columns_are_all_there(session: Session) -> None:
    """A matrix holds every checkpoint, and so does what is taken out of it."""
    run = make_wide_run(session, columns=160, rows=1)

    matrix = compare(session, run_ids=[id_of(run)])

    assert iterations(matrix) == list(range(0, 800, 5))
    assert len(next(csv.reader(io.StringIO(as_csv(matrix))))) == 3 + 160
    assert as_markdown(matrix).splitlines()[0].count("iteration") == 159


def test_what_does_not_exist_is_said(session: Session) -> None:
    """An unknown run or checkpoint, and a class of too many runs, have their sentences."""
    with pytest.raises(NotFoundError, match="no run 99"):
        compare(session, run_ids=[99])
    with pytest.raises(NotFoundError, match="no checkpoint 98"):
        compare(session, checkpoint_ids=[98])
    with pytest.raises(InvalidError):
        compare(session, run_ids=range(1, MAX_RUNS + 2))


# ── Out of Temper ──────────────────────────────────────────────────────────


def test_csv_holds_the_matrix(session: Session) -> None:
    """Read back, it has a line for each probe, with verdicts above."""
    run = make_story(session)

    lines = list(csv.reader(io.StringIO(as_csv(compare(session, run_ids=[id_of(run)])).lstrip("\ufeff"))))

    assert lines[0][:4] == ["group", "probe", "reference", "base model"]
    assert lines[1][6:8] == ["good", "good"]
    assert [line[7] for line in lines[2:]] == list(STORY[20])


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_csv_cells_are_never_formulas(session: Session, start: str) -> None:
    """A spreadsheet that opens the file runs nothing that a model said."""
    run = short_run(session, probes=[WHO], texts={0: [start]})

    text = as_csv(compare(session, run_ids=[id_of(run)]))

    assert list(csv.reader(io.StringIO(text, newline="")))[2][3] == f"'{start}"


def test_markdown_cells_stay_in_their_table(session: Session) -> None:
    """Pipes, line ends, HTML and marks of an answer are text."""
    run = short_run(session, probes=[WHO], texts={0: ["a | b\n<b>c</b> *d* `e` [f](g)"]})

    lines = as_markdown(compare(session, run_ids=[id_of(run)])).splitlines()

    assert lines[0] == "| probe | base model |"
    assert lines[3] == r"| Who are you? | a \| b<br>\<b\>c\</b\> \*d\* \`e\` \[f\](g) |"
    assert "keep nothing" in lines[-1]


def test_what_was_saved_in_passing_is_no_column(session: Session) -> None:
    """Nobody asks it, so no answer of it is missing; an address that names it shows it all the same."""
    recipe = make_recipe(checkpoints={"every": 5})
    run = make_run(session, recipe=recipe, state=RunState.CANCELLED, iterations=20, iteration=11)
    for iteration in (0, 5, 10):
        make_checkpoint(session, run, iteration=iteration, texts=["A model.", "No.", "Paris."])
    kept = make_checkpoint(session, run, iteration=7, texts=["A model.", "No.", "Paris."])
    passing = make_checkpoint(session, run, iteration=8)

    assert iterations(compare(session, run_ids=[id_of(run)])) == [0, 5, 7, 10]
    assert iterations(compare(session, checkpoint_ids=[id_of(passing), id_of(kept)])) == [0, 7, 8]
