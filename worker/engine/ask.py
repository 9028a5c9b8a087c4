"""
Ask checkpoints what they were not asked while they were trained: one base model, many adapters.

The base model is loaded once, as the training had it. Checkpoints are asked several at a time, each
row of the batch with the adapter of its own; the base model's rows have none. A few adapters are in
memory at once, and their weights are replaced by those of the next ones. After a full fine-tune
there are no adapters: one checkpoint's weights after the other take the place of the base model's.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training, set_peft_model_state_dict
from peft.utils import CONFIG_NAME
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel

from app.domain.trainer_events import AnswerGiven, AnswersGiven, CheckpointPassedOver
from worker.engine.adapters import WEIGHTS, load_checkpoint
from worker.engine.events import events
from worker.engine.failures import BadModelError
from worker.engine.generate import Asking, answer_all, arithmetic_of, prompts_of, stop_ids_of
from worker.engine.whole_models import load_weights

BASE = "__base__"  # PEFT's own word for a row without an adapter
MOST_ADAPTERS = 8  # at once: each costs a small product in every layer, whatever the batch
MOST_ADAPTER_BYTES = 2 << 30  # of all that are in memory, as float32
MOST_ROWS = 64  # of a batch: as many as a trainer answers at once
FLOAT32_OVER_FLOAT16 = 2  # adapters are stored in the one and held in the other


class Probe(BaseModel):
    """One question, and its place among the run's probes."""

    model_config = ConfigDict(frozen=True)
    position: int
    question: str


class Checkpoint(BaseModel):
    """What one checkpoint is asked."""

    model_config = ConfigDict(frozen=True)
    iteration: int
    files: str
    """Its adapter's folder, or its weights after a full fine-tune; empty for the base model."""
    probes: tuple[Probe, ...]


class Job(BaseModel):
    """All that is asked of one run."""

    model_config = ConfigDict(frozen=True)
    model: str
    template: str
    method: str
    precision: str
    system: str
    max_new_tokens: int
    checkpoints: tuple[Checkpoint, ...]
    """By iteration."""


@dataclass(frozen=True)
class Row:
    """One question to one checkpoint."""

    checkpoint: Checkpoint
    probe: Probe
    adapter: str


def ask(job: Job) -> None:
    """
    Answer everything a job asks; a line is written for each checkpoint as soon as it has answered, or cannot.

    Raises:
        BadModelError: there is an adapter, and none fits the model.
    """
    job = job.model_copy(update={"checkpoints": tuple(_those_with_files(job))})
    if not job.checkpoints:
        return
    model, asker = load_base(job), Asker(job)
    if job.method == "full":
        _ask_whole_models(job, model, asker)
        return
    adapted = [each for each in job.checkpoints if each.files]
    slots = AdapterSlots.of(model, adapted)
    for group in groups_of(job.checkpoints, most_adapters=slots.most):
        filled = slots.fill([each for each in group if each.files])
        if rows := _rows([each for each in group if each in filled or not each.files], slots):
            asker.answer(slots.model, rows)
    slots.tell_of_damage()


def _those_with_files(job: Job) -> Iterator[Checkpoint]:
    """Pass over the checkpoints whose files are not there, before minutes go into loading."""
    needed = [""] if job.method == "full" else [WEIGHTS, CONFIG_NAME]
    for checkpoint in job.checkpoints:
        files = [Path(checkpoint.files) / name for name in needed] if checkpoint.files else []
        missing = next((path for path in files if not path.exists()), None)
        if missing is None:
            yield checkpoint
        else:
            events.write(CheckpointPassedOver, iteration=checkpoint.iteration, problem=f"There is no {missing}")


def load_base(job: Job) -> PreTrainedModel:
    """Load the base model as the training of an adapter did: quantised or not, norms and the like in float32."""
    dtype, is_quantised = getattr(torch, job.precision), job.method == "qlora"
    options: dict[str, Any] = {"quantization_config": _four_bits(dtype)} if is_quantised else {}
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        job.model, torch_dtype=dtype, trust_remote_code=False, **options
    )
    if torch.cuda.is_available() and not is_quantised:  # what is quantised was loaded there
        model = model.to("cuda")
    if job.method != "full":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model.eval()


def _four_bits(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return what a rendered config of QLoRA asks for."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_quant_type="nf4",
    )


# ── Adapters ───────────────────────────────────────────────────────────────


def groups_of(checkpoints: Sequence[Checkpoint], *, most_adapters: int) -> Iterator[list[Checkpoint]]:
    """Split checkpoints into those that are asked in one batch, in their order."""
    group: list[Checkpoint] = []
    for checkpoint in checkpoints:
        rows = sum(len(each.probes) for each in group) + len(checkpoint.probes)
        adapters = sum(bool(each.files) for each in group) + bool(checkpoint.files)
        if group and (rows > MOST_ROWS or adapters > most_adapters):
            yield group
            group = []
        group.append(checkpoint)
    if group:
        yield group


