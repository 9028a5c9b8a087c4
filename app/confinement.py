"""
What a child process may reach: the files that it is given, and nobody else's.

A child that reads what others made - weights, rows, answers - is held by the kernel to the folders that its work
needs. It opens no socket of any kind, signals nobody, and reads no other process. Where the kernel cannot do a part
of it, the rest is done, and `holding` says what holds.

Does not cover: how much memory, time or disk it takes; modes and times of files that its user owns; shared memory.
`docs/containment.md` has the whole of it.
"""

import json
import os
import site
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from app import kernel_rules
from app.kernel_rules import CHANGE, READ, RUN, USE_DEVICE, WRITE, Files

Demand = Literal["auto", "required", "off"]

_PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/run/nvidia")
_OF_THE_SYSTEM = (  # what libraries ask of it; not all of /etc, where root's secrets are
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "passwd", "group", "nsswitch.conf", "os-release"),
    *("hosts", "hostname", "host.conf", "resolv.conf", "localtime", "timezone", "mime.types", "fonts", "machine-id"),
    *("ssl/openssl.cnf", "ssl/certs", "pki/tls/openssl.cnf", "pki/tls/certs", "nvidia", "OpenCL"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_GPUS = ("nvidia*", "dri", "kfd", "dxg")
_OF_LIBRARIES = ("LD_LIBRARY_PATH", "CUDA_HOME", "VIRTUAL_ENV")  # variables that name folders


class ConfinementError(OSError):
    """A child has to be confined, and this system cannot."""


@dataclass(frozen=True)
class Reach:
    """What one child is given, beside the programs and libraries that run it."""

    reads: tuple[str, ...] = ()
    """Files and folders."""
    writes: tuple[str, ...] = ()
    """Folders, with all that is in them."""
    uses_gpu: bool = False


@dataclass(frozen=True)
class Holding:
    """Which promises this system keeps."""

    files: bool
    """It writes to its own folders alone, and reads nobody's secrets."""
    network: bool
    """It opens no socket."""
    others: bool
    """It signals no process but its own."""

    @property
    def is_whole(self) -> bool:
        """Whether all of them are kept."""
        return self.files and self.network and self.others

    def __str__(self) -> str:
        """Say it in one line."""
        words = {"files confined": self.files, "network closed": self.network, "signals confined": self.others}
        return ", ".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in words.items())


def holding() -> Holding:
    """Return what this system keeps a child from."""
    version, filters = kernel_rules.landlock_version(), kernel_rules.has_call_filters()
    return Holding(files=version > 0, network=filters, others=version >= kernel_rules.SCOPES_SINCE)


def command_for(module: str, arguments: Sequence[str], *, reach: Reach, demand: Demand) -> list[str]:
    """
    Return the command line that runs a module of Python within its reach.

    Raises:
        ConfinementError: it is required, and this system keeps only a part of it.
    """
    check_demand(demand)
    # -P: the folder that it works in must not be a place that modules are imported from
    python = [sys.executable, "-P", "-m"]
    if demand == "off":
        return [*python, module, *arguments]
    return [*python, "app.confined", json.dumps(asdict(reach)), module, *arguments]


def check_demand(demand: Demand) -> None:
    """Refuse to go on where confinement is required and not whole; ConfinementError."""
    if demand == "required" and not holding().is_whole:
        raise ConfinementError(f"TEMPER_CONFINE is “required”, and this system cannot: {holding()}.")


def says(demand: Demand) -> str:
    """Return what a log tells of the confinement of its child."""
    return f"confinement: {'off' if demand == 'off' else holding()}"


# ── In the child ───────────────────────────────────────────────────────────


def confine(reach: Reach, *, module: str) -> None:
    """Hold this process, and all that it will start, to a reach; before it loads anything that reads what is given."""
    holds = holding()
    kernel_rules.forbid_new_rights()
    if holds.files:
        kernel_rules.restrict_files(_rules(reach, module))
    if holds.network:
        kernel_rules.refuse_calls(for_cuda=reach.uses_gpu)
    kernel_rules.drop_capabilities()


def _rules(reach: Reach, module: str) -> Iterator[tuple[Path, Files]]:
    yield from _each(_programs(module), RUN)
    yield from _each((Path("/etc", name) for name in _OF_THE_SYSTEM), READ)
    yield from _each((Path("/proc"), Path("/sys")), READ)
    yield from _each((Path("/dev", name) for name in _DEVICES), USE_DEVICE)
    yield Path("/dev/shm"), WRITE  # noqa: S108 - the system's own place for shared memory
    if reach.uses_gpu:
        yield from _each((path for name in _GPUS for path in Path("/dev").glob(name)), USE_DEVICE)
        yield Path("/proc/self"), CHANGE  # CUDA names its threads there, and does not begin where it cannot
    yield from _each(map(Path, reach.reads), READ)
    yield from _each(map(Path, reach.writes), WRITE)


def _each(paths: Iterable[Path], rights: Files) -> Iterator[tuple[Path, Files]]:
    return ((path, rights) for path in paths)


def _programs(module: str) -> Iterator[Path]:
    """Yield where programs, libraries and Python's modules are; of this project its packages, not the folder of all."""
    yield from map(Path, _PROGRAMS)
    yield from {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent}
    yield from (Path(place) for place in {*sys.path, *site.getsitepackages()} if place)
    for package in {"app", module.partition(".")[0]}:
        spec = find_spec(package)
        yield from map(Path, (spec.submodule_search_locations or ()) if spec else ())
    for name in _OF_LIBRARIES:
        yield from (Path(place) for place in os.environ.get(name, "").split(":") if place)
