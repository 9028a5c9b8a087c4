"""What a run made, one row after the other: the same as all of it at once."""

from sqlmodel import Session

from app.domain.answer_stream import CHECKPOINTS_AT_ONCE, stream_answers
from app.domain.answers import compare
from app.domain.events import metrics_of
from app.domain.metric_stream import ROWS_AT_ONCE, stream_metrics
from app.domain.models import Event, RunState
from app.domain.runs import id_of
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_run


def test_answers_come_as_the_comparison_has_them(session: Session) -> None:
    """Text, score and order, over more checkpoints than are read at once; from any place on."""
    run = make_run(session, state=RunState.FINISHED)
    for number in range(CHECKPOINTS_AT_ONCE + 2):
        make_checkpoint(session, run, iteration=5 * number, texts=[IDENTITY, f"b {number}", "Paris"])
    matrix = compare(session, run_ids=[id_of(run)])

    streamed = list(stream_answers(id_of(run)))

    cells = [row.cells[column.checkpoint_id] for column in matrix.columns for row in matrix.rows]
    assert [(each.answer_id, each.text, each.score) for each in streamed] == [
        (cell.answer_id, cell.text, cell.score) for cell in cells
    ]
    assert list(stream_answers(id_of(run), after=streamed[40].place)) == streamed[41:]


def test_metrics_come_as_the_curve_has_them(session: Session) -> None:
    """Each iteration once, whatever was measured before a run went on from a checkpoint, or began anew."""
    run = make_run(session, state=RunState.FINISHED)
    for iteration, measured in ((2, range(1, 6)), (0, range(3, 5)), (3, range(1, 8))):
        make_metrics(session, run, iterations=measured)
        session.add(
            Event(run_id=id_of(run), attempt=1, kind="resumed", iteration=iteration, data={"iteration": iteration})
        )
    session.commit()
    make_metrics(session, run, iterations=range(4, 4 + ROWS_AT_ONCE))

    streamed = list(stream_metrics(id_of(run)))

    assert streamed == metrics_of(session, id_of(run))
    assert [each.iteration for each in streamed] == list(range(1, 4 + ROWS_AT_ONCE))
    assert list(stream_metrics(id_of(run), after=900)) == streamed[900:]
