"""
Sentences to people, through apprise: to chats, phones and mailboxes, and to nothing else.

Apprise also knows addresses that start programs, write files, or speak to the desktop and the system log of
this machine; only the services below are taken, none of which does. It runs in a child process that may start
nothing, write nothing, and connect to addresses that are open to webhooks only (`speaker.py`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any
from urllib.parse import parse_qsl

import app
from app.config import settings
from app.domain.messages import message
from app.domain.webhooks.addresses import LONGEST, refused
from app.domain.webhooks.models import DeliveryProblem
from app.domain.webhooks.sending import KEPT_REPLY, Outcome

SERVICES = frozenset(
    {
        *("mailto", "mailtos", "mailgun", "sendgrid", "brevo", "postmark", "resend"),
        *("slack", "discord", "tgram", "workflows", "workflow", "gchat", "webex", "wxteams", "zulip"),
        *("mmost", "mmosts", "rocket", "rockets", "matrix", "matrixs", "nctalk", "nctalks", "line", "threema"),
        *("dingtalk", "feishu", "lark", "wecombot", "pushplus", "schan", "wxpusher", "pushdeer", "pushdeers"),
        *("ntfy", "ntfys", "gotify", "gotifys", "bark", "barks", "pover", "pbul", "simplepush", "signal", "signals"),
        *("pagerduty", "opsgenie", "splunk", "incidentio"),
    }
)
# They name files of this machine, or take back what is decided here.
REFUSED_PARAMETERS = (
    "template",
    "templates",
    "pgp",
    "wkd",
    "keyfile",
    "subfile",
    "attach",
    "redirect",
    "verify",
    "e2ee",
)
MOST_SECONDS = 40.0  # two addresses of a slow mail server, one after the other
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR")
MODULE = "app.domain.webhooks.speaker"
MOST_SCHEME = 40  # characters of it that are said back
SHORTEST_SECRET = 4  # characters of a part of an address that a log must not show


def check_person_address(address: str) -> None:
    """
    See that an address is one of apprise's that Temper takes.

    Raises:
        InvalidError: at `address`, where it is not.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or len(address) > LONGEST or not address.isprintable():
        raise refused(message("Give an address of apprise, such as ntfys://ntfy.sh/topic or mailtos://…"))
    if scheme.lower() not in SERVICES:
        text = message(
            "{scheme}:// is not taken. Mail, chats and phones are, such as mailtos, slack, discord, tgram, ntfys, "
            "dingtalk, feishu and wecombot: see docs/webhooks.md.",
            scheme=scheme[:MOST_SCHEME],
        )
        raise refused(text)
    if not rest:
        raise refused(message("Say where to: nothing stands behind {scheme}://.", scheme=scheme))
    for name, _ in parse_qsl(address.partition("?")[2], keep_blank_values=True):
        if name.lower().lstrip("+-:").startswith(REFUSED_PARAMETERS):
            raise refused(message("Leave “{name}” out of the address.", name=name))
    if not _ask_speaker({"address": address, "text": ""}).get("is_known"):
        raise refused(message("Apprise cannot read this address. See its page of this service for the form."))


def tell_people(address: str, text: str) -> Outcome:
    """Send a sentence through apprise, and say what became of it."""
    began = time.monotonic()
    answer = _ask_speaker({"address": address, "text": text})
    milliseconds = round(1_000 * (time.monotonic() - began))
    if answer.get("is_sent"):
        return Outcome(None, milliseconds=milliseconds)
    if answer.get("refused"):
        return Outcome(DeliveryProblem.BAD_ADDRESS, str(answer["refused"]), milliseconds=milliseconds)
    if answer.get("is_late"):
        return Outcome(DeliveryProblem.TOO_SLOW, milliseconds=milliseconds)
    problem = without_secrets(str(answer.get("problem", "")), address)
    return Outcome(DeliveryProblem.NOT_TAKEN, problem[:KEPT_REPLY], milliseconds=milliseconds)


def hidden(address: str) -> str:
    """Return what may be shown of an address: its service."""
    return f"{address.partition('://')[0].lower()}://…"


def without_secrets(text: str, address: str) -> str:
    """Return a text without any part of an address."""
    parts = "".join(char if char.isalnum() or char in "_-." else " " for char in address.partition("://")[2]).split()
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_SECRET:
            text = text.replace(part, "…")
    return text


def _ask_speaker(order: dict[str, str]) -> dict[str, Any]:
    allowed = [str(network) for network in settings().webhook_allow_private]
    with tempfile.TemporaryDirectory(prefix="temper-speaker-") as folder:
        try:
            done = subprocess.run(  # noqa: S603 - an argument list of our own making, no shell
                [sys.executable, "-P", "-m", MODULE, str(os.getpid())],
                input=json.dumps(order | {"allowed": allowed}).encode(),
                cwd=folder,
                env=_environment(folder),
                capture_output=True,
                timeout=MOST_SECONDS,
                start_new_session=True,  # a signal to the server's group is not one to it: it dies with its parent
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"is_late": True}
    if done.returncode:
        return {"problem": f"its process ended with code {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _environment(folder: str) -> dict[str, str]:
    """Return where programs are and what language they speak; no proxy, and nothing that is secret."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    source = os.path.dirname(os.path.dirname(os.path.abspath(app.__file__)))  # noqa: PTH120, PTH100
    return passed_on | {
        "PYTHONPATH": source,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": folder,
    }
