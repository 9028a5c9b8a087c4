"""
Holds the forecast against what comes true, and writes the tables of docs/forecast.md.

Length: the rows of each case are written as a run's are, its config is rendered as a run's is, and
xtuner's own dataset code makes samples of them in a child. Disk and time: runs are trained by the
worker's own code with the real engine, and their folders measured while they train. A table is
written only when every number in it is within its bound.

Run: `python -m benchmarks.forecast_truth [--model FOLDER] [--only lengths|runs|times]`.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.truth.lengths import lengths_table
from benchmarks.truth.pages import ROOT, Table, write_page
from benchmarks.truth.runs import RUNS, SAME, measure_runs


def main() -> int:
    """Measure, print and write; return 1 when something came out otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "build" / "models" / "SmolLM2-135M-Instruct")
    parser.add_argument("--only", choices=["lengths", "runs", "times"])
    options = parser.parse_args()
    options.model = options.model.resolve()  # trainers work in folders of their own
    failed = False
    if not (options.model / "tokenizer.json").is_file():
        print(f"not measured: {options.model} is not there; `make demo` fetches it")
        return 0
    with tempfile.TemporaryDirectory(prefix="temper-truth-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_DEVICE": "cpu", "TEMPER_MIN_FREE_BYTES": "0"}
        if options.only in {None, "lengths"}:
            failed |= _report("lengths", lengths_table(options.model, Path(home)))
        if options.only != "lengths":
            disk, times = measure_runs(options.model, RUNS[:SAME] if options.only == "times" else RUNS)
            failed |= options.only != "times" and _report("disk", disk)
            failed |= _report("time", times)
    return int(failed)


def _report(name: str, table: Table) -> bool:
    print(table.text)
    if not table.is_off:
        write_page(name, table.text)
    return table.is_off


if __name__ == "__main__":
    sys.exit(main())
