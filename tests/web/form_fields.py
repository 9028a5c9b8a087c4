"""What a browser would send of a form on a page."""

from typing import Any

from bs4 import BeautifulSoup, Tag


def soup_of(reply: Any) -> BeautifulSoup:
    """Parse a reply; what is in a `template` is no part of the page."""
    page = BeautifulSoup(reply.text, "html.parser")
    for template in page.select("template"):
        template.decompose()
    return page


def fields_of(page: BeautifulSoup, form_id: str = "recipe-form") -> dict[str, list[str]]:
    """Return the names and values that a browser would send."""
    fields: dict[str, list[str]] = {}
    for control in page.select(f"#{form_id} [name]"):
        value = _value_of(control)
        if value is not None:
            fields.setdefault(str(control["name"]), []).append(value)
    return fields


def _value_of(control: Tag) -> str | None:
    if control.name == "textarea":
        return control.text.removeprefix("\n")
    if control.name == "select":
        chosen = control.select_one("option[selected]") or control.select_one("option")
        return str(chosen["value"]) if chosen else None
    if control.get("type") in {"checkbox", "radio"} and not control.has_attr("checked"):
        return None
    return str(control.get("value", ""))


def filled(page: BeautifulSoup, **changes: str | list[str] | None) -> dict[str, list[str]]:
    """Return a page's fields with some changed, by name with `__` for a dot; None leaves a field out."""
    fields = fields_of(page)
    for name, value in changes.items():
        path = name.replace("__", ".")
        fields.pop(path, None)
        if value is not None:
            fields[path] = [value] if isinstance(value, str) else value
    return fields
