"""
The one entry point of everything that needs torch: `python -m worker.engine.launch COMMAND ...`.

Runs xtuner's own code in this process, not through its `xtuner` command: that one exits with 0
whatever happens, and leaves its child behind when it is terminated. Here the exit code is
honest, and a failing training says why in the last line of its events.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.domain.trainer_events import PhaseBegan, TrainerEnded, TrainingResumed
from worker.engine.compat import make_compatible, patch_xtuner, stay_local
from worker.engine.configs import read_config
from worker.engine.events import events
from worker.engine.failures import explain
from worker.engine.leaving import Leave, departure
from worker.engine.resume import Candidate, resumption, weights_file

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except Leave:
        _end(outcome="stopped")
        return 0
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
        traceback.print_exc()
        reason, detail = explain(error)
        print(f"{reason}: {' '.join(detail.split())}", file=sys.stderr)  # noqa: T201 - one line, the log's last
        _end(outcome="failed", reason=reason, detail=detail)
        return FAILED
    _end(outcome="finished")
    return 0


def _end(*, outcome: str, reason: str = "", detail: str = "") -> None:
    try:
        events.write(TrainerEnded, outcome=outcome, reason=reason, detail=detail)
    except OSError:  # the disk is full: the exit code and the log have to say it
        traceback.print_exc()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worker.engine.launch", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a rendered config")
    train.add_argument("config", type=Path)
    train.add_argument("--work-dir", type=Path, required=True, help="where checkpoints go")
    train.add_argument("--events", type=Path, required=True, help="the file to append events to")
    train.add_argument(
        "--resume",
        type=Candidate.read,
        nargs="*",
        metavar="ITERATION:SHA256",
        help="go on from the first of these checkpoints that is what was written",
    )
    train.add_argument("--answered", type=int, nargs="*", default=[], help="checkpoints whose answers are stored")
    train.set_defaults(run=_train)
    convert = commands.add_parser("convert", help="make an adapter, or a whole model, of a checkpoint")
    convert.add_argument("config", type=Path)
    convert.add_argument("checkpoint", type=Path, help="its weights, or the adapter that is left of it")
    convert.add_argument("folder", type=Path)
    convert.set_defaults(run=_convert)
    merge = commands.add_parser("merge", help="put an adapter into its base model")
    merge.add_argument("model")
    merge.add_argument("adapter", type=Path, help="an adapter folder, or a checkpoint of a full fine-tune")
    merge.add_argument("folder", type=Path)
    merge.set_defaults(run=_merge)
    _add_jobs(commands)
    for name, run, words in (
        ("prepare-small", _prepare_small, "fetch the small model that demos and tests use"),
        ("relay", _relay, "lay an InternLM2 model out as Llama"),
    ):
        command = commands.add_parser(name, help=words)
        if name == "relay":
            command.add_argument("source", type=Path)
        command.add_argument("folder", type=Path)
        command.set_defaults(run=run)
    return parser


def _add_jobs(commands: Any) -> None:  # noqa: ANN401 - argparse does not name its class
    """Add what is told by a file all that it is to do."""
    ask = commands.add_parser("ask", help="ask checkpoints what they were not asked while they were trained")
    ask.add_argument("job", type=Path)
    ask.add_argument("--events", type=Path, required=True, help="the file to append answers to")
    ask.set_defaults(run=_ask)
    adopt = commands.add_parser("adopt", help="take the adapters out of another xtuner's checkpoints")
    adopt.add_argument("job", type=Path)
    adopt.set_defaults(run=_adopt)


def _train(options: argparse.Namespace) -> None:
    """Train with xtuner's own program."""
    departure.listen()
    if os.environ.get("RANK", "0") == "0":  # of several processes, the first alone tells
        events.open(options.events)
    if options.resume is not None:
        resumption.choose(options.work_dir, options.resume)
        resumption.answered = frozenset(options.answered)
        events.write(TrainingResumed, iteration=resumption.iteration, damaged=resumption.damaged)
    events.write(PhaseBegan, phase="loading")
    facts = read_config(options.config)
    stay_local(facts.model)
    make_compatible(with_bitsandbytes=facts.is_quantised)
    from xtuner.tools import train

    patch_xtuner()
    sys.argv = ["train", str(options.config), "--work-dir", str(options.work_dir)]
    if resumption.iteration:
        sys.argv += ["--resume", str(weights_file(options.work_dir, resumption.iteration))]
    if "RANK" in os.environ:
        sys.argv += ["--launcher", "pytorch"]
    train.main()


def _convert(options: argparse.Namespace) -> None:
    if not options.checkpoint.is_dir():  # an adapter is copied; one that was imported has no config of ours
        stay_local(read_config(options.config).model)
    from worker.engine.convert import convert_checkpoint

    convert_checkpoint(options.config, options.checkpoint, options.folder)


def _merge(options: argparse.Namespace) -> None:
    stay_local(options.model)
    from worker.engine.merge import merge_model

    merge_model(options.model, options.adapter, options.folder)


def _ask(options: argparse.Namespace) -> None:
    facts = json.loads(options.job.read_text("utf-8"))
    events.open(options.events)
    stay_local(facts["model"])
    make_compatible(with_bitsandbytes=facts["method"] == "qlora")
    from worker.engine.ask import Job, ask

    ask(Job.model_validate(facts))


def _adopt(options: argparse.Namespace) -> None:
    from worker.engine.foreign import Job, adopt

    adopt(Job.model_validate_json(options.job.read_text("utf-8")))


def _prepare_small(options: argparse.Namespace) -> None:
    from worker.engine.small_model import prepare_small

    prepare_small(options.folder)


def _relay(options: argparse.Namespace) -> None:
    from worker.engine.relay import relay_model

    relay_model(options.source, options.folder)


if __name__ == "__main__":
    sys.exit(main())
