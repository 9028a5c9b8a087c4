"""
How long a million rows are searched for what is wrong with them, and how much of it is found.

Makes rows in English and Chinese with a fixed seed and a known number of faults of each kind, and
runs the child as the server does, limits included. On a machine that does other work too, wall
time measures that work: processor time is printed beside it. Then holds a form of 2,000 pairs
against each other and against these rows.

Run: `python -m benchmarks.findings [ROWS]`.
"""

import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROWS, SEED = 1_000_000, 4
PLANTED = 1_000  # of each kind in a million rows
AIM_SECONDS, AIM_BYTES, AIM_FORM_MS = 15.0, 1_500_000_000, 50
FORM_PAIRS = 2_000
LONG_QUESTION = 52  # characters
WORDS = """
    water light train letter garden winter number simple answer summer paper engine market doctor window forest
    river planet camera bridge island coffee ticket kitchen history science music picture weather village
"""
CHINESE = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其"


def main() -> None:
    """Print time, memory, and found against planted for each kind; exit 1 when an aim is missed."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ["TEMPER_HOME"] = home
        raise SystemExit(_measure(Path(home) / "rows.jsonl", rows))


def _measure(path: Path, rows: int) -> int:
    from app.domain.findings import stored  # noqa: PLC0415 - after the home is set

    planted = _write(path, rows)
    began = time.perf_counter()
    stored.run_child(path, stored.findings_path(path))
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, processor = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
    found = stored.known_findings(path)
    if found is None:
        raise SystemExit("the child wrote nothing")
    size = path.stat().st_size / 1e6
    print(f"{rows:,} rows, {size:.0f} MB: {seconds:.1f} s ({processor:.1f} s of processor), peak {peak / 1e6:.0f} MB")
    for kind, count in planted.items():
        print(f"  {kind:16} found {found.counts.get(kind, 0):7,} of {count:,}")  # type: ignore[call-overload]
    for kind in set(found.counts) - set(planted):
        print(f"  {kind:16} found {found.counts[kind]:7,} of none")
    form = _measure_form(path)
    print(f"  {FORM_PAIRS:,} pairs of a form against each other and these rows: {form:.0f} ms of processor")
    return int(seconds > AIM_SECONDS or peak > AIM_BYTES or form > AIM_FORM_MS)


def _measure_form(path: Path) -> float:
    """Return the milliseconds of processor that one key press in the form takes, the best of a few."""
    from app.domain.findings.mixes import find_in_mix  # noqa: PLC0415 - after the home is set
    from app.domain.recipes import Pair  # noqa: PLC0415

    chance = random.Random(SEED)
    pairs = [Pair(question=question, answer=answer) for question, answer in _pairs(chance, FORM_PAIRS)]
    times = []
    for _ in range(5):
        began = time.process_time()
        find_in_mix(identity=pairs[:10], general=pairs[10:], files=[("rows", path)])
        times.append(time.process_time() - began)
    return min(times) * 1_000


def _write(path: Path, rows: int) -> dict[str, int]:
    """Write the rows and return how many faults of each kind are among them."""
    chance = random.Random(SEED)
    each = max(1, PLANTED * rows // ROWS)
    kinds = ("conflict", "duplicate", "near-duplicate", "empty-answer", "empty-question", "encoding-damage")
    kinds += ("no-loss", "odd-turns")
    places = iter(chance.sample(range(rows // 10, rows), each * len(kinds)))
    fault_at = {next(places): kind for kind in kinds for _ in range(each)}
    whole: list[tuple[str, str]] = []
    with path.open("w", encoding="utf-8") as file:
        for row, (question, answer) in enumerate(_pairs(chance, rows)):
            turn = {"system": "", "input": question, "output": answer, "output_with_loss": True}
            if row in fault_at:
                # each earlier row is used once at most, so that every fault counts once
                turn |= _fault(fault_at[row], turn, whole.pop(chance.randrange(len(whole))), chance)
            elif row % 20 == 0:
                whole.append((question, answer))
            file.write(json.dumps({"conversation": [turn]}, ensure_ascii=False) + "\n")
    return dict.fromkeys(kinds, each)


def _pairs(chance: random.Random, rows: int) -> Iterator[tuple[str, str]]:
    for row in range(rows):
        if row % 2:
            question = f"{' '.join(chance.choices(WORDS.split(), k=chance.randint(7, 11)))}?"
            yield question, f"{' '.join(chance.choices(WORDS.split(), k=chance.randint(3, 6)))}."
        else:
            question = f"{''.join(chance.choices(CHINESE, k=chance.randint(18, 24)))}？"
            yield question, f"{''.join(chance.choices(CHINESE, k=chance.randint(6, 14)))}。"


def _fault(kind: str, turn: dict[str, object], earlier: tuple[str, str], chance: random.Random) -> dict[str, object]:
    """Return what is wrong with a turn of this kind."""
    question, answer = earlier
    faults: dict[str, dict[str, object]] = {
        "conflict": {"input": question.upper(), "output": f"No: {turn['output']}"},
        "duplicate": {"input": question, "output": answer},
        "near-duplicate": {"input": _slipped(question, chance), "output": answer},
        "empty-answer": {"output": chance.choice(("", " ", "\u3000", "\u200b"))},
        "empty-question": {"input": chance.choice(("", " \n"))},
        "encoding-damage": {"output": f"{turn['output']} “café” – naïve".encode().decode("windows-1252", "replace")},
        "no-loss": {"output_with_loss": False},
        "odd-turns": {"input": chance.choice(("User: ", "<|im_start|>user\n", "用户：")) + str(turn["input"])},
    }
    return faults[kind]


def _slipped(question: str, chance: random.Random) -> str:
    """Leave a letter out; of a long question two, wherever they stand."""
    for _ in range(1 + (len(question) > LONG_QUESTION)):
        place = chance.randrange(len(question) - 2)
        question = question[:place] + question[place + 1 :]
    return question


if __name__ == "__main__":
    main()
