"""Commands that work on a database itself, and must not be taken for those that a server elsewhere obeys."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from app.cli.output import fail, left_in_home, token_of_settings
from app.config import settings

Given = ParamSpec("Given")
Result = TypeVar("Result")


def here(command: Callable[Given, Result]) -> Callable[Given, Result]:
    """Refuse a command while the settings name a server, with a token for it, and neither is this home's own."""

    @wraps(command)
    def checked(*arguments: Given.args, **options: Given.kwargs) -> Result:
        url, token = settings().url.rstrip("/"), token_of_settings()
        if url and token and url != left_in_home("url") and token != left_in_home("token"):
            fail(
                f"TEMPER_URL and TEMPER_TOKEN name the server at {url}, and this command works on the database itself, "
                f"here that of {settings().home}. Type it on that server's machine, or unset TEMPER_TOKEN first."
            )
        return command(*arguments, **options)

    return checked
