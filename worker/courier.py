"""
Send the messages of the outbox that are due.

One try takes some seconds at most, and one message of the queue sends for half a minute at most: what is left
has to wait for the next one, so that receivers that do not answer hold up no other work of a worker.
"""

import time

from app.domain import db
from app.domain.webhooks import courier, deliveries
from worker.leaving import is_leaving

MOST_SECONDS = 30.0


def deliver_due() -> None:
    """Send what is due, each message in transactions of its own, before and after it is sent."""
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and not is_leaving():
        with db.reading() as session:
            due = deliveries.due_id(session)
        if due is None:
            return
        with db.unit_of_work() as session:
            claimed = deliveries.claim(session, due)
        if claimed is None:  # another worker was faster
            continue
        outcome = courier.send(claimed)
        with db.unit_of_work() as session:
            deliveries.record(session, claimed, outcome)
