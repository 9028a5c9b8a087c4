"""The unit of work."""

from sqlmodel import Session

from tests.factories import make_checkpoint, make_run


def test_a_run_is_there(session: Session) -> None:
    """A run that was made is read back."""
    run = make_run(session)
    make_checkpoint(session, run, texts=["a", "b", "c"])

    assert run.id
    assert run.created_at.tzinfo is not None
