"""Ask the probes of the base model and of every checkpoint, and measure how likely held-out pairs are."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils.misc import get_object_from_string
from peft import PeftModel
from transformers import PreTrainedModel
from xtuner.registry import BUILDER

from app.domain.trainer_events import AnswersGiven
from worker.engine.events import events
from worker.engine.generate import Asking, answer_all, arithmetic_of, prompts_of, stop_ids_of
from worker.engine.hooks.progress import begin_phase, is_main
from worker.engine.leaving import Stage, departure
from worker.engine.likelihood import measure, rows_of
from worker.engine.resume import resumption


class AnswerHook(Hook):
    """Answers all probes in one batch and measures held-out pairs, after the checkpoint is safe on disk."""

    priority = "LOWEST"

    def __init__(  # noqa: PLR0913 - one keyword for each line of the config
        self,
        *,
        tokenizer: dict[str, Any],
        prompt_template: Mapping[str, Any] | str,
        system: str,
        evaluation_inputs: list[str],
        every: int,
        max_new_tokens: int,
        held_out: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> None:
        """
        Lay out the questions once.

        Args:
            every: Iterations; should be the checkpoints' own.
            held_out: Pairs of question and answer by group, `identity` and `general`; a config written before
                these were measured has none.
        """
        self._tokenizer = BUILDER.build(tokenizer)
        template = _template_of(prompt_template)
        self._every = every
        self._asking = Asking(
            prompts=prompts_of(template, system, evaluation_inputs),
            stop_ids=stop_ids_of(self._tokenizer, template),
            max_new_tokens=max_new_tokens,
        )
        self._held_out = {
            name: rows_of(pairs, tokenizer=self._tokenizer, template=template, system=system)
            for name, pairs in (held_out or {}).items()
        }

    def before_train(self, runner: Runner) -> None:
        """Ask the base model, or the checkpoint that the run goes on from, unless that was done before."""
        if not is_main() or runner.iter in resumption.answered:
            return
        if runner.iter == 0:
            with _untuned(runner):
                self._answer(runner, 0)
        elif runner.iter % self._every == 0 or runner.iter == runner.max_iters:
            departure.enter(Stage.ANSWERING)
            self._answer(runner, runner.iter)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ANN401, ARG002
        outputs: Any = None,  # noqa: ANN401, ARG002
    ) -> None:
        """Ask the checkpoint that was just saved."""
        if is_main() and departure.saved == runner.iter + 1:
            departure.enter(Stage.ANSWERING)
            self._answer(runner, runner.iter + 1)

    def _answer(self, runner: Runner, iteration: int) -> None:
        begin_phase("answering", iteration)
        began, model = time.perf_counter(), _inner_model(runner)
        answers = answer_all(model, self._tokenizer, self._asking)
        likelihoods = measure(model, self._held_out)
        dtype, is_quantised = arithmetic_of(model)
        events.write(
            AnswersGiven,
            iteration=iteration,
            answers=answers,
            seconds=time.perf_counter() - began,
            dtype=dtype,
            quantised=is_quantised,
            identity_nll=likelihoods.get("identity"),
            general_nll=likelihoods.get("general"),
        )


def _template_of(template: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Look a template up that mmengine hands over by its dotted name, as it does out of a dumped config."""
    return get_object_from_string(template) if isinstance(template, str) else template


def _llm(runner: Runner) -> PreTrainedModel | PeftModel:
    llm: PreTrainedModel | PeftModel = getattr(runner.model, "module", runner.model).llm
    return llm


def _inner_model(runner: Runner) -> PreTrainedModel:
    """Return the model whose layers hold the adapter, without PEFT's own `generate` around it."""
    llm = _llm(runner)
    inner: PreTrainedModel = llm.get_base_model() if isinstance(llm, PeftModel) else llm
    return inner


def _untuned(runner: Runner) -> AbstractContextManager[None]:
    """Switch the adapter off: a fresh one adds nothing, but adding nothing takes time."""
    llm = _llm(runner)
    return llm.disable_adapter() if isinstance(llm, PeftModel) else nullcontext()
