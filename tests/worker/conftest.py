"""Tests of the worker start the fake engine in real child processes."""

from pathlib import Path

import pytest

from tests.conftest import forget_settings
from worker.gpus import devices

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fake_engine(database_url: str, redis_server: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have children run the fake engine, and give them little time to end."""
    monkeypatch.setenv("TEMPER_ENGINE", "tests.fakes")
    monkeypatch.setenv("TEMPER_STOP_GRACE_SECONDS", "0.3")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    devices.cache_clear()
    forget_settings()
