"""What attacks on a worker need: the fake engine in real, confined children."""

from tests.worker.conftest import fake_engine

__all__ = ["fake_engine"]  # pytest finds fixtures by their names here
