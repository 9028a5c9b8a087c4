"""
Ask the API for everything that its description allows, and forbids: `python -m tests.attacks.api_fuzz`.

Serves the app on a port of this machine, with a database of its own, SQLite or Postgres, that holds runs, sets and
a model, and without a worker; then lets schemathesis loose on it, once with an admin's token and once with none.
With the token every check counts: no 5xx, no status, header, type or body that is not described, no request taken
that the description forbids, no authorisation ignored. Without one each answer must be a refusal that is described.

`--examples 500` is what `make security` runs; the suite runs a few of them.
"""

import argparse
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
PHASES = "examples,coverage,fuzzing,stateful"
REFUSALS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
WAYS_IN = ("/tokens", "/users", "/account")
STREAMS = r"/events$"  # a stream of a run that waits ends after ten minutes; tests/api/test_events.py reads them


@contextmanager
def queue_running() -> Iterator[None]:
    """Run the Redis that `temper up` would."""
    from app.parts import end_parts, start_redis
    from app.server import prepare_home

    prepare_home()
    part = start_redis()
    try:
        yield
    finally:
        end_parts([part])


@contextmanager
def database(kind: str) -> Iterator[None]:
    """Give the app a database of this kind with the newest tables and nothing else."""
    from app.domain.migrate import upgrade
    from tests.databases import fresh_database, postgres_server

    if kind == "sqlite":
        upgrade(f"sqlite:///{os.environ['TEMPER_HOME']}/temper.db")
        yield
        return
    with postgres_server() as server, fresh_database(server) as url:
        os.environ["TEMPER_DATABASE_URL"] = url
        upgrade(url)
        yield


def new_token() -> str:
    """Make a token of an admin of its own: others may have been disabled by then."""
    from sqlmodel import Session

    from app.domain import accounts, db
    from app.domain.models import Role

    with Session(db.engine()) as session:
        user = accounts.add_user(session, f"fuzz{secrets.token_hex(4)}", role=Role.ADMIN)
        token = accounts.create_token(session, user, name="fuzz")
        session.commit()
    return token


@contextmanager
def served() -> Iterator[str]:
    """Serve the app with something in it; yield its address."""
    import uvicorn
    from sqlmodel import Session

    from app.domain import db
    from app.main import create_app

    with Session(db.engine()) as session:
        fill(session)
        session.commit()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        config = uvicorn.Config(create_app(), log_level="error", timeout_graceful_shutdown=1, server_header=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def fill(session: object) -> None:
    """Store what ids can name: runs that have ended and one that waits, a set, a model, an artifact."""
    from tests.factories import make_run
    from tests.saved_sets import make_set
    from tests.stories import make_story

    make_story(session)  # type: ignore[arg-type]
    make_run(session)  # type: ignore[arg-type]
    make_set(session)  # type: ignore[arg-type]


def fuzz(
    url: str, token: str, *, examples: int, phases: str, more: Sequence[str] = (), without: Sequence[str] = ()
) -> tuple[int, str]:
    """Run schemathesis once, without a token where none is given; return how it ended and what it said."""
    from app.api import get_openapi_document

    description = Path(os.environ["TEMPER_HOME"]) / "openapi.json"
    description.write_text(json.dumps(get_openapi_document()), "utf-8")
    command = [
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "--no-color",
            "run",
            str(description),
        ),
        *("--url", url, "--phases", phases, "--max-examples", str(examples), "--workers", "1"),
        *("--exclude-path-regex", "|".join([STREAMS, *without]), "--continue-on-failure"),
        *(("--header", f"Authorization: Bearer {token}") if token else ("--checks", REFUSALS)),
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=description.parent)
    return done.returncode, done.stdout + done.stderr


def cases_of(said: str) -> int:
    """Return how many requests were sent and checked."""
    found = re.search(r"(\d[\d,]*) (?:test )?cases? generated|Test cases:\s*\n?\s*(\d[\d,]*)", said)
    return int(next(filter(None, found.groups())).replace(",", "")) if found else 0


def main() -> int:
    """Fuzz with and without a token; return whether something was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--phases", default=PHASES)
    parser.add_argument("--output", type=Path, help="a file for everything that schemathesis said")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--only", default="", help="a regular expression that chooses paths")
    options = parser.parse_args()
    both = ["--include-path-regex", options.only] if options.only else []
    bad = 0
    with tempfile.TemporaryDirectory(prefix="temper-fuzz-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local", "TEMPER_MIN_FREE_BYTES": "0"}
        os.environ["TEMPER_QUEUED_RUNS"] = "1000000"  # what is asked for is to be taken, however often
        with database(options.database), queue_running(), served() as url:

            def ask(secret: str, *more: str, without: Sequence[str] = ()) -> tuple[int, str]:
                every = [*both, *more]
                return fuzz(url, secret, examples=options.examples, phases=options.phases, more=every, without=without)

            with ThreadPoolExecutor() as pool:
                asked = {"with a token": pool.submit(ask, new_token(), without=WAYS_IN)}
                asked |= {"without one": pool.submit(ask, "")}
            # At last what may end the token that asks: the rest of that part is then asked without one.
            for path in () if options.only else WAYS_IN:
                done: Future[tuple[int, str]] = Future()
                asked[f"with a token {path}"] = done
                done.set_result(ask(new_token(), "--include-path-regex", path))
            for name, answer in asked.items():
                code, said = answer.result()
                bad |= code
                if options.output:
                    file = f"{options.output.stem}-{re.sub(r'[^a-z]+', '-', name)}.txt"
                    options.output.with_name(file).write_text(said, "utf-8")
                print(f"{name}: exit {code}", said[said.rfind("= SUMMARY =") :] if code else said[-1_500:], flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
