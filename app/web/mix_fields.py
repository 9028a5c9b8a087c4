"""
The fields of the mix whose form is not the recipe's: amounts with their kind, variables as rows.

On the page a source has copies or a share in percent; in the recipe it has a count and a share
from 0 to 1, and the share wins. Variables are rows of name and value here, and a table there.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from app.domain.errors import FieldError
from app.domain.messages import message

BY, SHARE, COPIES = "by", "share", "copies"
DIGITS = 2  # that a percentage is longer than its share: shifted in decimal, it reads back as the same number
VARIABLES = "mix.variables"


def read_amounts(mix: Any) -> None:  # noqa: ANN401 - a tree of texts
    """Turn each amount and its kind into a count and a share; a share that is no number stays as typed."""
    if not isinstance(mix, dict):
        return
    for name in ("identity", "general"):
        _read_share(mix, share=f"{name}_share", kind=f"{name}_by")
    for file in mix.get("files") or ():
        if isinstance(file, dict):
            _read_share(file, share=SHARE, kind=BY)


def _read_share(fields: dict[str, Any], *, share: str, kind: str) -> None:
    is_share = fields.pop(kind, COPIES) == SHARE
    if share in fields:
        fields[share] = _fraction(fields[share]) if is_share else None


def _fraction(text: Any) -> Any:  # noqa: ANN401 - a text
    try:
        return float(Decimal(str(text).strip().removesuffix("%")).scaleb(-DIGITS))
    except (ArithmeticError, ValueError):
        return text


def percent_text(share: Any) -> str:  # noqa: ANN401 - a share, or what was typed for one
    """Write a share as it is typed, with all of its digits and no more."""
    if share is None:
        return ""
    if not isinstance(share, float):
        return str(share)
    is_share = 0 < share < 1
    return f"{Decimal(repr(share)).scaleb(DIGITS).normalize():f}" if is_share else f"{share * 10**DIGITS:.6g}"


def in_percent(problem: FieldError, typed: Any) -> FieldError:  # noqa: ANN401 - whatever stands there
    """Say what a share may be in the unit that it is typed in."""
    if problem.field.endswith(SHARE) and isinstance(typed, float) and not 0 < typed < 1:
        return FieldError(problem.field, message("Give a share above 0 and below 100 percent."))
    return problem


# ── Variables ──────────────────────────────────────────────────────────────


def variable_rows(variables: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ANN401 - rows of a form, or a recipe's table
    """Return variables as rows, whichever form they are in."""
    if isinstance(variables, Mapping):
        return [{"name": name, "value": value} for name, value in variables.items()]
    if isinstance(variables, list | tuple):
        return [row for row in variables if isinstance(row, Mapping)]
    return []


def with_table_of_variables(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with its variables as the recipe has them; rows without a name are left out."""
    mix = data.get("mix")
    if not isinstance(mix, Mapping) or not isinstance(mix.get("variables"), list | tuple):
        return dict(data)
    table = {str(row.get("name", "")).strip(): row.get("value", "") for row in variable_rows(mix["variables"])}
    table.pop("", None)
    return {**data, "mix": {**mix, "variables": table}}


def variable_problems(data: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield what is wrong with the rows of variables themselves."""
    mix = data.get("mix")
    rows = variable_rows(mix.get("variables")) if isinstance(mix, Mapping) else []
    names = [str(row.get("name", "")).strip() for row in rows]
    for number, name in enumerate(names):
        if not name and str(rows[number].get("value", "")).strip():
            yield FieldError(f"{VARIABLES}.{number}.name", message("Write something here."))
        elif name and name in names[:number]:
            yield FieldError(
                f"{VARIABLES}.{number}.name", message("“{name}” stands here twice. Take one of them out.", name=name)
            )


def at_row(data: Mapping[str, Any], problem: FieldError, *, is_of_value: bool) -> FieldError:
    """Lead a problem with a variable to the row that it is typed in."""
    path, _, name = problem.field.partition(f"{VARIABLES}.")
    if path or not name:
        return problem
    mix = data.get("mix")
    rows = variable_rows(mix.get("variables")) if isinstance(mix, Mapping) else []
    for number, row in enumerate(rows):
        if str(row.get("name", "")).strip() == name:
            return FieldError(f"{VARIABLES}.{number}.{'value' if is_of_value else 'name'}", problem.message)
    return problem
