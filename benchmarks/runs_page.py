"""
How long the server works on the list of runs, with kept scores and with every answer scored anew.

25 runs of 21 checkpoints with 8 answers each, no text twice. Three ways are timed in one process: the page
as it is; the same with no score kept and every text remembered; and the same as a process finds it that
has just started. Processor time, the client's own included.

Run: `python -m benchmarks.runs_page`. Exit 1 where the page takes more than half of what a fresh
process takes without kept scores, or more than one that remembers everything.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

RUNS, CHECKPOINTS, ROUNDS = 25, 21, 9
MOST_SHARE = 0.5


def main() -> None:
    """Print a line for each way; exit 1 when the aim is missed."""
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local"}
        raise SystemExit(_measure())


def _measure() -> int:
    from sqlmodel import Session, delete, select  # noqa: PLC0415 - after the home is set

    from app.domain import db, distances, leaks, repetition, scores, stored_scores, taught  # noqa: PLC0415
    from app.domain.models import Run, StoredScore  # noqa: PLC0415

    client = _client()
    with Session(db.engine()) as session:
        for run in session.exec(select(Run)).all():
            stored_scores.store_fresh(session, stored_scores.score_stale(session, run))
        session.commit()
    kept = [_work(lambda: client.get("/runs")) for _ in range(ROUNDS)]
    with Session(db.engine()) as session:
        session.exec(delete(StoredScore))
        session.commit()
    remembered = [_work(lambda: client.get("/runs")) for _ in range(ROUNDS)]

    def forget() -> None:
        for module in (distances, leaks, repetition, scores, taught):
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()

    anew = [_work(lambda: client.get("/runs"), before=forget) for _ in range(ROUNDS)]
    rows = {"scores kept": kept, "none kept, texts remembered": remembered, "none kept, a fresh process": anew}
    first = statistics.median(kept)
    for name, times in rows.items():
        middle = statistics.median(times)
        print(f"{name:30} {middle:7.1f} ms of processor, {middle / first:5.2f} times")
    return int(first > MOST_SHARE * statistics.median(anew) or first > statistics.median(remembered))


def _client() -> Any:  # noqa: ANN401 - a test client, imported after the home is set
    from fastapi.testclient import TestClient  # noqa: PLC0415
    from sqlalchemy import String, cast, update  # noqa: PLC0415
    from sqlmodel import Session, SQLModel, col  # noqa: PLC0415

    from app.domain import accounts, db  # noqa: PLC0415
    from app.domain.models import Answer  # noqa: PLC0415
    from app.main import create_app  # noqa: PLC0415
    from app.web.cookies import COOKIE  # noqa: PLC0415
    from tests.stories import make_wide_run  # noqa: PLC0415

    SQLModel.metadata.create_all(db.engine())
    with Session(db.engine()) as session:
        for _ in range(RUNS):
            make_wide_run(session, columns=CHECKPOINTS, rows=8)
        each_its_own = update(Answer).values(text=col(Answer.text) + " " + cast(col(Answer.checkpoint_id), String))
        session.exec(each_its_own)  # else texts of one run would be remembered for all of them
        secret = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
        session.commit()
    client = TestClient(create_app(), base_url="http://127.0.0.1")
    client.cookies.set(COOKIE, secret)
    client.get("/runs")  # compiles its templates
    return client


def _work(ask: Callable[[], Any], *, before: Callable[[], None] = lambda: None) -> float:
    before()
    began = time.process_time()
    ask()
    return (time.process_time() - began) * 1_000


if __name__ == "__main__":
    main()