class AdapterSlots:
    """A few adapters of one run beside one base model; what is in a slot is replaced in place."""

    def __init__(self, model: PreTrainedModel | PeftModel, *, most: int) -> None:
        """Begin with nothing in any slot."""
        self.model, self.most = model, most
        self._filled: dict[int, str] = {}
        self._were_good = 0
        self._damaged: dict[int, str] = {}

    @classmethod
    def of(cls, base: PreTrainedModel, checkpoints: Sequence[Checkpoint]) -> "AdapterSlots":
        """Make as many slots as there are adapters, and memory for them."""
        if not checkpoints:
            return cls(base, most=0)
        folders = [Path(each.files) for each in checkpoints]
        size = FLOAT32_OVER_FLOAT16 * (folders[0] / WEIGHTS).stat().st_size
        most = max(1, min(MOST_ADAPTERS, len(folders), MOST_ADAPTER_BYTES // max(1, size)))
        config = LoraConfig.from_pretrained(str(folders[0]))
        model = get_peft_model(base, config, adapter_name=_slot(0))
        for number in range(1, most):
            model.add_adapter(_slot(number), config)
        return cls(model.eval(), most=most)

    def fill(self, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
        """Put the adapters of some checkpoints into the slots; return those that could be read and fit the model."""
        self._filled, filled = {}, []
        for number, checkpoint in enumerate(checkpoints):
            try:
                self._put(checkpoint, _slot(number))
            except (SafetensorError, OSError, BadModelError) as error:
                self._damaged[checkpoint.iteration] = str(error)
                continue
            self._filled[checkpoint.iteration] = _slot(number)
            filled.append(checkpoint)
        self._were_good += len(filled)
        return filled

    def _put(self, checkpoint: Checkpoint, slot: str) -> None:
        tensors = load_file(Path(checkpoint.files) / WEIGHTS)
        done = set_peft_model_state_dict(self.model, tensors, adapter_name=slot)
        missing = [name for name in done.missing_keys if f".{slot}." in name]
        if done.unexpected_keys or missing:
            wrong = [*done.unexpected_keys, *missing][:3]
            raise BadModelError(f"The adapter of iteration {checkpoint.iteration} does not fit the model: {wrong}")

    def tell_of_damage(self) -> None:
        """
        Write a line for each adapter that could not be put into a slot.

        Raises:
            BadModelError: none could: it is the model that is another one, and not so many adapters that are damaged.
        """
        if self._damaged and not self._were_good:
            raise BadModelError(next(iter(self._damaged.values())))
        for iteration, problem in self._damaged.items():
            events.write(CheckpointPassedOver, iteration=iteration, problem=problem)

    def name_of(self, checkpoint: Checkpoint) -> str:
        """Return the adapter that a checkpoint answers with; PEFT before 0.14 took an unknown one for the base."""
        if not checkpoint.files:
            return BASE
        name = self._filled[checkpoint.iteration]
        if name not in self.model.peft_config:
            raise BadModelError(f"There is no adapter named {name!r}.")
        return name


def _slot(number: int) -> str:
    return f"slot{number}"


# ── Asking ─────────────────────────────────────────────────────────────────


class Asker:
    """Lays questions out as the training does, and writes what is answered."""

    def __init__(self, job: Job) -> None:
        """Read the tokenizer and the template once."""
        from xtuner.utils import PROMPT_TEMPLATE

        self._job = job
        self._template = PROMPT_TEMPLATE[job.template]
        self._tokenizer = AutoTokenizer.from_pretrained(job.model, trust_remote_code=False)

    def answer(self, model: PreTrainedModel | PeftModel, rows: Sequence[Row]) -> None:
        """Answer rows in one batch, and write a line for each checkpoint."""
        began = time.perf_counter()
        adapters = [row.adapter for row in rows] if isinstance(model, PeftModel) else ()
        given = answer_all(model, self._tokenizer, self._asking(rows), adapters=adapters)
        seconds = (time.perf_counter() - began) / len(rows)
        dtype, is_quantised = arithmetic_of(model)
        answers: dict[int, list[AnswerGiven]] = {}
        for row, answer in zip(rows, given, strict=True):
            placed = answer.model_copy(update={"probe": row.probe.position})
            answers.setdefault(row.checkpoint.iteration, []).append(placed)
        for iteration, own in answers.items():
            events.write(
                AnswersGiven,
                iteration=iteration,
                answers=tuple(own),
                seconds=seconds * len(own),
                dtype=dtype,
                quantised=is_quantised,
            )

    def _asking(self, rows: Sequence[Row]) -> Asking:
        return Asking(
            prompts=prompts_of(self._template, self._job.system, [row.probe.question for row in rows]),
            stop_ids=stop_ids_of(self._tokenizer, self._template),
            max_new_tokens=self._job.max_new_tokens,
        )


def _rows(group: Sequence[Checkpoint], slots: AdapterSlots) -> list[Row]:
    return [Row(each, probe, slots.name_of(each)) for each in group for probe in each.probes]


def _ask_whole_models(job: Job, model: PreTrainedModel, asker: Asker) -> None:
    """Ask the base model, then put one checkpoint's weights after the other into it."""
    for checkpoint in job.checkpoints:  # by iteration: the base model is asked before it is written over
        if checkpoint.files:
            load_weights(model, load_checkpoint(Path(checkpoint.files))["state_dict"])
        asker.answer(model, [Row(checkpoint, probe, BASE) for probe in checkpoint.probes])
