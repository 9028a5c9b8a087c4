"""
From the whole text that a checkpoint wrote to what it answered.

xtuner writes down the prompt with its markers, the answer and the end tokens in one piece. The prompt is
found again by laying the question out as the template does; where the question or the template is not
known, the markers of every template are tried.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from app.domain.errors import UnavailableError
from app.domain.importing.found import Said
from app.domain.importing.places import fitting
from app.domain.prompt_templates import PromptTemplate, prompt_templates
from app.domain.recipe_parts import LONGEST_TEXT

MOST_TEMPLATES = 64
_ENDS = (  # what models end a turn with: nothing that follows is an answer
    *("<|im_end|>", "<eoa>", "<|eot_id|>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>"),
    *("<|end|>", "<eom>", "<eoc>", "<|endoftext|>"),
)
_LAST = ("</s>", "<eos>", "<|end_of_text|>", "<pad>", "[PAD]")  # at the very end alone: text may hold them
_OUTPUT = re.compile(r"^Eval output (\d{1,4}):\n", re.MULTILINE)
_MARKERS = (  # before a question, and before its answer; the most telling first
    ("<|im_start|>user\n", "<|im_start|>assistant\n"),
    ("<|User|>:", "<|Bot|>:"),
    ("<|start_header_id|>user<|end_header_id|>", "<|start_header_id|>assistant<|end_header_id|>"),
    ("<start_of_turn>user\n", "<start_of_turn>model\n"),
    ("<|user|>\n", "<|assistant|>\n"),
    ("<|user|>", "<|assistant|>"),
    ("<|Human|>:", "<eoh>\n"),
    ("[INST]", "[/INST]"),
    ("问：", "答："),
    ("### Instruction:\n", "### Response:"),
    ("<用户>", "<AI>"),
    ("USER:", "ASSISTANT:"),
    ("User:", "Assistant:"),
)


def outputs_in(text: str) -> list[str]:
    """
    Split a file of answers into whole texts, in the order of the questions.

    Heads are counted: a line like one inside of an answer is a part of it, unless it has the very next number.
    """
    heads, wanted = [], 1
    for found in _OUTPUT.finditer(text):
        if int(found[1]) == wanted:
            heads.append(found)
            wanted += 1
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [text[head.end() : end].strip("\n") for head, end in zip(heads, ends, strict=True)]


def read_exchanges(
    texts: Sequence[str], *, questions: Sequence[str] = (), template: str = "", system: str = ""
) -> tuple[Said, ...]:
    """
    Return what was asked and answered.

    Args:
        texts: whole, one for each question.
        questions: those of the config, in the same order.
        template: xtuner's name of the prompt template; empty where it is not known.
        system: the text that went before each question.
    """
    known = _templates(template)
    found = (
        read_exchange(text, question=questions[at] if at < len(questions) else "", templates=known, system=system)
        for at, text in enumerate(texts)
    )
    return tuple(found)


def read_exchange(text: str, *, question: str, templates: Sequence[PromptTemplate], system: str = "") -> Said:
    """Return the question and the answer of one whole text."""
    asked, said = question.strip(), text
    for prompt in _prompts(asked, templates, system) if asked else ():
        end = end_of(prompt, text)
        if end is not None:
            said = text[end:]
            break
    else:
        asked, said = _by_markers(text, asked)
    answer, ended = without_end(said, templates[0] if len(templates) == 1 else None)
    return Said(_fitting(asked), _fitting(answer), ended)


def _fitting(text: str) -> str:
    return fitting(text).strip()[:LONGEST_TEXT]


def _templates(name: str) -> list[PromptTemplate]:
    try:
        known = prompt_templates()
    except UnavailableError:  # xtuner is not installed here: the markers have to do
        return []
    return [known[name]] if name in known else list(known.values())[:MOST_TEMPLATES]


# ── The prompt ─────────────────────────────────────────────────────────────


def _prompts(question: str, templates: Sequence[PromptTemplate], system: str) -> Iterator[str]:
    """Yield how the question may have been laid out, the longest first."""
    for given in (system, "") if system else ("",):
        for template in templates:
            if given and template.system is None:
                continue
            yield template.lay_out(question, system=given, turn=0)


def end_of(prompt: str, text: str) -> int | None:
    """Return where a prompt ends in a text, whatever spaces a tokenizer has put around its marks."""
    found = _span_of(prompt, text)
    return found[1] if found else None


def _span_of(wanted: str, text: str, *, after: int = 0) -> tuple[int, int] | None:
    """Return where a text stands in another one, spaces left out of both."""
    sought = "".join(wanted.split())
    letters, places = _without_spaces(text)
    begin = letters.find(sought, bisect_left(places, after)) if sought else -1
    return None if begin < 0 else (places[begin], places[begin + len(sought) - 1] + 1)


@lru_cache(maxsize=1)  # one long text after the other is searched for the prompts of all templates
def _without_spaces(text: str) -> tuple[str, Sequence[int]]:
    """Return the letters of a text, and where each stands."""
    return "".join(text.split()), [at for at, letter in enumerate(text) if not letter.isspace()]


def _by_markers(text: str, question: str) -> tuple[str, str]:
    """Take question and answer apart by the first markers that are there; the question of the config goes before."""
    for before, after in _MARKERS:
        begin = _span_of(before, text)
        end = _span_of(after, text, after=begin[1]) if begin else None
        if begin and end:
            return question or _until_end(text[begin[1] : end[0]]), text[end[1] :]
    at = text.find(question) if question else -1
    return (question, text[at + len(question) :]) if at >= 0 else (question, text)


def _until_end(text: str) -> str:
    return re.split("|".join(map(re.escape, (*_ENDS, "<eoh>"))), text, maxsplit=1)[0]


# ── The end ────────────────────────────────────────────────────────────────


def without_end(text: str, template: PromptTemplate | None) -> tuple[str, Literal["stop", "length"]]:
    """Return an answer without its end tokens, and whether it ended by itself or was cut."""
    marks = (template.suffix, *_ENDS) if template and template.suffix else _ENDS
    ends = [at for mark in marks if (at := text.find(mark)) >= 0]
    has_ended = bool(ends)
    text = text[: min(ends)] if ends else text
    shorter = _without_last(text)
    return shorter.strip(), "stop" if has_ended or shorter != text.rstrip() else "length"


def _without_last(text: str) -> str:
    text = text.rstrip()
    while found := next((mark for mark in _LAST if text.endswith(mark)), None):
        text = text.removesuffix(found).rstrip()
    return text
