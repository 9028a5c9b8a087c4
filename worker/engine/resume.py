"""
From which checkpoint a run goes on: the newest one that is what was written.

A checkpoint is two files, its weights and the optimizer's state. Both are hashed, before anything
of them is read: the checksums that torch writes into its files miss their tables of contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from app.domain.disk import sha256_of
from app.domain.trainer_events import DamagedCheckpoint


class Candidate(NamedTuple):
    """A checkpoint that a run may go on from, and the hash that it had."""

    iteration: int
    sha256: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `ITERATION:SHA256`; ValueError for anything else."""
        iteration, _, sha256 = text.partition(":")
        return cls(int(iteration), sha256)


@dataclass
class Resumption:
    """What a process knows of the attempts before it; mmengine builds the hooks that ask for it."""

    iteration: int = 0
    """0 for a run that begins anew."""
    answered: frozenset[int] = frozenset()
    """Iterations whose answers are stored."""
    damaged: list[DamagedCheckpoint] = field(default_factory=list)

    def choose(self, folder: Path, candidates: Sequence[Candidate]) -> None:
        """Take the first of the candidates that is what was written, and note those that are not."""
        for candidate in candidates:
            problem = problem_of(folder, candidate)
            if not problem:
                self.iteration = candidate.iteration
                return
            self.damaged.append(DamagedCheckpoint(iteration=candidate.iteration, problem=problem))


resumption = Resumption()


def weights_file(folder: Path, iteration: int) -> Path:
    """Return where a checkpoint's weights are."""
    return folder / f"iter_{iteration}.pth"


def state_file(folder: Path, iteration: int) -> Path:
    """Return where the optimizer's state of a checkpoint is."""
    return folder / "states" / f"iter_{iteration}.pth"


def hash_checkpoint(folder: Path, iteration: int) -> str:
    """Return the hashes of a checkpoint's two files, joined by a plus; OSError when one cannot be read."""
    files = (weights_file(folder, iteration), state_file(folder, iteration))
    return "+".join(sha256_of(file) for file in files)


def problem_of(folder: Path, candidate: Candidate) -> str:
    """Return what is wrong with a checkpoint; empty when it is what was written."""
    try:
        found = hash_checkpoint(folder, candidate.iteration)
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    return "" if found == candidate.sha256 else "its files are not what was written"
