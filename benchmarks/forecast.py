"""
How long a forecast of 100,000 rows takes: the first, which counts tokens, and each one after a change.

Uses the small model's own tokenizer and a saved set of 100,000 conversations of one to three turns, beside
identity pairs. Wall time, since a person waits for it; the aim is held by the median.

Run: `python -m benchmarks.forecast [MODEL_FOLDER]`.
"""

import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS, ROUNDS, AIM_MS = 100_000, 15, 300
MODEL = Path(__file__).parents[1] / "build" / "models" / "SmolLM2-135M-Instruct"


def main() -> None:
    """Print the medians; exit 1 when the aim is missed."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL
    if not (model / "tokenizer.json").is_file():
        print(f"not measured: {model} is not there; `make demo` fetches it")
        return
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ |= {"TEMPER_HOME": home}
        raise SystemExit(_measure(model))


def _measure(folder: Path) -> int:
    from app.domain import token_cache  # noqa: PLC0415 - after the home is set
    from app.domain.forecasts import forecast_recipe  # noqa: PLC0415
    from app.domain.models import Model  # noqa: PLC0415
    from app.domain.presets import SMALL_ASSISTANT  # noqa: PLC0415

    recipe = SMALL_ASSISTANT.recipe.model_dump(mode="json")
    recipe["mix"]["files"] = [{"dataset": "bench", "sha256": _save_rows()}]
    recipe["training"] |= {"iterations": None, "epochs": 2, "max_length": 1_024}
    model = Model(name="small", source="", path=str(folder), template="qwen_chat")

    def timed(changes: dict[str, Any]) -> float:
        from app.domain.recipes import Recipe  # noqa: PLC0415

        wanted = Recipe.model_validate(_changed(recipe, changes))
        began = time.perf_counter()
        known = forecast_recipe(wanted, model=model, device="cpu")
        took = (time.perf_counter() - began) * 1_000
        if known.packs is None:
            raise SystemExit(f"nothing was counted: {[str(each) for each in known.unknown]}")
        return took

    print(f"first, {ROWS:,} rows counted    {timed({}):8.0f} ms")
    token_cache.forget_sets()  # as in a process that starts anew
    print(f"first of another process     {timed({}):8.0f} ms")
    is_missed = 0
    for name, changes in _changes().items():
        median = statistics.median(timed(each) for each in changes)
        is_missed |= int(median > AIM_MS)
        print(f"{name:28} {median:8.1f} ms, median of {len(changes)}")
    return is_missed


def _changes() -> dict[str, list[dict[str, Any]]]:
    rounds = range(1, ROUNDS + 1)
    return {
        "another n": [{"mix": {"identity_count": 100 * each}} for each in rounds],
        "another m": [{"mix": {"general_count": 10 * each}} for each in rounds],
        "another maximum length": [{"training": {"max_length": 64 * each}} for each in rounds],
        "another batch size": [{"training": {"batch_size": each}} for each in rounds],
        "packing off": [{"training": {"packing": False, "batch_size": each}} for each in rounds],
        "another seed": [{"training": {"seed": each}} for each in rounds],
        "another identity answer": [
            {"mix": {"identity": [{"question": "Who?", "answer": f"I am {each}."}]}} for each in rounds
        ],
    }


def _changed(recipe: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: {**value, **changes[name]} if name in changes else value for name, value in recipe.items()}


def _save_rows() -> str:
    from app.domain.datasets.store import dataset_file  # noqa: PLC0415

    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows()).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    dataset_file(sha256).parent.mkdir(parents=True)
    dataset_file(sha256).write_bytes(text)
    return sha256


def _rows() -> Iterator[dict[str, Any]]:
    """Yield conversations as people have them: about 60 tokens a turn, every fourth in Chinese."""
    drawn = random.Random(1)
    words = [
        "the",
        "river",
        "runs",
        "past",
        "an",
        "old",
        "mill",
        "where",
        "people",
        "used",
        "to",
        "grind",
        "corn",
        "for",
        "bread",
        "and",
        "beer",
    ]
    signs = "我们可以帮助您回答问题并提供有用的建议如果需要请随时告诉我"
    for _ in range(ROWS):
        turns = []
        for _ in range(drawn.randint(1, 3)):
            if drawn.random() < 0.25:  # noqa: PLR2004 - every fourth
                said = ["".join(drawn.choices(signs, k=drawn.randint(5, 60))) for _ in range(2)]
            else:
                said = [" ".join(drawn.choices(words, k=drawn.randint(5, 60))) for _ in range(2)]
            turns.append({"system": "", "input": said[0], "output": said[1], "output_with_loss": True})
        yield {"conversation": turns}


if __name__ == "__main__":
    main()
