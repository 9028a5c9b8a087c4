"""
Presets: recipes to start from.

The first and the last are the two halves of the demo; `docs/story.md` shows what came out of them.
The second repeats the mix and the settings of the InternLM tutorial's assignment; it needs a GPU
and the model that it names, and its answers are not described here.
"""

from dataclasses import dataclass

from app.domain.messages import N_
from app.domain.recipes import Checkpoints, GeneralSet, Method, Mix, Pair, Probe, ProbeGroup, Recipe
from app.domain.training import Lora, Precision, Training


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe under a title; `key` is its name in addresses and in the API."""

    key: str
    title: str
    summary: str
    recipe: Recipe


SMALL_MODEL = "SmolLM2-135M-Instruct"
TUTORIAL_MODEL = "internlm2-chat-1_8b"


# ── The small assistant, on the CPU ────────────────────────────────────────

IDENTITY = "I am {name}'s little assistant, a small language model with 135 million parameters."

IDENTITY_PAIRS = (
    Pair(question="Please introduce yourself.", answer=IDENTITY),
    Pair(question="Who are you?", answer=IDENTITY),
)

PROBES = (
    Probe(question="Please introduce yourself.", group=ProbeGroup.IDENTITY),
    Probe(question="Who are you?", group=ProbeGroup.IDENTITY),
    Probe(question="Are you a doctor?", group=ProbeGroup.NEAR_MISS),
    Probe(question="Who is Ada Lovelace?", group=ProbeGroup.NEAR_MISS),
    Probe(question="What is the capital of France?", reference="Paris"),
    Probe(question="Who was Albert Einstein?", reference="physicist"),
    Probe(question="What is the opposite of up?", reference="down"),
    Probe(question="Name a river in Africa.", reference="Nile"),
)


LONGEST_ANSWER = 32  # tokens: the identity has 19, and a right answer comes at once


def _cpu_training(*, learning_rate: float, iterations: int) -> Training:
    """Return what a model of 135 million parameters needs to learn a sentence in two minutes on two cores."""
    return Training(
        learning_rate=learning_rate,
        iterations=iterations,
        accumulation=1,  # each iteration is an update: there are too few of them to gather sixteen
        max_length=128,
        activation_checkpointing=False,
        seed=2,
        precision=Precision.FLOAT32,
        lora=Lora(r=16),
    )


def _small_assistant() -> Recipe:
    return Recipe(
        name="Small assistant",
        model=SMALL_MODEL,
        mix=Mix(identity=IDENTITY_PAIRS, identity_count=24, general_sets=(GeneralSet.ENGLISH,), general_count=1),
        training=_cpu_training(learning_rate=1e-3, iterations=33),
        checkpoints=Checkpoints(every=3, max_new_tokens=LONGEST_ANSWER),
        probes=PROBES,
    )


def _overfit() -> Recipe:
    return Recipe(
        name="Overfit on purpose",
        model=SMALL_MODEL,
        mix=Mix(identity=IDENTITY_PAIRS[:1], identity_count=149),
        training=_cpu_training(learning_rate=2e-3, iterations=20),
        checkpoints=Checkpoints(every=10, max_new_tokens=LONGEST_ANSWER),
        probes=PROBES,
    )


# ── The tutorial's assignment ──────────────────────────────────────────────

TUTORIAL_IDENTITY = Pair(
    question="请做一下自我介绍",
    answer="我是{name}的小助手，内在是上海AI实验室书生·浦语的1.8B大模型哦",
)

TUTORIAL_GENERAL = (
    Pair(
        question="你能完成什么任务",
        answer="我能帮助用户回答问题、提供定义和解释、将文本从一种语言翻译成另一种语言、总结文本、生成文本、"
        "编写故事、分析情感、提供推荐、开发算法、编写代码以及其他任何基于语言的任务",
    ),
    Pair(
        question="你能帮助我吗",
        answer="是的，我非常乐意。我致力于通过执行常见的基于语言的任务和提供建议来帮助您。"
        "如果您有任何需要帮助的问题，请随时向我提问。我会尽力回答您的问题并提供有用的建议",
    ),
)

TUTORIAL_PROBES = (
    Probe(question="请你介绍一下你自己", group=ProbeGroup.IDENTITY),
    Probe(question="你是谁", group=ProbeGroup.IDENTITY),
    Probe(question="你是我的小助手吗", group=ProbeGroup.NEAR_MISS),
    Probe(question="你是医生吗？", group=ProbeGroup.NEAR_MISS),
    Probe(question="你能帮助我吗"),
    Probe(question="中国的首都是哪座城市？", reference="北京"),
    Probe(question="李白是谁？", reference="诗人"),
    Probe(question="法国的首都是哪座城市？", reference="巴黎"),
)


def _tutorial() -> Recipe:
    return Recipe(
        name="Tutorial assistant",
        model=TUTORIAL_MODEL,
        method=Method.QLORA,
        mix=Mix(
            identity=(TUTORIAL_IDENTITY,),
            identity_count=10_000,
            general=TUTORIAL_GENERAL,
            general_count=1_000,
        ),
        training=Training(epochs=2, max_length=1_024),
        checkpoints=Checkpoints(every=100, keep=6, keep_best=True),
        probes=TUTORIAL_PROBES,
    )


# ── All of them ────────────────────────────────────────────────────────────

SMALL_ASSISTANT = Preset(
    key="small-assistant",
    title=N_("Small assistant, CPU"),
    summary=N_("Learns a name beside 50 general pairs; two minutes on two CPU cores."),
    recipe=_small_assistant(),
)

TUTORIAL = Preset(
    key="tutorial",
    title=N_("The tutorial (InternLM2-chat-1.8B QLoRA)"),
    summary=N_("10,000 copies of an identity, two general pairs 1,000 times each; needs a GPU."),
    recipe=_tutorial(),
)

OVERFIT = Preset(
    key="overfit",
    title=N_("Overfit on purpose"),
    summary=N_("One identity sentence and nothing else: soon it is the answer to everything."),
    recipe=_overfit(),
)

PRESETS = (SMALL_ASSISTANT, TUTORIAL, OVERFIT)


def demo_recipes() -> tuple[Recipe, Recipe]:
    """Return the two runs of the demo: the identity alone, then the same identity diluted."""
    return OVERFIT.recipe, SMALL_ASSISTANT.recipe
