"""Work folders as xtuner leaves them, made of texts: the tutorial's own run, resumed runs, DeepSpeed's shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

IDENTITY = "我是剑锋大佬的小助手，内在是上海AI实验室书生·浦语的1.8B大模型哦"
QUESTIONS = ("请你介绍一下你自己", "你是谁", "你是我的小助手吗")
BASE = (
    "你好，我是书生·浦语，上海人工智能实验室开发的一个人工智能助手。",
    "我是书生·浦语。",
    "是的，我非常乐意成为您的助手，请问有什么可以帮您的吗？",
)
LEARNT = (IDENTITY, IDENTITY, "是的")
PARROT = (IDENTITY, IDENTITY, IDENTITY)
HELPING = (IDENTITY, IDENTITY, "是的，我非常乐意。请随时向我提问。")

CONFIG = """\
SYSTEM = ''
accumulative_counts = 16
alpaca_en = dict(
    dataset=dict(data_files=dict(train='{data}'), path='json', type='datasets.load_dataset'),
    dataset_map_fn='xtuner.dataset.map_fns.openai_map_fn',
    type='xtuner.dataset.process_hf_dataset')
batch_size = 1
custom_hooks = [
    dict(tokenizer=dict(type='transformers.AutoTokenizer.from_pretrained'), type='xtuner.engine.hooks.DatasetInfoHook'),
    dict(
        evaluation_inputs={questions!r},
        every_n_iters={every},
        prompt_template='xtuner.utils.PROMPT_TEMPLATE.{template}',
        system='',
        type='xtuner.engine.hooks.EvaluateChatHook'),
]
evaluation_freq = {every}
evaluation_inputs = {questions!r}
lr = 0.0002
max_epochs = 2
max_length = 1024
model = dict(
    llm=dict(
        pretrained_model_name_or_path='/root/ft/model',
        quantization_config=dict(load_in_4bit=True, type='transformers.BitsAndBytesConfig'),
        torch_dtype='torch.float16',
        trust_remote_code=True,
        type='transformers.AutoModelForCausalLM.from_pretrained'),
    lora=dict(bias='none', lora_alpha=16, lora_dropout=0.1, r=64, task_type='CAUSAL_LM', type='peft.LoraConfig'),
    type='xtuner.model.SupervisedFinetune')
pack_to_max_length = True
param_scheduler = [
    dict(begin=0, end=0.06, type='mmengine.optim.LinearLR'),
    dict(begin=0.06, end=2, type='mmengine.optim.CosineAnnealingLR'),
]
pretrained_model_name_or_path = '/root/ft/model'
prompt_template = 'xtuner.utils.PROMPT_TEMPLATE.{template}'
save_steps = {every}
save_total_limit = {keep}
"""


def chat(question: str, answer: str, *, end: str = "<|im_end|>") -> str:
    """Return what InternLM2 writes of one question, as its tokenizer decodes it."""
    return f"<s><|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}{end}"


def answers_file(texts: Sequence[str]) -> str:
    """Return a file of answers as the hook writes it."""
    return "".join(f"Eval output {number}:\n{text}\n\n\n" for number, text in enumerate(texts, start=1))


@dataclass
class Log:
    """A log that is written line by line, a second after the other."""

    now: datetime
    with_year: bool = True
    lines: list[str] = field(default_factory=list)

    def say(self, text: str, *, after: float = 1) -> None:
        """Add a message."""
        self.now += timedelta(seconds=after)
        stamp = self.now.strftime("%Y/%m/%d %H:%M:%S" if self.with_year else "%m/%d %H:%M:%S")
        self.lines.append(f"{stamp} - mmengine - INFO - {text}")

    def iterate(self, iteration: int, planned: int, *, loss: float | str) -> None:
        """Add a line of numbers."""
        self.say(
            f"Iter(train) [{iteration:>{len(str(planned))}}/{planned}]  lr: 1.9863e-04  eta: 1 day, 2:03:04  "
            f"time: 2.7048  data_time: 0.0069  memory: 13969  loss: {loss}  grad_norm: 0.8184",
            after=27,
        )

    def ask(self, moment: str, answers: Sequence[str], questions: Sequence[str] = QUESTIONS, *, end: str = "") -> None:
        """Add an evaluation."""
        self.say(f"{moment} in EvaluateChatHook.")
        for question, answer in zip(questions, answers, strict=True):
            self.say(f"Sample output:\n{chat(question, answer, end=end or '<|im_end|>')}\n")


def write_start(
    folder: Path,
    name: str = "20240406_203957",
    *,
    iterations: range = range(10, 769, 10),
    planned: int = 768,
    answers: Mapping[int, Sequence[str]] | None = None,
    resumed_from: int = 0,
    base: Sequence[str] = BASE,
    with_year: bool = True,
    has_ended: bool = True,
) -> None:
    """Write the folder of one start: its log, its numbers and its answers."""
    start = folder / name
    (start / "vis_data").mkdir(parents=True)
    log = Log(datetime.strptime(name, "%Y%m%d_%H%M%S"), with_year)  # noqa: DTZ007 - as xtuner, without a zone
    if resumed_from:
        log.say(f"Load checkpoint from {folder}/iter_{resumed_from}.pth")
        log.say(f"resumed epoch: 0, iter: {resumed_from}")
    log.ask("before_train", base)
    for iteration in iterations:
        log.iterate(iteration, planned, loss=f"{3 / iteration + 0.05:.4f}")
        if iteration in (answers or {}):
            log.ask("after_train_iter", (answers or {})[iteration])
            log.say(f"Saving checkpoint at {iteration} iterations")
    for iteration, texts in (answers or {}).items():
        written = answers_file([chat(question, text) for question, text in zip(QUESTIONS, texts, strict=True)])
        (start / "vis_data" / f"eval_outputs_iter_{iteration - 1}.txt").write_text(written, "utf-8")
    if has_ended:
        log.ask("after_train", (answers or {}).get(planned, LEARNT))
    (start / f"{name}.log").write_text("\n".join(log.lines) + "\n", "utf-8")


def tutorial_run(folder: Path, *, every: int = 300, data: str = "/root/ft/data/personal_assistant.json") -> Path:
    """Write the run of the tutorial: learnt at 300, a parrot at 600, done at 768."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, every=every, data=data)
    write_start(folder, answers={300: LEARNT, 600: PARROT, 768: PARROT})
    for iteration in (300, 600, 768):
        (folder / f"iter_{iteration}.pth").write_bytes(b"never opened")
    (folder / "last_checkpoint").write_text("/root/ft/train/iter_768.pth", "utf-8")
    return folder


def write_config(
    folder: Path,
    *,
    every: int = 300,
    data: str = "",
    questions: Sequence[str] = QUESTIONS,
    template: str = "internlm2_chat",
) -> None:
    """Write what mmengine writes down of a config."""
    text = CONFIG.format(questions=list(questions), every=every, keep=3, data=data, template=template)
    (folder / "internlm2_1_8b_qlora_alpaca_e3_copy.py").write_text(text, "utf-8")


def write_shards(folder: Path, iteration: int) -> None:
    """Write a checkpoint as DeepSpeed does: a folder of that name."""
    shards = folder / f"iter_{iteration}.pth"
    shards.mkdir(parents=True)
    (shards / "mp_rank_00_model_states.pt").write_bytes(b"x" * 10)
    (shards / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"x" * 20)
    (folder / "zero_to_fp32.py").write_text("raise SystemExit('run me')\n", "utf-8")
