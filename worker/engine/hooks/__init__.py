"""
What the rendered config hangs into mmengine's training loop.

Each hook does one thing and tells it to `events.jsonl`: the plan, the metrics, the checkpoints,
the answers. Their priorities put them in this order within an iteration: measured, saved, then
answered, so that a failing answer costs no checkpoint.
"""

from worker.engine.hooks.answering import AnswerHook
from worker.engine.hooks.progress import MetricHook, PlanHook
from worker.engine.hooks.saving import SaveHook

__all__ = ["AnswerHook", "MetricHook", "PlanHook", "SaveHook"]
