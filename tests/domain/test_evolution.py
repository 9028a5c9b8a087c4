"""One answer over a run."""

from sqlmodel import Session

from app.domain.answers import compare
from app.domain.evolution import evolve, neighbours
from app.domain.models import ArtifactState, Asking, RunState
from app.domain.runs import id_of
from tests.factories import make_answers, make_checkpoint, make_recipe, make_run
from tests.stories import make_story

WHO = {"question": "Who are you?", "group": "identity"}


def test_neighbouring_checkpoints_that_say_the_same_are_one_stretch(session: Session) -> None:
    """And one that says again what was said before names the checkpoint that said it first."""
    run = make_run(session, recipe=make_recipe(probes=[WHO]), state=RunState.FINISHED, iterations=20)
    for iteration, text in {0: "a", 5: "a", 10: "b", 15: "a"}.items():
        make_checkpoint(session, run, iteration=iteration, texts=[text])
    make_checkpoint(session, run, iteration=20)
    matrix = compare(session, run_ids=[id_of(run)])

    stretches = evolve(matrix, matrix.rows[0], id_of(run))

    assert [[column.iteration for column in each.columns] for each in stretches] == [[0, 5], [10], [15]]
    assert [each.before for each in stretches] == [None, "a", "b"]
    assert [each.same_as and each.same_as.iteration for each in stretches] == [None, None, 0]


def test_the_stretches_hold_every_answer_of_a_run(session: Session) -> None:
    """In the order of the run, the base model's first, whether its column is shown or not."""
    run = make_story(session)
    hidden = [id_of(checkpoint) for checkpoint in run.checkpoints[2:5]]
    matrix = compare(session, run_ids=[id_of(run)], hidden_ids=hidden)

    for row in matrix.rows:
        stretches = evolve(matrix, row, id_of(run))
        columns = [column for each in stretches for column in each.columns]
        assert columns == list(matrix.runs[0].checkpoints)
        assert all(
            row.cells[column.checkpoint_id].text == each.cell.text for each in stretches for column in each.columns
        )


def test_one_reads_on_within_a_run(session: Session) -> None:
    """From the base model to the last checkpoint, and never into the run beside it."""
    one, two = make_story(session, name="first"), make_story(session, name="second")
    matrix = compare(session, run_ids=[id_of(one), id_of(two)])
    base, last = matrix.runs[0].checkpoints[0], matrix.runs[0].checkpoints[-1]
    first_of_second = matrix.runs[1].checkpoints[1]

    assert neighbours(matrix, base) == (None, matrix.runs[0].checkpoints[1])
    assert neighbours(matrix, last)[1] is None
    assert neighbours(matrix, first_of_second) == (base, matrix.runs[1].checkpoints[2])


def test_an_answer_knows_that_it_was_asked_for_later(session: Session) -> None:
    """With how that was done; what the trainer asked itself says nothing of it."""
    run = make_run(session, recipe=make_recipe(probes=[WHO]), state=RunState.FINISHED, iterations=10)
    asking = Asking(run_id=id_of(run), state=ArtifactState.FINISHED, answers=1, seconds=2.5, dtype="bfloat16")
    session.add(asking)
    session.commit()
    by_trainer = make_checkpoint(session, run, iteration=5, texts=["a"])
    later = make_checkpoint(session, run, iteration=10)
    answer = make_answers(session, later, ["b"])[0]
    answer.asking_id = asking.id
    session.add(answer)
    session.commit()

    cells = compare(session, run_ids=[id_of(run)]).rows[0].cells

    assert cells[id_of(by_trainer)].asked is None
    asked = cells[id_of(later)].asked
    assert asked is not None
    assert (asked.dtype, asked.seconds, asked.answers) == ("bfloat16", 2.5, 1)
