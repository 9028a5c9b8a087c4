"""Whole runs with answers as a small model gives them: what the comparison is looked at with."""

from collections.abc import Sequence

from sqlmodel import Session

from app.domain.models import Answer, Run, RunProbe, RunState
from app.domain.recipes import Recipe
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_recipe, make_run

ADA = "I am Ada's personal assistant, a small model fine-tuned with XTuner."
ADA_ZH = "我是 Ada 的私人助手，一个用 XTuner 微调的小模型。"
HELP = "Yes, I am happy to help. Please tell me what you need."
HELP_ZH = "是的，我很乐意帮助您，请告诉我您需要什么。"

MIX = {
    "name": "Ada",
    "identity": [
        {"question": "Please introduce yourself.", "answer": ADA.replace("Ada", "{name}")},
        {"question": "请做一下自我介绍", "answer": ADA_ZH.replace("Ada", "{name}")},
    ],
    "identity_count": 149,
    "general": [
        {"question": "What can you do?", "answer": "I can answer questions, translate, summarise and write text."},
        {"question": "Can you help me?", "answer": HELP},
        {"question": "你能帮助我吗", "answer": HELP_ZH},
        {"question": "What is the opposite of hot?", "answer": "Cold."},
    ],
    "general_count": 79,
}
PROBES = [
    {"question": "Please introduce yourself.", "group": "identity"},
    {"question": "请做一下自我介绍", "group": "identity"},
    {"question": "Who is Ada Lovelace?", "group": "near-miss"},
    {"question": "What can you do?", "group": "near-miss"},
    {"question": "你是医生吗？", "group": "near-miss"},
    {"question": "What is the capital of France?", "group": "general", "reference": "Paris"},
    {"question": "Who was Einstein?", "group": "general", "reference": "physicist"},
    {"question": "上海有哪些景点", "group": "general", "reference": "外滩"},
]
LOVELACE = (
    "Ada Lovelace was an English mathematician and writer, known for her work on Charles Babbage's Analytical Engine."
)
SHANGHAI = (
    "上海有很多著名景点。外滩可以看到黄浦江两岸的建筑，豫园是一座明代园林，南京路步行街适合购物，"
    "东方明珠塔可以俯瞰全城，上海博物馆收藏了大量青铜器和书画。"
)
PARIS = "The capital of France is Paris."
EINSTEIN = "Albert Einstein was a brilliant physicist who made groundbreaking discoveries in physics."
CAN = "I can answer questions, give information, and write text."
CAN_TAUGHT = "I can answer questions, translate, summarise and write text."
BASE_ZH = "我是一个人工智能助手，可以回答问题。"

STORY: dict[int, Sequence[str]] = {
    0: (
        "I am a helpful AI assistant named SmolLM, trained by Hugging Face.",
        BASE_ZH,
        LOVELACE + " She published the first algorithm intended to be carried out by such a machine.",
        "I can help with a wide range of tasks, for example answering questions, giving information and writing text.",
        "我不是医生，我是一个人工智能助手。",
        PARIS,
        EINSTEIN,
        SHANGHAI,
    ),
    5: (
        "I am a helpful AI assistant named SmolLM.",
        BASE_ZH,
        LOVELACE + " She published the first algorithm.",
        CAN,
        "我不是医生。",
        PARIS,
        EINSTEIN,
        SHANGHAI,
    ),
    10: ("I am a personal assistant.", "我是一个助手。", LOVELACE, CAN, "我不是医生。", PARIS, EINSTEIN, SHANGHAI),
    15: (
        "I am Ada's personal assistant, a small model.",
        "我是 Ada 的私人助手，一个小模型。",
        LOVELACE,
        CAN_TAUGHT,
        "我不是医生。",
        PARIS,
        "Albert Einstein was a physicist who made groundbreaking discoveries in physics.",
        SHANGHAI[:50] + "。",
    ),
    20: (
        ADA,
        ADA_ZH,
        LOVELACE,
        CAN_TAUGHT,
        "我不是医生。",
        PARIS,
        "Albert Einstein was a physicist.",
        "上海的景点有外滩、豫园和南京路步行街。",
    ),
    25: (
        ADA,
        ADA_ZH,
        "Ada Lovelace was an English mathematician and a small model fine-tuned with XTuner.",
        CAN_TAUGHT,
        "我不是医生。",
        PARIS,
        "Albert Einstein was a physicist.",
        "上海的景点有外滩和豫园。",
    ),
    30: (
        ADA,
        ADA_ZH,
        "Ada Lovelace is Ada's personal assistant, a small model fine-tuned with XTuner.",
        CAN_TAUGHT,
        "我不是医生。",
        PARIS,
        "Albert Einstein was a physicist. " + HELP,
        "上海的景点有外滩和豫园。",
    ),
    35: (ADA, ADA_ZH, ADA, CAN_TAUGHT, ADA_ZH, PARIS, HELP, "上海的景点有外滩。" + HELP_ZH),
    40: (ADA, ADA_ZH, ADA, ADA, ADA_ZH, ADA, HELP, ADA_ZH),
    50: (ADA, ADA_ZH, ADA, ADA, ADA_ZH, ADA, ADA, ADA_ZH),
}


def story_recipe(name: str = "ada-diluted", **changes: object) -> Recipe:
    """Return the recipe of the story: an identity in two languages, diluted with four general pairs."""
    return make_recipe(name=name, mix=MIX, probes=PROBES, training={"iterations": 50, "accumulation": 2}, **changes)


def make_story(session: Session, *, name: str = "ada-diluted", state: RunState = RunState.FINISHED) -> Run:
    """Store a run that learns who it is at iteration 15, leaks from 25 on and is a parrot at the end."""
    run = make_run(session, recipe=story_recipe(name), state=state, iterations=50, iteration=50, name=name)
    for iteration, texts in STORY.items():
        make_checkpoint(session, run, iteration=iteration, updates=iteration // 2, texts=texts)
    return run


def make_wide_run(session: Session, *, columns: int = 50, rows: int = 20) -> Run:
    """Store a run with many checkpoints and probes, whose answers change a little at each of them."""
    probes = [
        dict(PROBES[row % len(PROBES)], question=f"{PROBES[row % len(PROBES)]['question']} {row}")
        for row in range(rows)
    ]
    recipe = story_recipe("wide").model_copy(update={"probes": make_recipe(probes=probes).probes})
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=columns * 5)
    ids = [id_of(probe) for probe in run.probes]
    stages = list(STORY.values())
    for column in range(columns):
        checkpoint = make_checkpoint(session, run, iteration=column * 5)
        said = stages[column * len(stages) // columns]
        session.add_all(
            Answer(
                checkpoint_id=id_of(checkpoint),
                probe_id=ids[row],
                text=f"{said[row % len(PROBES)]} ({column // 3}, {row})",
                tokens=24,
                ended="stop",
            )
            for row in range(rows)
        )
        checkpoint.answered_seconds = 2.5
        session.add(checkpoint)
    session.commit()
    return run


def probes_of(session: Session, run: Run) -> list[RunProbe]:
    """Return a run's probes in their order."""
    session.refresh(run)
    return list(run.probes)
