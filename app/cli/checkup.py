"""What `temper doctor` looks at: everything that Temper needs, found without loading any of it."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.config import settings
from app.confinement import holding
from app.domain import db, presence, queue

NVIDIA_SMI_WAIT_SECONDS = 10
PACKAGES = ("torch", "xtuner", "transformers", "peft", "bitsandbytes")
OPTIONAL_PACKAGES = frozenset({"bitsandbytes"})  # for QLoRA on a GPU only


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_fine: bool
    says: str


def examine() -> list[Finding]:
    """Look at everything."""
    looks: tuple[Callable[[], Finding], ...] = (
        *(_python, _home, _disk, _database, _queue, _workers),
        *(_gpus, _confinement),
    )
    return [*(look() for look in looks), *map(_package, PACKAGES)]


def _python() -> Finding:
    return Finding("Python", is_fine=True, says=platform.python_version())


def _home() -> Finding:
    home = settings().home
    return Finding("TEMPER_HOME", is_fine=True, says=f"{home}{'' if home.exists() else ', not made yet'}")


def _disk() -> Finding:
    place = next(folder for folder in (settings().home, *settings().home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", free > settings().min_free_bytes, f"{free / 1e9:.1f} GB free")


def _database() -> Finding:
    if not settings().database_url and not (settings().home / "temper.db").exists():
        return Finding("database", is_fine=True, says="SQLite, made at the first start")
    from app.domain.migrate import is_current  # noqa: PLC0415 - alembic is slow to load

    try:
        current = is_current(settings().database)
    except SQLAlchemyError as error:
        return Finding("database", is_fine=False, says=f"does not answer: {str(error).splitlines()[0]}")
    name = db.engine().dialect.name
    return Finding("database", current, f"{name}, {'up to date' if current else 'run `temper migrate`'}")


def _queue() -> Finding:
    try:
        presence.redis().ping()
    except (RedisError, OSError):
        if settings().redis_url:
            return Finding("queue", is_fine=False, says="Redis does not answer at TEMPER_REDIS_URL")
        return Finding("queue", is_fine=True, says="not running; `temper up` starts it")
    if queue.is_open():
        return Finding("queue", is_fine=False, says="Redis answers, to anybody who reaches it: it asks for no password")
    return Finding("queue", is_fine=True, says="Redis answers")


def _workers() -> Finding:
    alive = ", ".join(f"{worker.name} ({worker.device})" for worker in presence.live_workers())
    return Finding("workers", is_fine=True, says=alive or "none")


def _gpus() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", settings().device != "cuda", "no NVIDIA driver: training on the CPU")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_WAIT_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Finding("GPU", is_fine=False, says="nvidia-smi does not answer: the driver is in trouble")
    return Finding("GPU", said.returncode == 0, "; ".join(said.stdout.split("\n")).strip("; ") or said.stderr.strip())


def _confinement() -> Finding:
    """Say what a trainer is kept from on this machine."""
    demand = settings().confine
    if demand == "off":
        return Finding("confinement", is_fine=False, says="off: a trainer may do all that its user may")
    return Finding("confinement", holding().is_whole or demand == "auto", str(holding()))


def _package(name: str) -> Finding:
    try:
        return Finding(name, is_fine=True, says=version(name))
    except PackageNotFoundError:
        is_optional = name in OPTIONAL_PACKAGES
        return Finding(name, is_optional, "not installed: no QLoRA" if is_optional else "not installed")
