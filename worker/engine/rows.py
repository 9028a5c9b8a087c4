"""
The rows of a run as a dataset, every text as it was written.

`load_dataset("json")` guesses types block by block: where every answer of a block is a date, datasets 5.0.1
makes timestamps of them, and "1815-12-10" is trained on as "1815-12-10 00:00:00" or ends the training.
"""

import json
from collections.abc import Iterator
from typing import Any

from datasets import Dataset, Features, List, Value

TURN = {
    "system": Value("string"),
    "input": Value("string"),
    "output": Value("string"),
    "output_with_loss": Value("bool"),
}
FEATURES = Features({"conversation": List(TURN)})


def load_rows(data_file: str) -> Dataset:
    """Read JSON Lines in xtuner's form; the same file again is taken from the cache of datasets."""
    return Dataset.from_generator(_rows, features=FEATURES, gen_kwargs={"data_file": data_file})


def _rows(data_file: str) -> Iterator[dict[str, Any]]:
    with open(data_file, encoding="utf-8") as file:  # noqa: PTH123 - datasets hashes this function and its argument
        for line in file:
            yield json.loads(line)
