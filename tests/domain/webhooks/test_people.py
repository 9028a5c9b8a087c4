"""Notifications through apprise: which services, and what its process may not do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import InvalidError
from app.domain.webhooks.models import DeliveryProblem
from app.domain.webhooks.people import SERVICES, check_person_address, hidden, tell_people, without_secrets
from tests.receivers import Receiver, allow_loopback, receiving

DANGEROUS = (
    "syslog", "rsyslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "growl", "blink1", "vapid",
    "fcm", "deltachat", "json", "xml", "form", "apprise", "mqtt", "amqp", "irc", "xmpp", "smpp", "kodi", "nostr",
)  # fmt: skip


@pytest.mark.parametrize("service", DANGEROUS)
def test_a_service_that_acts_on_this_machine_is_refused(service: str) -> None:
    """As is whatever posts to an address of one's own choice: a webhook does that, and signs."""
    assert not {service, f"{service}s"} & SERVICES
    with pytest.raises(InvalidError, match="address"):
        check_person_address(f"{service}://localhost/x")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ntfy",
        "ntfy://",
        "ntfy://x/\n",
        "file:///etc/passwd",
        "workflows://h:443/a/b/c?template=/etc/passwd",
        "mailto://u:p@x.example?pgpprv=/etc/ssl/private/key.pem",
        "ntfys://ntfy.sh/topic?redirect=yes",
        "ntfys://ntfy.sh/topic?Verify=no",
    ],
)
def test_an_address_that_names_files_or_loosens_checks_is_refused(address: str) -> None:
    """Before apprise sees it."""
    with pytest.raises(InvalidError):
        check_person_address(address)


def test_apprise_says_whether_it_can_read_an_address(home: object) -> None:
    """Nothing is sent for that."""
    check_person_address("ntfys://ntfy.sh/topic")
    with pytest.raises(InvalidError):
        check_person_address("tgram://nothing")


def test_a_sentence_arrives(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an admin of the machine has opened the network."""
    allow_loopback(monkeypatch)
    with receiving(Receiver(text="{}")) as receiver:
        outcome = tell_people(f"ntfy://127.0.0.1:{receiver.port}/topic", "Run 1 has finished.")

    assert outcome.problem is None, outcome
    assert b"Run 1 has finished." in receiver.requests[0][2]


def test_apprise_reaches_no_private_address(home: object) -> None:
    """Its connections are looked at where they are made, whatever it was told."""
    with receiving(Receiver(text="{}")) as receiver:
        outcome = tell_people(f"ntfy://localhost:{receiver.port}/topic", "Hello")

    assert (outcome.problem, receiver.requests) == (DeliveryProblem.BAD_ADDRESS, [])
    assert outcome.detail in {"127.0.0.1", "::1"}


def test_a_redirect_is_not_followed(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what answers with one a success; no word of the address is in what is told of it."""
    allow_loopback(monkeypatch)
    with (
        receiving(Receiver(text="{}")) as other,
        receiving(Receiver(status=307, headers={"Location": other.url})) as first,
    ):
        outcome = tell_people(f"ntfy://127.0.0.1:{first.port}/secrettopic", "Hello")

    assert (outcome.problem, other.requests) == (DeliveryProblem.NOT_TAKEN, [])
    assert "secrettopic" not in outcome.detail


ATTACKS = {
    "a program": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "a fork": "import os; os.fork()",
    "a file": "open('/tmp/canary-of-the-speaker', 'w')",
    "a file below Python's own": "import os; os.open('/tmp/canary-of-the-speaker', os.O_RDWR | os.O_CREAT)",
    "a socket of this machine": "import socket; socket.socket(socket.AF_UNIX).connect('/run/x')",
    "the metadata of a cloud": "import socket; socket.create_connection(('169.254.169.254', 80), 0.1)",
    "a datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 514))",
}


GUARDED = """
import json, sys
from app.domain.webhooks.speaker import Guard
sys.addaudithook(Guard([]))
done = []
for name, code in json.loads(sys.argv[1]).items():
    try:
        exec(code, {})
    except PermissionError:
        continue
    except OSError:
        pass
    done.append(name)
print(json.dumps(done))
"""


def test_its_process_starts_writes_and_reaches_nothing() -> None:
    """Each is refused where it is tried, before the system is asked."""
    told = subprocess.run([sys.executable, "-c", GUARDED, json.dumps(ATTACKS)], capture_output=True, check=True)

    assert json.loads(told.stdout) == []
    assert not Path("/tmp/canary-of-the-speaker").exists()  # noqa: S108 - what an attack would have written


def test_what_is_told_of_an_address_is_its_service() -> None:
    """Tokens and passwords are in the rest of it."""
    address = "tgram://123456789:AAHsecretToken/42"

    assert hidden(address) == "tgram://…"
    assert (
        without_secrets("Failed at https://x/bot123456789:AAHsecretToken/send", address)
        == "Failed at https://x/bot…:…/send"
    )
