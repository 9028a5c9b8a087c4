"""One command of the engine, and a database that does not always answer."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from app.confinement import Reach
from worker import commands
from worker.children import Place
from worker.commands import run_command
from worker.leases import Renewal


class Ended:
    """A child process that has ended."""

    def exit_code(self) -> int:
        """Return how it ended."""
        return 0

    def end(self) -> int:
        """Return how it ended."""
        return 0


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command have ended as soon as it was started, and no time pass."""
    monkeypatch.setattr(commands, "start_child", lambda *_, **__: Ended())
    monkeypatch.setattr(commands, "RETRY_SECONDS", 0)


def place_in(folder: Path) -> Place:
    """Return where a command works."""
    return Place(folder, folder / "log", Reach(writes=(str(folder),)))


def test_what_a_command_wrote_last_is_stored_when_the_database_is_back(home: Path) -> None:
    """It is looked at again, and the command has not failed."""
    tries = []

    def look() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("SELECT", {}, Exception("away"))

    outcome = run_command(["ask"], place=place_in(home), renew=lambda: True, look=look)

    assert (len(tries), outcome.exit_code, outcome.was_interrupted) == (3, 0, False)


def test_a_database_that_stays_away_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the claim has run out, somebody else may have the work."""
    monkeypatch.setattr(Renewal, "is_lost", True)

    def look() -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    assert run_command(["ask"], place=place_in(home), renew=lambda: True, look=look).exit_code == 0
