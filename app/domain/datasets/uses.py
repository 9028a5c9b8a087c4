"""Which runs were made from which saved rows: these are not deleted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from sqlmodel import Session, col, func, select

from app.domain import db
from app.domain.models import Dataset, Run, RunDataset

ONE_AT_A_TIME = 7_352_002  # of `db.take_turns`: who puts, names or removes a file


def used_by(session: Session, dataset: Dataset) -> int:
    """Count the runs whose recipe names this content."""
    return uses_of(session, [dataset])[dataset.sha256]


def uses_of(session: Session, datasets: Iterable[Dataset]) -> Counter[str]:
    """Count, by hash, the runs whose recipe names the content of each of some versions."""
    sha256, number = col(RunDataset.sha256), func.count()
    wanted = sha256.in_({dataset.sha256 for dataset in datasets})
    return Counter(dict(session.exec(select(sha256, number).where(wanted).group_by(sha256)).all()))


def runs_with(session: Session, dataset: Dataset, *, limit: int) -> Sequence[Run]:
    """Return the newest runs whose recipe names this content."""
    named = select(Run).join(RunDataset).where(RunDataset.sha256 == dataset.sha256)
    return session.exec(named.order_by(col(Run.id).desc()).limit(limit)).all()


# ── Naming ─────────────────────────────────────────────────────────────────


def take_turns(session: Session) -> None:
    """Let one transaction at a time put, name or remove files; on SQLite each transaction does so anyway."""
    db.take_turns(session, ONE_AT_A_TIME)


def hold_sets(session: Session, hashes: AbstractSet[str]) -> set[str]:
    """Return those of some hashes whose rows are saved: nobody deletes them before this transaction ends."""
    if not hashes:
        return set()
    take_turns(session)
    return set(session.exec(select(Dataset.sha256).where(col(Dataset.sha256).in_(hashes))))


def note_uses(session: Session, run_id: int, hashes: AbstractSet[str]) -> None:
    """Store which saved rows the recipe of a run names."""
    session.add_all(RunDataset(run_id=run_id, sha256=sha256) for sha256 in hashes)
