"""
How the server holds up: 200 requests a second of mixed reads while a run trains, then 500 watchers besides.

Starts what `temper up` starts (web, queue, worker) in a home of its own with 40 runs, and a run that trains:
by default the real engine with the small real model, `--train fake` the fake trainer of the tests beside a
process that keeps one core busy. Workers, and so trainings, are niced as `temper up` does it. The generators
are processes of their own; both cores are shared by all of it.

The mix is what a team of 25 does with it, each logged in, half of it pages: the list 16 %, the page of a run
20 % (a quarter of these the one that trains), a comparison of one or two runs 14 %; the API's list 10 %, a run
10 %, and a curve 5 %; the workers' line that every page asks for 10 %; static files 10 %, the login page 5 %. First
each address is asked for once, one after the other, by one user: that is what a page costs that nobody has asked
for. Then nothing is warmed: the other 24 users' pages are made as they come. Their tokens have been used within the
hour: the first use in an hour is written down, and a write lets all that is kept be looked at anew.

Run: `python -m benchmarks.load`. Exit 1 when p95 of the first phase is 100 ms or more, a request fails, or memory
grows by a tenth or more in the second half of a phase: in the first, pages begin to be kept.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
RATE, SECONDS, WATCHERS, USERS, RUNS = 200, 60, 500, 25, 40
MOST_P95_MS, MOST_GROWTH, LOOK_SECONDS = 100.0, 0.10, 5.0
MODEL = "SmolLM2-135M-Instruct"

Kinds = dict[str, tuple[int, list[str]]]
"""By name: the weight, and the addresses; those of the API begin with `/api`."""


def main() -> None:
    """Print what was measured; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    parser.add_argument("--train", choices=["real", "fake", "none"], default="real")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="temper-load-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local", "TEMPER_PORT": "0", "TEMPER_DEVICE": "cpu"}
        os.environ |= {"TEMPER_MIN_FREE_BYTES": "0", "PYTHONPATH": str(ROOT)}
        if options.train == "fake":
            os.environ["TEMPER_ENGINE"] = "tests.fakes"
        raise SystemExit(measure(options))


def measure(options: argparse.Namespace) -> int:
    """Carry out both phases; return whether an aim was missed."""
    import psutil  # noqa: PLC0415 - after the home is set

    from app.server import running  # noqa: PLC0415

    with running() as server, training(options.train) as trained:
        web = psutil.Process(server.keepers[0].part.process.pid)
        users, tokens, kinds = fill(trained)
        place = urlsplit(server.url)
        plan = {"host": place.hostname, "port": place.port, "rate": options.rate, "seed": 7}
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; trains: {options.train}, run {trained}")
        for name, milliseconds in cold(server.url, users, tokens, kinds).items():
            print(f"  first answer  {name:22} {milliseconds:7.1f} ms")
        plan |= {"seconds": options.seconds}
        print(f"\n{options.rate:g} requests/s for {options.seconds:g} s")
        with Watch(web) as watch:
            done = ask(plan, users, tokens, kinds)
        is_missed = report(done, watch, most_p95=MOST_P95_MS)
        if options.watchers:
            print(f"\n{options.watchers} watchers, and the same requests for as long")
            with watching(plan, users, trained, count=options.watchers) as seen, Watch(web) as watch:
                done = ask(plan, users, tokens, kinds)
            is_missed |= report(done, watch, most_p95=inf) | report_watchers(seen, options.watchers)
        print(f"\nload {os.getloadavg()[0]:.1f} after; the run: {state_of(trained)}")
    return int(is_missed)


# ── What there is ──────────────────────────────────────────────────────────


