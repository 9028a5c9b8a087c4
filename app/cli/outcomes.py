"""What a run has come to, in a few lines: its verdict, the checkpoint to keep, and where its answers stand."""

from collections.abc import Iterator

from app.client import FINAL_STATES, TemperClient
from app.client_types import Column, Comparison, Run


def outcome_of(client: TemperClient, run: Run) -> Iterator[str]:
    """Yield the lines that end what a command says of a run; none before a tuned checkpoint has answered."""
    if run["stop_reason"]:
        where = " at the sweet spot" if run["stopped_by"] == "sweet-spot" else ""
        yield f"Stopped{where}: {run['stop_reason']}"
    compared = client.compare(runs=[run["id"]])
    judged = [column for column in compared["columns"] if column["iteration"] and column["score"]["verdict"]]
    if not judged:
        return
    yield from _advised(compared, judged, is_over=run["state"] in FINAL_STATES)
    yield f"Compare: {client.url}{compared['path']}"


def _advised(compared: Comparison, judged: list[Column], *, is_over: bool) -> Iterator[str]:
    advice = compared["runs"][0]["advice"]
    kept = next((column for column in judged if column["is_kept"]), None)
    if kept is None:
        last = judged[-1]
        yield f"Verdict: {last['score']['verdict']} at iteration {last['iteration']}, {counts_of(last)}"
        yield f"{'Keep nothing' if is_over else 'Nothing to keep yet'}. {advice['reason']}"
        return
    yield f"Verdict: {kept['score']['verdict']} at iteration {kept['iteration']}, {counts_of(kept)}"
    word = "Keep" if is_over else "Best so far is"
    yield f"{word} iteration {kept['iteration']}, checkpoint {kept['checkpoint_id']}. {advice['reason']}"


def counts_of(column: Column) -> str:
    """Say the counts behind a verdict."""
    score = column["score"]
    identity = f"identity {score['identity_hits']}/{score['identity_total']}"
    return f"{identity}, leak {score['leaks']}/{score['leak_total']}" if score["leak_total"] else identity
