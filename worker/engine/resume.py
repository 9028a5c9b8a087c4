"""
From which checkpoint a run goes on: the newest one that proves whole.

A checkpoint is two files, its weights and the optimizer's state. Both are read to their last byte
and compared with the checksums that torch wrote into them, before anything is loaded.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.trainer_events import DamagedCheckpoint


@dataclass
class Resumption:
    """What a process knows of the attempts before it; mmengine builds the hooks that ask for it."""

    iteration: int = 0
    """0 for a run that begins anew."""
    answered: frozenset[int] = frozenset()
    """Iterations whose answers are stored."""
    damaged: list[DamagedCheckpoint] = field(default_factory=list)

    def choose(self, folder: Path, iterations: Sequence[int]) -> None:
        """Take the first of `iterations` whose files are whole, and note those that are not."""
        for iteration in iterations:
            problem = problem_of(weights_file(folder, iteration)) or problem_of(state_file(folder, iteration))
            if not problem:
                self.iteration = iteration
                return
            self.damaged.append(DamagedCheckpoint(iteration=iteration, problem=problem))


resumption = Resumption()


def weights_file(folder: Path, iteration: int) -> Path:
    """Return where a checkpoint's weights are."""
    return folder / f"iter_{iteration}.pth"


def state_file(folder: Path, iteration: int) -> Path:
    """Return where the optimizer's state of a checkpoint is."""
    return folder / "states" / f"iter_{iteration}.pth"


def problem_of(file: Path) -> str:
    """Return what is wrong with one of torch's files; empty when it is whole."""
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        return f"{file.name}: {error}"
    return f"{file.name}: {broken} is not what was written" if broken else ""
