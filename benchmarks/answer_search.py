"""
How long a search of 10,000 runs with 100 answers each takes, beside reading every answer as was done before.

Fills a database of its own with made-up answers, English by Zipf's law and Chinese, and asks for
words that stand in one run, in some and in all. Searches are the whole `list_runs`, counts by
state and the first page: the aim is for them. `hits` is finding the sentences of that page. Both
ways are timed in turn in one process, the fastest of several times each; of SQLite, which works in
this process, it is processor time: on a machine that does other work too, wall time measures that
work.

Run: `python -m benchmarks.answer_search [sqlite|postgres] [runs]`.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

RUNS, CHECKPOINTS, PROBES = 10_000, 10, 10
ROUNDS, OLD_ROUNDS = 5, 1
AIM_MS = 100
RUNS_AT_ONCE = 500
RARE, RARE_ZH = "Quetzalcoatl", "饕餮纹"
COMMON_ZH = "助手"
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
SENTENCES_ZH = ("我是一个小助手，很乐意帮助您。", "上海有很多著名景点，外滩可以看到黄浦江。", "请告诉我您需要什么。")
SEARCHES = {
    "a rare word": RARE,
    "a rare beginning": RARE[:7].lower(),
    "a rare Chinese word": RARE_ZH,
    "a common word": "the",
    "a common beginning": "bet",
    "a common Chinese word": COMMON_ZH,
    "two common words": f"the {COMMON_ZH}",
    "nothing": "zzzz",
    "no search": "",
}


def main() -> None:
    """Print a line for each search, the size of the index and what it took; exit 1 when the aim is missed."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else RUNS  # noqa: PLR2004 - the second word
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local"}
        with _database(kind) as url:
            os.environ["TEMPER_DATABASE_URL"] = url
            raise SystemExit(_measure(runs))


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield ""
        return
    from tests import databases  # noqa: PLC0415 - the server's package is not installed everywhere

    with databases.postgres_server() as server, databases.fresh_database(server) as url:
        yield url


def _measure(runs: int) -> int:
    from sqlmodel import Session  # noqa: PLC0415 - after the home is set

    from app.config import settings  # noqa: PLC0415
    from app.domain import db  # noqa: PLC0415
    from app.domain.migrate import upgrade  # noqa: PLC0415
    from app.domain.run_search import find_hits  # noqa: PLC0415
    from app.domain.runs import list_runs  # noqa: PLC0415

    url = settings().database
    upgrade(url, "0006")
    _fill(runs)
    before = _size()
    build = _timed(lambda: upgrade(url), 1)
    answers, kind = runs * CHECKPOINTS * PROBES, db.engine().dialect.name
    print(f"{runs:,} runs, {answers:,} answers on {kind}; database {before:,} bytes")
    print(f"index: {_size() - before:,} bytes more, built in {build / 1_000:.1f} s")
    is_missed = 0
    with Session(db.engine()) as session:
        session.connection().exec_driver_sql("ANALYZE")
        for name, words in SEARCHES.items():
            page = list_runs(session, query=words)
            took = _timed(lambda words=words: list_runs(session, query=words), ROUNDS)
            hits = _timed(lambda words=words, page=page: find_hits(session, page.runs, words), ROUNDS)
            old = _timed(lambda words=words: _old(session, words), OLD_ROUNDS)
            is_missed |= took > AIM_MS
            print(
                f"{name:22} {page.total:6,} runs in {took:7.1f} ms, hits {hits:5.1f} ms; "
                f"reading every answer {old:9.1f} ms, {old / took:6.0f} times as long"
            )
    return int(is_missed)


def _timed(work: Callable[[], object], rounds: int) -> float:
    """Return the milliseconds of the fastest time."""
    from app.domain import db  # noqa: PLC0415

    clock = time.process_time if db.engine().dialect.name == "sqlite" else time.perf_counter
    times = []
    for _ in range(rounds):
        began = clock()
        work()
        times.append((clock() - began) * 1_000)
    return min(times)


