"""What every part of a recipe is made of: how a setting describes itself, and what texts may hold."""

import re
from itertools import chain
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

LONGEST_TEXT = 8_000  # characters
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, strip_whitespace=True)]

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class RecipePart(BaseModel):
    """Settings that refuse unknown names, so that a typing error is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever the field holds
        """Refuse a number for true and false, and the other way round: pydantic takes 1 and 0 for either."""
        is_switch = bool in _kinds_of(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and not is_switch:
            raise PydanticKnownError("float_type")
        if isinstance(value, int | float) and not isinstance(value, bool) and is_switch:
            raise PydanticKnownError("bool_parsing")
        return value

    @field_validator("*")
    @classmethod
    def _is_storable(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the field holds
        """Refuse what no database stores in a text: a zero character in Postgres, half of one anywhere."""
        texts = chain.from_iterable(value.items()) if isinstance(value, dict) else (value,)
        for text in texts:
            if isinstance(text, str) and "\x00" in text:
                raise PydanticCustomError("not_storable", "This text holds a zero character.")
            if isinstance(text, str) and _HALF_CHARACTER.search(text):
                raise PydanticCustomError("string_unicode", "This text holds half a character.")
        return value


def _kinds_of(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - of a field
    return (annotation, *get_args(annotation))


def setting(
    default: Any = ...,  # noqa: ANN401 - pydantic's own signature
    *,
    title: str,
    help: str,  # noqa: A002 - the word the form uses
    unit: str = "",
    xtuner: str = "",
    **bounds: Any,  # noqa: ANN401 - pydantic's own keywords
) -> Any:  # noqa: ANN401 - pydantic's own signature
    """Describe one setting; `xtuner` is the value that xtuner's own 1.8B QLoRA config has."""
    extra: dict[str, JsonValue] = {"unit": unit, "xtuner": xtuner}
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)
