"""
The adapters of a foreign run, made into files that Temper's own engine reads.

A checkpoint of xtuner's is a pickle, and somebody else's. It is opened in a child of the engine alone, which
takes tensors out of it and nothing else, and writes them as safetensors into the folder of the run. The
file itself stays where it is. The child is held as a trainer is: `docs/containment.md`.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlmodel import Session, col, select

from app.config import settings
from app.confinement import ConfinementError, Reach, command_for
from app.domain import db
from app.domain.disk import size_of
from app.domain.importing.found import FileKind
from app.domain.importing.places import shown
from app.domain.importing.storing import NEWS, plain_notes
from app.domain.messages import Message, message
from app.domain.model_dangers import model_files
from app.domain.models import Checkpoint, Event, Run
from app.domain.recipes import Method, Recipe
from app.domain.runs import get_run

SECONDS = 1_800  # opening a hundred checkpoints from a slow disk takes minutes
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


def adopt_checkpoints(run_id: int) -> tuple[Message, ...]:
    """Take the adapters of an imported run into its own folder; return what could not be taken, and why."""
    with db.reading() as session:
        run = get_run(session, run_id)
        recipe, folder, base = Recipe.model_validate(run.recipe), Path(run.imported_from), run.model.path
        files = _files_of(session, run)
    plain = [each for each in files if each["kind"] == FileKind.PLAIN]
    said: Mapping[str, str] = {}
    if plain and recipe.method is not Method.FULL:
        job = {
            "folder": str(folder),
            "base": base or recipe.model,
            "alpha": recipe.training.lora.alpha,
            "dropout": recipe.training.lora.dropout,
            "checkpoints": [_wanted(run_id, folder, each) for each in plain],
        }
        said = _run_engine(run_id, job, reads=(str(folder), *(model_files(Path(base)) if base else ())))
    with db.unit_of_work() as session:
        notes = (*_unusable(recipe, files), *_note_down(session, run_id, said))
        _remember(session, run_id, notes)
    return notes


def _files_of(session: Session, run: Run) -> Sequence[Mapping[str, Any]]:
    told = select(Event.data).where(Event.run_id == run.id, Event.kind == NEWS).order_by(col(Event.id).desc())
    files: Sequence[Mapping[str, Any]] = (session.exec(told).first() or {}).get("files", [])
    return files


def _unusable(recipe: Recipe, files: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    if recipe.method is Method.FULL:
        yield message("This run tuned the whole model: its checkpoints hold no adapter, and stay where they are.")
    shards = [each["name"] for each in files if each["kind"] == FileKind.SHARDS]
    if shards:
        yield message(
            "{count} checkpoints are DeepSpeed's shards, which only its own zero_to_fp32.py puts together: they stay "
            "where they are, and cannot be asked.",
            count=len(shards),
        )


def _wanted(run_id: int, folder: Path, file: Mapping[str, Any]) -> dict[str, Any]:
    adapter = settings().run_folder(run_id) / "adapters" / f"iter_{file['iteration']}"
    return {"iteration": file["iteration"], "file": str(folder / file["name"]), "adapter": str(adapter)}


def _run_engine(run_id: int, job: Mapping[str, Any], *, reads: tuple[str, ...]) -> Mapping[str, str]:
    """
    Return what is wrong with each checkpoint, by iteration; nothing where its adapter was taken.

    Args:
        reads: What the child is given to read; it writes to the run's folder alone.
    """
    path = settings().run_folder(run_id) / "adopt.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(job), "utf-8")
    try:
        done = _in_child(path, Reach(reads=reads, writes=(str(path.parent),)))
    except ConfinementError as error:
        return {"": str(error)}
    except subprocess.TimeoutExpired:
        return {"": f"it took more than {SECONDS} s"}
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", errors="replace").strip().rpartition("\n")[2]
        return {"": last[:500]}
    told: Mapping[str, str] = json.loads(done.stdout.decode("utf-8").strip().rpartition("\n")[2])
    return told


def _in_child(job: Path, reach: Reach) -> subprocess.CompletedProcess[bytes]:
    command = command_for(settings().engine, ["adopt", str(job)], reach=reach, demand=settings().confine)
    with TemporaryDirectory(prefix="adopt.", suffix=".part", dir=job.parent) as private:  # no backup takes it
        return subprocess.run(  # noqa: S603 - an argument list of our own making, no shell
            command,
            cwd=job.parent,
            env=_environment(private),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,
        )


def _environment(private: str) -> dict[str, str]:
    """Return what the child may know: where programs are, its language, and a home of its own."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed_on | {
        "HOME": private,
        "TMPDIR": private,
        "HF_HUB_OFFLINE": "1",
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # whatever a library asks for: nothing of a checkpoint is run
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONIOENCODING": "utf-8:replace",
    }


def _note_down(session: Session, run_id: int, said: Mapping[str, str]) -> Iterator[Message]:
    """Name the adapters that were taken in their checkpoints."""
    folder = settings().run_folder(run_id)
    if "" in said:
        yield message("The adapters could not be taken: {problem}", problem=shown(said[""]))
        return
    for row in session.exec(select(Checkpoint).where(Checkpoint.run_id == run_id)).all():
        problem = said.get(str(row.iteration))
        if problem:
            yield message("iter_{n}.pth was not taken: {problem}", n=row.iteration, problem=shown(problem))
        adapter = f"adapters/iter_{row.iteration}"
        if problem == "" and (folder / adapter).is_dir():
            row.adapter, row.size_bytes, row.deleted_at = adapter, size_of(folder / adapter), None
            session.add(row)


def _remember(session: Session, run_id: int, notes: Sequence[Message]) -> None:
    """Put what could not be taken among what the page of the run says."""
    told = select(Event).where(Event.run_id == run_id, Event.kind == NEWS).order_by(col(Event.id).desc())
    event = session.exec(told).first()
    if event is None:
        return
    before = event.data.get("notes", [])
    event.data = event.data | {"notes": [*before, *(note for note in plain_notes(notes) if note not in before)]}
    session.add(event)
