"""A child of the engine, and what it holds."""

import pytest
from sqlmodel import Session

from app.domain.models import RunState
from app.domain.runs import id_of
from tests.factories import attempt_of, make_recipe, make_run
from worker.gpus import lend_device
from worker.preparing import AttemptFolder, prepare, start_trainer


@pytest.mark.usefixtures("fake_engine")
def test_a_trainer_holds_its_device_itself(session: Session) -> None:
    """While it lives nobody else gets the device, also when the process that lent it has let go."""
    run = make_run(session, recipe=make_recipe(name="hang"), state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    with lend_device() as device:
        assert device is not None
        prepare(attempt, device)
        trainer = start_trainer(attempt, device)

    with lend_device() as lent_meanwhile:
        pass
    trainer.end()
    with lend_device() as lent_afterwards:
        pass

    assert lent_meanwhile is None
    assert lent_afterwards is not None