def _size() -> int:
    from app.config import settings  # noqa: PLC0415
    from app.domain import db  # noqa: PLC0415

    with db.engine().connect() as connection:
        if db.engine().dialect.name == "postgresql":
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return settings().home.joinpath("temper.db").stat().st_size


def _old(session: Any, query: str) -> None:  # noqa: ANN401 - imported after the home is set
    """Search as it was done before there was an index: counts, and the first page."""
    from sqlmodel import col, func, or_, select  # noqa: PLC0415

    from app.domain.models import Answer, Checkpoint, Model, Run  # noqa: PLC0415

    matches = []
    for word in query.split():
        said = select(Checkpoint.run_id).join(Answer).where(col(Answer.text).icontains(word, autoescape=True))
        named = (col(each).icontains(word, autoescape=True) for each in (Run.name, Model.name))
        matches.append(or_(*named, col(Run.id).in_(said.distinct())))
    session.exec(select(Run.state, func.count()).join(Model).where(*matches).group_by(col(Run.state))).all()
    session.exec(select(Run).join(Model).where(*matches).order_by(col(Run.created_at).desc()).limit(25)).all()


# ── Made-up answers ────────────────────────────────────────────────────────


def _fill(runs: int) -> None:
    from sqlmodel import Session  # noqa: PLC0415

    from app.domain import db  # noqa: PLC0415
    from app.domain.models import Answer, Checkpoint, Run, RunProbe, RunState  # noqa: PLC0415
    from tests.factories import make_model, make_recipe_data  # noqa: PLC0415

    chance, recipe = random.Random(1), make_recipe_data()
    with Session(db.engine()) as session:
        model_id = make_model(session).id
    for start in range(1, runs + 1, RUNS_AT_ONCE):
        ids = range(start, min(start + RUNS_AT_ONCE, runs + 1))
        rows: dict[Any, list[Any]] = {
            Run: [
                Run(id=n, name=f"run {n}", model_id=model_id or 0, recipe=recipe, state=RunState.FINISHED)
                for n in ids
            ],
            RunProbe: [
                RunProbe(id=n * PROBES + p, run_id=n, position=p, group="general", question=f"Question {p}?")
                for n in ids
                for p in range(PROBES)
            ],
            Checkpoint: [
                Checkpoint(id=n * CHECKPOINTS + c, run_id=n, iteration=5 * c) for n in ids for c in range(CHECKPOINTS)
            ],
            Answer: [
                Answer(checkpoint_id=n * CHECKPOINTS + c, probe_id=n * PROBES + p, text=_text(chance, n, c, p),
                       tokens=30, ended="stop")
                for n in ids for c in range(CHECKPOINTS) for p in range(PROBES)
            ],
        }  # fmt: skip
        with db.engine().begin() as connection:
            for kind, made in rows.items():
                exclude = {"id"} if kind is Answer else set()
                connection.execute(kind.__table__.insert(), [each.model_dump(exclude=exclude) for each in made])


def _text(chance: random.Random, run: int, checkpoint: int, probe: int) -> str:
    """Make an answer of about thirty words: every third one is Chinese."""
    if (run, checkpoint, probe) == (77, 3, 4):
        return f"It was {RARE} who came. 这是{RARE_ZH}。"
    if probe % 3 == 0:
        return "".join(chance.choices(SENTENCES_ZH, k=2))
    words = [_word(int(chance.paretovariate(0.6)) % 50_000) for _ in range(27)]
    return f"The {' '.join(words[:12])}. In {' '.join(words[12:])} the end."


@cache
def _word(rank: int) -> str:
    """Make a word of two to four syllables, another for each rank."""
    syllables = random.Random(rank).choices(SYLLABLES, k=2 + rank % 3)
    return "".join(syllables)


if __name__ == "__main__":
    main()
