"""Whether this process lives, and whether it can work: for probes of containers and balancers."""

import logging
from typing import Literal

from fastapi import APIRouter, Response
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.api.types import Reply
from app.domain import db, presence

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])

State = Literal["ok", "down"]


class Health(Reply):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Reply):
    """What the process needs, and whether it answers."""

    database: State
    queue: State


@router.get("/healthz", summary="Is the web process alive?")
def get_health() -> Health:
    """Answer as long as the process does; looks at nothing else."""
    return Health()


@router.get("/readyz", summary="Do the database and the queue answer?", responses={503: {"model": Readiness}})
def get_readiness(response: Response) -> Readiness:
    """Answer 200 when requests can be served, 503 when the database or the queue is down."""
    readiness = Readiness(database=_database_state(), queue=_queue_state())
    if "down" in {readiness.database, readiness.queue}:
        response.status_code = 503
    return readiness


def _database_state() -> State:
    try:
        with db.reading() as session:
            session.connection().execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        log.warning("the database does not answer: %s", error)
        return "down"
    return "ok"


def _queue_state() -> State:
    try:
        presence.redis().ping()
    except (RedisError, OSError) as error:
        log.warning("Redis does not answer: %s", error)
        return "down"
    return "ok"
