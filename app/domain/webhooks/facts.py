"""What a message tells of a checkpoint, as plain data."""

from typing import Any

from app.domain.verdicts import CheckpointVerdict


def checkpoint_facts(judged: CheckpointVerdict) -> dict[str, Any]:
    """Return a checkpoint and its verdict as plain data."""
    score = judged.score
    counts = {name: getattr(score, name) for name in ("identity_hits", "identity_total", "leaks", "leak_total")}
    return {"id": judged.checkpoint_id, "iteration": judged.iteration, "verdict": score.verdict, **counts}
