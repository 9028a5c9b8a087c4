"""No broker is there: what would go to it is collected, which is the edge of this process."""

import pytest

from app.domain import queue


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[queue.QueueMessage]:
    """Collect the messages of each unit of work that commits."""
    messages: list[queue.QueueMessage] = []
    monkeypatch.setattr(queue, "send", messages.extend)
    return messages
