"""
How a turn becomes text: xtuner's prompt templates, read by `ast` out of its source and never run.

Lays out what is trained on, as `template_map_fn` does. Does not cover how questions are asked of a
checkpoint: the engine does that with xtuner's own objects.
"""

import ast
from dataclasses import dataclass
from functools import cache

from app.domain.errors import UnavailableError
from app.domain.messages import message
from app.domain.xtuner_source import PlainConfig, arguments_of, package_folder


@dataclass(frozen=True)
class PromptTemplate:
    """
    One of xtuner's templates.

    Source:
        xtuner 0.2.0 `utils/templates.py`, `dataset/map_fns/template_map_fn.py`.
    """

    name: str
    instruction: str
    """With places for `{input}` and, in some, `{round}`."""
    system: str | None
    """With a place for `{system}`; None where there is none for a system text, and xtuner fails on one."""
    suffix: str
    """Written behind every answer, and learnt with it."""
    suffix_ends: bool
    """The suffix ends a turn; otherwise the tokenizer's own end does."""
    separator: str
    """Written behind a turn, and not learnt."""

    def lay_out(self, question: str, *, system: str, turn: int) -> str:
        """
        Return the text of a turn up to its answer.

        Args:
            turn: counted from 0.

        Raises:
            UnavailableError: there is a system text and no place for it.
        """
        text = self.instruction.format(input=question, round=turn + 1)
        if not system:
            return text
        if self.system is None:
            raise UnavailableError(
                message(
                    "The prompt template {name} has no place for a system text: xtuner fails on it.", name=self.name
                )
            )
        return self.system.format(system=system) + text


@cache
def prompt_templates() -> dict[str, PromptTemplate]:
    """
    Read xtuner's templates out of its source, by name.

    Raises:
        UnavailableError: xtuner is not installed here.
    """
    tree = ast.parse((package_folder() / "utils" / "templates.py").read_text("utf-8"))
    listed = PlainConfig(tree).arguments("PROMPT_TEMPLATE")
    return {name: _template(name, arguments_of(node)) for name, node in listed.items()}


def _template(name: str, arguments: dict[str, ast.expr]) -> PromptTemplate:
    values = {key: ast.literal_eval(node) for key, node in arguments.items()}
    return PromptTemplate(
        name=name,
        instruction=values["INSTRUCTION"],
        system=values.get("SYSTEM"),
        suffix=values.get("SUFFIX") or "",
        suffix_ends=bool(values.get("SUFFIX_AS_EOS", False)),
        separator=values.get("SEP", ""),
    )


def prompt_template(name: str) -> PromptTemplate:
    """
    Return one of xtuner's templates.

    Raises:
        UnavailableError: xtuner is not installed here, or has none of this name.
    """
    found = prompt_templates().get(name)
    if found is None:
        raise UnavailableError(message("xtuner has no prompt template named “{name}”.", name=name))
    return found
