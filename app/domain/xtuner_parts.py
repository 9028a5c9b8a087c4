"""
The parts of an xtuner config, each from the recipe to its text; the fourth is in `xtuner_schedule`.

Values go in by `repr()`; the names and their order are those of xtuner's own configs. Only
`app.domain.xtuner_config` puts the parts together, and checks the whole.
"""

from typing import Literal

from app.domain.recipes import Method, Recipe
from app.domain.training import TARGETS, Precision

Device = Literal["cpu", "cuda"]

ROWS_PER_PROCESS = 20_000  # below it, starting a process takes longer than the rows it would map (17 s for 32)
MOST_PROCESSES = 8


def processes_for(rows: int) -> int | None:
    """Return how many processes map the rows; none but its own for few, since even one more must be forked."""
    processes = min(MOST_PROCESSES, rows // ROWS_PER_PROCESS)
    return processes if processes > 1 else None


def imports_part(recipe: Recipe) -> str:
    quantised = "from transformers import BitsAndBytesConfig\n" if recipe.method is Method.QLORA else ""
    varlen = (
        "from xtuner.engine.hooks import VarlenAttnArgsToMessageHubHook\n" if recipe.training.varlen_attention else ""
    )
    return _IMPORTS + quantised + varlen


# One name a line where mmengine's lazy syntax asks for it; it refuses `import a, b`.
_IMPORTS = """\
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, LinearLR, OptimWrapper
from peft import LoraConfig
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer
from xtuner.dataset import process_hf_dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.dataset.map_fns import template_map_fn_factory
from xtuner.engine.runner import TrainLoop
from xtuner.model import SupervisedFinetune
from xtuner.utils import PROMPT_TEMPLATE

from worker.engine.hooks import AnswerHook, MetricHook, PlanHook, SaveHook
from worker.engine.rows import load_rows
from worker.engine.schedule import WarmUpLR
"""


def settings_part(recipe: Recipe, *, model_path: str, template: str, data_file: str) -> str:
    training, checkpoints = recipe.training, recipe.checkpoints
    length = (
        ("max_iters", training.iterations) if training.iterations is not None else ("max_epochs", training.epochs or 1)
    )
    questions = [probe.question for probe in recipe.probes]
    return f"""\
# Model
pretrained_model_name_or_path = {model_path!r}
use_varlen_attn = {training.varlen_attention!r}

# Data
data_path = {data_file!r}
prompt_template = PROMPT_TEMPLATE.{template}
max_length = {training.max_length!r}
pack_to_max_length = {training.packing!r}

# Scheduler & Optimizer
batch_size = {training.batch_size!r}
accumulative_counts = {training.accumulation!r}
dataloader_num_workers = 0
{length[0]} = {length[1]!r}
optim_type = AdamW
lr = {training.learning_rate!r}
betas = (0.9, 0.999)
weight_decay = {training.weight_decay!r}
max_norm = {training.max_norm!r}
warmup_ratio = {training.warmup_ratio!r}

# Save
save_steps = {checkpoints.every!r}
save_total_limit = {checkpoints.keep!r}
{_rules(recipe)}
# Answers during the training
evaluation_freq = {checkpoints.every!r}
SYSTEM = {recipe.mix.system!r}
evaluation_inputs = {questions!r}
max_new_tokens = {checkpoints.max_new_tokens!r}
"""


def _rules(recipe: Recipe) -> str:  # what the supervisor does, for which xtuner has no setting
    rule, good = recipe.stopping, "# Beside these the good ones stay: advised, first that learnt, last before a leak.\n"
    sweet = f"# It stops once identity >= {rule.identity:g}, leak <= {rule.leak:g}, {rule.checkpoints} in a row.\n"
    return good * recipe.keeps_best + sweet * rule.at_sweet_spot


def model_part(recipe: Recipe) -> str:
    return f"""\
tokenizer = dict(
    type=AutoTokenizer.from_pretrained,
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    trust_remote_code=False,
    padding_side='right',
)

model = dict(
    type=SupervisedFinetune,
    use_varlen_attn=use_varlen_attn,
    use_activation_checkpointing={recipe.training.activation_checkpointing!r},
    llm=dict(
        type=AutoModelForCausalLM.from_pretrained,
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        trust_remote_code=False,
        torch_dtype={_weights_dtype(recipe)},
{_quantisation(recipe)}    ),
{_lora(recipe)})
"""


def _weights_dtype(recipe: Recipe) -> str:
    """Name the number format that the weights are loaded in."""
    if recipe.method is Method.FULL:
        # AMP keeps the weights it updates in float32: an update of 1e-5 is lost in bfloat16's 8 bits.
        return f"torch.{Precision.FLOAT32}"
    return f"torch.{recipe.training.precision}"


def _quantisation(recipe: Recipe) -> str:
    if recipe.method is not Method.QLORA:
        return ""
    return f"""\
        quantization_config=dict(
            type=BitsAndBytesConfig,
            load_in_4bit=True,
            load_in_8bit=False,
            llm_int8_threshold=6.0,
            llm_int8_has_fp16_weight=False,
            bnb_4bit_compute_dtype=torch.{recipe.training.precision},
            bnb_4bit_use_double_quant=True,
            bnb_4bit_quant_type='nf4',
        ),
"""


def _lora(recipe: Recipe) -> str:
    if recipe.method is Method.FULL:
        return ""
    lora = recipe.training.lora
    return f"""\
    lora=dict(
        type=LoraConfig,
        r={lora.r!r},
        lora_alpha={lora.alpha!r},
        lora_dropout={lora.dropout!r},
        target_modules={list(TARGETS[lora.targets])!r},
        bias='none',
        task_type='CAUSAL_LM',
    ),
"""


def data_part(*, rows: int) -> str:
    return f"""\
train_dataset = dict(
    type=process_hf_dataset,
    dataset=dict(type=load_rows, data_file=data_path),
    tokenizer=tokenizer,
    max_length=max_length,
    dataset_map_fn=None,
    template_map_fn=dict(type=template_map_fn_factory, template=prompt_template),
    remove_unused_columns=True,
    shuffle_before_pack=True,
    pack_to_max_length=pack_to_max_length,
    use_varlen_attn=use_varlen_attn,
    map_num_proc={processes_for(rows)!r},
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=dataloader_num_workers,
    dataset=train_dataset,
    sampler=dict(type=DefaultSampler, shuffle=True),
    collate_fn=dict(type=default_collate_fn, use_varlen_attn=use_varlen_attn),
)
"""


def runtime_part(recipe: Recipe, *, run_folder: str, device: Device) -> str:
    return f"""\
custom_hooks = [
    dict(type=PlanHook),
    dict(type=MetricHook),
{_answers(recipe)}{_varlen(recipe)}]

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, log_metric_by_epoch=False, interval=10),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=SaveHook, every=save_steps, keep=save_total_limit),
    sampler_seed=dict(type=DistSamplerSeedHook),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend={"nccl" if device == "cuda" else "gloo"!r}),
)

work_dir = {run_folder!r}
visualizer = None
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed={recipe.training.seed!r}, deterministic=False)
log_processor = dict(by_epoch=False)
"""


def _answers(recipe: Recipe) -> str:
    if not (recipe.checkpoints.evaluate and recipe.probes):
        return ""
    return """\
    dict(
        type=AnswerHook,
        tokenizer=tokenizer,
        prompt_template=prompt_template,
        system=SYSTEM,
        evaluation_inputs=evaluation_inputs,
        every=evaluation_freq,
        max_new_tokens=max_new_tokens,
        held_out=dict(identity=held_out_identity, general=held_out_general),
    ),
"""


def _varlen(recipe: Recipe) -> str:
    return "    dict(type=VarlenAttnArgsToMessageHubHook),\n" if recipe.training.varlen_attention else ""