@contextmanager
def training(kind: str) -> Iterator[int]:
    """Start a run that trains for long; yield its id."""
    from app.domain import db  # noqa: PLC0415
    from app.domain.columns import utc_now  # noqa: PLC0415
    from app.domain.runs import create_run, id_of  # noqa: PLC0415
    from tests.factories import make_model, make_recipe  # noqa: PLC0415

    path = str(ROOT / "build" / "models" / MODEL)
    settings = {"iterations": 100_000, "max_length": 256, "precision": "float32"}
    checkpoints = {"every": 50, "keep": 2, "max_new_tokens": 24}
    recipe = make_recipe(name="slow", model=MODEL, training=settings, checkpoints=checkpoints)
    with db.unit_of_work() as session:
        make_model(session, name=MODEL, path=path, source=path)
        run_id = id_of(create_run(session, recipe)) if kind != "none" else 1
    busy = [subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", "while True: pass"])] if kind == "fake" else []
    try:
        deadline = utc_now() + timedelta(seconds=120)
        while kind != "none" and state_of(run_id)[0] == 0 and utc_now() < deadline:
            time.sleep(0.5)
        yield run_id
    finally:
        for process in busy:
            process.kill()
            process.wait()


def state_of(run_id: int) -> tuple[int, str]:
    """Return how far the run is."""
    from app.domain import db  # noqa: PLC0415
    from app.domain.models import Run  # noqa: PLC0415

    with db.reading() as session:
        run = session.get(Run, run_id)
        return (run.iteration, str(run.state)) if run else (0, "none")


def fill(trained: int) -> tuple[list[str], list[str], Kinds]:
    """Store runs of the last two weeks and log everybody in; return cookies, tokens and what is asked for."""
    from sqlmodel import Session, select, update  # noqa: PLC0415

    from app.domain import accounts, db, stored_scores  # noqa: PLC0415
    from app.domain.columns import utc_now  # noqa: PLC0415
    from app.domain.models import Credential, Role, Run  # noqa: PLC0415
    from tests.factories import make_metrics  # noqa: PLC0415
    from tests.stories import make_wide_run  # noqa: PLC0415

    roles = (Role.ADMIN, Role.RUNNER, Role.RUNNER, Role.VIEWER, Role.VIEWER)
    with Session(db.engine(), expire_on_commit=False) as session:
        ids = []
        for number in range(RUNS):
            run = make_wide_run(session, columns=21, rows=8)
            run.created_at = run.started_at = run.ended_at = utc_now() - timedelta(hours=8 * (RUNS - number) + 3)
            for checkpoint in run.checkpoints:
                checkpoint.created_at = run.created_at
            make_metrics(session, run, iterations=range(1, 101))
            ids.append(run.id or 0)
        for run in session.exec(select(Run)).all():
            stored_scores.store_fresh(session, stored_scores.score_stale(session, run))
        people = [accounts.add_user(session, f"user{n}", role=roles[n % len(roles)]) for n in range(USERS)]
        cookies = [accounts.log_in(session, person, lifetime=timedelta(days=1)) for person in people]
        tokens = [accounts.create_token(session, person, name="load") for person in people]
        session.exec(update(Credential).values(used_at=utc_now()))
        session.commit()
    recent = ids[-6:]
    return cookies, tokens, {
        "list": (16, ["/runs", "/runs?state=finished"]),
        "run": (15, [f"/runs/{each}" for each in recent]),
        "run that trains": (5, [f"/runs/{trained}"]),
        "comparison": (14, [f"/compare?runs={recent[0]}", f"/compare?runs={recent[1]},{recent[2]}"]),
        "API list": (10, ["/api/v1/runs", "/api/v1/runs?state=finished&limit=10"]),
        "API run": (10, [f"/api/v1/runs/{each}" for each in recent]),
        "curve": (5, [f"/runs/{each}/metrics.json" for each in recent]),
        "workers": (10, ["/workers"]),
        "static": (10, ["/static/app.css", "/static/app.js", "/static/icons.svg"]),
        "login": (5, ["/login"]),
    }  # fmt: skip


# ── Asking ─────────────────────────────────────────────────────────────────


def heads(paths: Sequence[str], *, users: Sequence[str], tokens: Sequence[str], plan: dict[str, Any]) -> list[str]:
    """Return whole requests for addresses: one of each user."""
    host = f"{plan['host']}:{plan['port']}"
    made = []
    for path in paths:
        for cookie, token in zip(users, tokens, strict=True):
            who = f"Cookie: temper_session_{plan['port']}={cookie}\r\n"
            who = f"Authorization: Bearer {token}\r\n" if path.startswith("/api") else who
            who = "" if path.startswith(("/static", "/login")) else who
            made.append(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n{who}\r\n")
    return made


def cold(url: str, users: Sequence[str], tokens: Sequence[str], kinds: Kinds) -> dict[str, float]:
    """Return how long the first answer of each kind takes."""
    import httpx2 as httpx  # noqa: PLC0415

    port, times = urlsplit(url).port, {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for name, (_, paths) in kinds.items():
            headers = {"Cookie": f"temper_session_{port}={users[0]}"}
            if paths[0].startswith("/api"):
                headers = {"Authorization": f"Bearer {tokens[0]}"}
            began = time.perf_counter()
            reply = client.get(paths[0], headers={} if name == "login" else headers)
            times[name] = (time.perf_counter() - began) * 1_000
            if reply.status_code != 200:  # noqa: PLR2004 - OK
                raise SystemExit(f"{paths[0]} answered {reply.status_code}")
    return times


def ask(plan: dict[str, Any], users: Sequence[str], tokens: Sequence[str], kinds: Kinds) -> dict[str, Any]:
    """Let the generator carry out a plan."""
    made = [
        {"name": name, "weight": weight, "heads": heads(paths, users=users, tokens=tokens, plan=plan)}
        for name, (weight, paths) in kinds.items()
    ]
    command = [sys.executable, "-m", "benchmarks.asking.open_loop"]
    done = subprocess.run(command, input=json.dumps(plan | {"kinds": made}), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def watching(plan: dict[str, Any], users: Sequence[str], run_id: int, *, count: int) -> Iterator[dict[str, Any]]:
    """Keep streams of a run open; what they saw is in the dictionary afterwards."""
    lines = heads([f"/runs/{run_id}/events"], users=users, tokens=users, plan=plan)
    made = [lines[number % len(lines)] for number in range(count)]
    seen: dict[str, Any] = {}
    command = [sys.executable, "-m", "benchmarks.asking.watchers"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stdin
        assert it.stderr
        it.stdin.write(json.dumps(plan | {"heads": made}))
        it.stdin.close()
        it.stdin = None
        it.stderr.readline()  # all are there
        yield seen
        seen |= json.loads(it.communicate()[0])


# ── What came of it ────────────────────────────────────────────────────────


def quantile(times: Sequence[float], share: float) -> float:
    """Return a quantile in milliseconds."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))] * 1_000


class Watch:
    """What a server takes meanwhile: processor seconds, and its memory every few seconds."""

    def __init__(self, web: Any) -> None:  # noqa: ANN401 - psutil has no types of its own here
        """Watch a process."""
        self.web, self.ended, self.memory = web, threading.Event(), [web.memory_info().rss]
        self.processor = -sum(web.cpu_times()[:2])
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        """Begin."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.ended.set()
        self.thread.join()
        self.memory.append(self.web.memory_info().rss)
        self.processor += sum(self.web.cpu_times()[:2])

    def _look(self) -> None:
        while not self.ended.wait(LOOK_SECONDS):
            self.memory.append(self.web.memory_info().rss)

    @property
    def growth(self) -> float:
        """How much memory has grown in the second half."""
        return self.memory[-1] / self.memory[len(self.memory) // 2] - 1


def report(done: dict[str, Any], watch: Watch, *, most_p95: float) -> bool:
    """Print a phase; return whether an aim was missed."""
    rows = done["times"] | {"all": [each for times in done["times"].values() for each in times]}
    for name, times in rows.items():
        p50, p95, p99 = (quantile(times, share) for share in (0.5, 0.95, 0.99))
        print(
            f"  {name:22} {len(times):6}  p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f}  "
            f"max {max(times) * 1e3:7.1f} ms"
        )
    print(f"  the server worked {watch.processor:.1f} s, {watch.processor / len(rows['all']) * 1e3:.2f} ms a request")
    print(
        f"  answers {done['statuses']}, {done['connections']} connections, {done['bytes'] / 1e6:.0f} MB; "
        f"generator {done['processor_seconds']:.1f} s of processor"
    )
    print(f"  the server's memory, MiB: {' '.join(str(each >> 20) for each in watch.memory)}")
    is_slow = quantile(rows["all"], 0.95) >= most_p95
    return is_slow or set(done["statuses"]) != {"200"} or watch.growth > MOST_GROWTH


def report_watchers(seen: dict[str, Any], count: int) -> bool:
    """Print what the watchers saw; return whether one of them was left out."""
    spreads = seen["spreads"] or [0.0]
    print(
        f"  streams {seen['statuses']}, {seen['broken']} broke off; {seen['points']} points of the curve, "
        f"{seen['points_left_out']} of them not to all; from the first to the last watcher "
        f"{statistics.median(spreads) * 1e3:.0f} ms, at most {max(spreads) * 1e3:.0f} ms"
    )
    is_left_out = not seen["points"] or seen["points_left_out"] > 0
    return is_left_out or seen["statuses"] != {"200": count} or seen["broken"] > 0


if __name__ == "__main__":
    main()
