"""
Sentences meant for a user, kept translatable until the moment they are shown.

A message is its English template and the values that fill it. The domain never knows the
reader's language; the web layer looks the template up in its catalogue and fills it then.
"""

from dataclasses import dataclass, field


def N_(template: str) -> str:  # noqa: N802 - the name Babel and gettext use for "extract, translate later"
    """Mark a template for the catalogues and return it unchanged."""
    return template


@dataclass(frozen=True)
class Message:
    """One sentence: an English template in `str.format` form, and its values."""

    template: str
    values: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Fill the English template."""
        return self.template.format(**self.values)


def message(template: str, **values: object) -> Message:
    """Make a message; Babel extracts `template` from this call."""
    return Message(template, values)
