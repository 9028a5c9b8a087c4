"""
Fixtures of the fault suite: one Temper of real processes that all tests share, and what each fault costs.

A test may kill any part; the next one finds it healed. `--faults-rounds N` repeats the faults that
strike at a random moment, `--faults-record FILE` takes the settings' defaults and writes
down what every fault cost.
"""

import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, create_engine

from app.config import settings
from app.domain import db
from app.domain.logs import read_tail
from tests.conftest import forget_settings
from tests.faults.measuring import Fault
from tests.faults.site import QUICK, SILENCE, Site, furnish

COST = pytest.StashKey[Fault]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test that asks for `moment`."""
    if "moment" in metafunc.fixturenames:
        rounds = metafunc.config.getoption("--faults-rounds")
        metafunc.parametrize("moment", range(rounds), indirect=True)


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> random.Random:
    """Return what chooses when a fault strikes: the same in the same round of every run of the suite."""
    return random.Random(f"{request.function.__name__} {request.param}")  # noqa: S311 - no secret


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Write down what a fault cost once its test has passed or failed; of a failure also what the processes said."""
    report = yield
    if report.when == "call" and report.failed and "shared_site" in item.funcargs:  # type: ignore[attr-defined]
        home = item.funcargs["shared_site"].home  # type: ignore[attr-defined]
        report.sections += [(log.name, read_tail(log)) for log in sorted(home.glob("*.log"))]  # type: ignore[attr-defined]
    record = item.config.getoption("--faults-record")
    if report.when == "call" and record and COST in item.stash:  # type: ignore[attr-defined]
        item.stash[COST].write(Path(record), passed=report.passed)  # type: ignore[attr-defined]
    return report


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    """Return the fault that the test's name numbers, to be timed."""
    number = re.match(r"test_f(\d+)_", request.function.__name__)
    assert number is not None
    cost = Fault(f"F{int(number[1])}", "defaults" if in_earnest(request.config) else "quick")
    request.node.stash[COST] = cost
    return cost


def in_earnest(config: pytest.Config) -> bool:
    """Whether the settings' defaults are in force, since what is measured will be told."""
    return bool(config.getoption("--faults-record"))


@pytest.fixture(scope="session")
def shared_site(request: pytest.FixtureRequest, sqlite_template: Path, free_port: int) -> Iterator[Site]:
    """Start nothing yet: the first test heals it."""
    home = Path(tempfile.mkdtemp(prefix="temper-f-"))
    shutil.copy(sqlite_template, home / "temper.db")
    (home / "runs").mkdir()
    is_hasty = not in_earnest(request.config)
    site = Site(home, SILENCE | (QUICK if is_hasty else {}), redis_port=free_port, is_hasty=is_hasty)
    yield site
    site.close()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def free_port() -> int:
    """Return a port for Redis that nobody listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def site(shared_site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Return the shared Temper, whole; what a test leaves in it is stopped."""
    for name, value in shared_site.environment.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    if not shared_site.token:
        furnish(shared_site)
    shared_site.heal()
    yield shared_site
    shared_site.clear()
    forget_settings()


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    """Open a session whose every statement is a transaction of its own: it sees at once what others write."""
    engine = create_engine(settings().database, isolation_level="AUTOCOMMIT")
    with Session(engine) as session:
        yield session
    engine.dispose()
    db.engine().dispose()
