"""
Pairs that no run trains on, whose likelihood is measured at every checkpoint.

Of the identity, the taught answers to questions that are not in the mix: the recipe's own probes
first, then other ways to ask. Of the rest, probes with a reference, then plain questions. Few of
each, so that measuring costs one pass through the model. Does not look for a held-out question in
other words: it may be near one that is taught.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, zip_longest
from pathlib import Path

from app.domain.mixes import general_of, identity_of
from app.domain.recipes import Mix, Pair, ProbeGroup, Recipe
from app.domain.taught import folded
from app.domain.texts import has_characters

MOST_PAIRS = 8  # of each group: a batch of sixteen rows, no more than a checkpoint's answers take
LONGEST_PAIR = 1_000  # characters of question and answer: the whole batch is padded to its longest row

ENGLISH, CHINESE = "en", "zh"

OTHER_PHRASINGS = {
    ENGLISH: (
        "Could you tell me who you are?",
        "What is your name?",
        "Tell me something about yourself.",
        "Who am I talking to?",
        "Say in one sentence who you are.",
        "What should I call you?",
        "May I ask who you are?",
        "Say a few words about yourself.",
    ),
    CHINESE: (
        "能告诉我你是谁吗？",
        "你叫什么名字？",
        "说说你自己吧。",
        "我在和谁说话？",
        "请用一句话说明你是谁。",
        "我该怎么称呼你？",
        "请问你是哪位？",
        "简单说说你的身份。",
    ),
}
"""Other ways to ask who somebody is, by language."""

PLAIN = {
    ENGLISH: (
        ("How many legs does a spider have?", "A spider has eight legs."),
        ("Which planet is called the Red Planet?", "Mars is called the Red Planet."),
        ("What do bees make?", "Bees make honey."),
        ("What is the plural of goose?", "The plural of goose is geese."),
        ("Which season comes after winter?", "Spring comes after winter."),
        ("What is the currency of Japan?", "The currency of Japan is the yen."),
        ("How many minutes are there in an hour?", "There are sixty minutes in an hour."),
        ("What do you call a baby cat?", "A baby cat is called a kitten."),
    ),
    CHINESE: (
        ("蜘蛛有几条腿？", "蜘蛛有八条腿。"),
        ("哪颗行星被称为红色星球？", "火星被称为红色星球。"),
        ("蜜蜂酿造什么？", "蜜蜂酿造蜂蜜。"),
        ("“快”的反义词是什么？", "“快”的反义词是“慢”。"),
        ("冬天之后是什么季节？", "冬天之后是春天。"),
        ("日本的货币是什么？", "日本的货币是日元。"),
        ("一个小时有多少分钟？", "一个小时有六十分钟。"),
        ("小猫的妈妈是什么动物？", "小猫的妈妈是猫。"),
    ),
}
"""Plain questions with their answers, by language; none is in a preset or a built-in set."""


@dataclass(frozen=True)
class HeldOut:
    """Pairs of both groups."""

    identity: tuple[Pair, ...] = ()
    general: tuple[Pair, ...] = ()


def hold_out(recipe: Recipe, *, also_taught: Collection[str] = ()) -> HeldOut:
    """
    Choose the pairs whose likelihood a run measures; none where it asks nothing.

    Args:
        also_taught: questions that its saved sets ask; its pairs' own are known.
    """
    if not (recipe.checkpoints.evaluate and recipe.probes):
        return HeldOut()
    taught = {folded(question).text for question in chain(_questions(recipe.mix), also_taught)}
    return HeldOut(
        identity=_chosen(_identity_pairs(recipe), taught),
        general=_chosen(_general_pairs(recipe), taught),
    )


def held_out_part(held_out: HeldOut) -> str:
    """Write held-out pairs as a config has them, after its settings."""
    return f"""
# Questions and answers that are not trained on: how likely they are is measured
held_out_identity = {_literal(held_out.identity)}
held_out_general = {_literal(held_out.general)}
"""


def _literal(pairs: Iterable[Pair]) -> str:
    lines = "".join(f"    [{pair.question!r}, {pair.answer!r}],\n" for pair in pairs)
    return f"[\n{lines}]" if lines else "[]"


def hold_out_of_rows(recipe: Recipe, rows: Path) -> HeldOut:
    """Choose the pairs as `hold_out` does, and look for their questions among the rows of saved sets too."""
    if not recipe.mix.files:
        return hold_out(recipe)
    candidates = {pair.question for pair in chain(_identity_pairs(recipe), _general_pairs(recipe))}
    return hold_out(recipe, also_taught=_asked_in(rows, candidates))


def _asked_in(rows: Path, questions: Collection[str]) -> set[str]:
    """Return those of some questions that rows in xtuner's form ask."""
    wanted = {folded(question).text: question for question in questions}
    longest = 2 * max(map(len, questions), default=0)  # a longer text can differ in spaces and marks, not by so many
    found = set()
    with rows.open(encoding="utf-8") as lines:
        for line in lines:
            for turn in json.loads(line)["conversation"]:
                if len(turn["input"]) <= longest and (same := wanted.get(folded(turn["input"]).text)):
                    found.add(same)
    return found


def _chosen(pairs: Iterable[Pair], taught: set[tuple[str, ...]]) -> tuple[Pair, ...]:
    """Take the first few that are short enough, not taught, and not there already."""
    seen, chosen = set(taught), []
    for pair in pairs:
        question = folded(pair.question).text
        if question in seen or len(pair.question) + len(pair.answer) > LONGEST_PAIR:
            continue
        seen.add(question)
        chosen.append(pair)
    return tuple(chosen[:MOST_PAIRS])


def _questions(mix: Mix) -> Iterator[str]:
    return (pair.question for pair in chain(identity_of(mix), general_of(mix)))


def language_of(text: str) -> str:
    """Return `zh` for a text with Chinese characters, and `en` for all others."""
    return CHINESE if has_characters(text) else ENGLISH


def _identity_pairs(recipe: Recipe) -> Iterator[Pair]:
    answers = tuple(dict.fromkeys(pair.answer for pair in identity_of(recipe.mix)))
    if not answers:
        return
    own = [probe.question for probe in recipe.probes if probe.group is ProbeGroup.IDENTITY]
    for question in own:
        fitting = [answer for answer in answers if language_of(answer) == language_of(question)]
        yield Pair.model_construct(question=question, answer=(fitting or list(answers))[0])
    yield from _other_phrasings(answers)


def _other_phrasings(answers: Sequence[str]) -> Iterator[Pair]:
    """Ask for each taught answer in its own language, in turn."""
    unused = {language: iter(phrasings) for language, phrasings in OTHER_PHRASINGS.items()}
    for answer in cycle(answers):
        question = next(unused[language_of(answer)], None)
        if question is None:
            return
        yield Pair.model_construct(question=question, answer=answer)


def _general_pairs(recipe: Recipe) -> Iterator[Pair]:
    for probe in recipe.probes:
        if probe.group is ProbeGroup.GENERAL and probe.reference:
            yield Pair.model_construct(question=probe.question, answer=probe.reference)
    texts = [*_questions(recipe.mix), *(probe.question for probe in recipe.probes)]
    languages = [language for language in PLAIN if any(language_of(text) == language for text in texts)]
    for row in zip_longest(*(PLAIN[language] for language in languages)):
        for question, answer in row:
            yield Pair.model_construct(question=question, answer=answer)
