"""
How long the server works on 50 checkpoints and 20 probes in every view, and how large each is.

Makes its own home and database, so it measures the whole request: login, database, verdicts,
differences, template, compression. The first request of a process also compiles templates and
fills what verdicts and differences remember. The aim is held against processor time, the client's
own included: on a machine that does other work too, wall time measures that work.

Run: `python -m benchmarks.compare_page`.
"""

import gzip
import os
import statistics
import tempfile
import time
from datetime import timedelta

COLUMNS, ROWS, ROUNDS = 50, 20, 20
AIM_MS, AIM_BYTES = 100, 1_000_000


def main() -> None:
    """Print one line for each view of the page; exit 1 when an aim is missed."""
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local"}
        raise SystemExit(_measure())


def _measure() -> int:
    from fastapi.testclient import TestClient  # noqa: PLC0415 - after the home is set
    from sqlmodel import Session, SQLModel  # noqa: PLC0415

    from app.domain import accounts, db  # noqa: PLC0415
    from app.main import create_app  # noqa: PLC0415
    from app.web.cookies import COOKIE  # noqa: PLC0415
    from tests.factories import make_metrics  # noqa: PLC0415
    from tests.stories import make_wide_run  # noqa: PLC0415

    SQLModel.metadata.create_all(db.engine())
    with Session(db.engine()) as session:
        run = make_wide_run(session, columns=COLUMNS, rows=ROWS)
        make_metrics(session, run, iterations=range(1, COLUMNS * 5))
        run_id = run.id
        halves = [make_wide_run(session, columns=COLUMNS // 2, rows=ROWS).id for _ in range(2)]
        secret = accounts.log_in(session, accounts.first_admin(session), lifetime=timedelta(hours=1))
        session.commit()
    client = TestClient(create_app(), base_url="http://127.0.0.1")
    client.cookies.set(COOKIE, secret)
    is_missed = 0
    for name, path in {
        "difference from left": f"/compare?runs={run_id}",
        "difference from base": f"/compare?runs={run_id}&diff=base",
        "changed rows only": f"/compare?runs={run_id}&changed=1",
        "checkpoints as rows": f"/compare?runs={run_id}&transpose=1",
        "two runs aligned": f"/compare?runs={halves[0]},{halves[1]}&align=iteration",
        "aligned by share, as rows": f"/compare?runs={halves[0]},{halves[1]}&align=share&transpose=1",
        "JSON file": f"/compare/export.json?runs={run_id}",
        "recipe card": f"/runs/{run_id}/card.html",
        "one answer": f"/compare/cell?runs={run_id}&cell=9.9",
    }.items():
        first, *rest = [_timed(client, path) for _ in range(ROUNDS)]
        wall, work = (statistics.median(each[kind] for each in rest) for kind in (0, 1))
        is_missed |= int(work > AIM_MS or first[2] > AIM_BYTES)
        print(
            f"{name:26} first {first[0]:6.1f} ms; then {wall:6.1f} ms, of it {work:6.1f} ms of processor; "
            f"{first[2]:7,} bytes, {first[3]:6,} gzipped"
        )
    return is_missed


def _timed(client: object, path: str) -> tuple[float, float, int, int]:
    began, worked = time.perf_counter(), time.process_time()
    reply = client.get(path)  # type: ignore[attr-defined]
    took, work = (time.perf_counter() - began) * 1_000, (time.process_time() - worked) * 1_000
    if reply.status_code != 200:  # noqa: PLR2004 - OK
        raise SystemExit(f"{path} answered {reply.status_code}")
    return took, work, len(reply.content), len(gzip.compress(reply.content, 6))


if __name__ == "__main__":
    main()
