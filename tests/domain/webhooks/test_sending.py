"""One POST, to the address that was checked and to no other."""

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore2 as httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.domain.webhooks import sending
from app.domain.webhooks.models import DeliveryProblem
from app.domain.webhooks.sending import KEPT_REPLY, Outcome, _TimedStream, post
from tests.receivers import Receiver, allow_loopback, receiving


@pytest.fixture
def receiver(home: object, monkeypatch: pytest.MonkeyPatch):
    """Return a receiver on this machine, which webhooks may reach."""
    allow_loopback(monkeypatch)
    with receiving(Receiver()) as receiver:
        yield receiver


def send(url: str, **options) -> Outcome:
    """Send a small body."""
    return post(url, b'{"a": 1}', {"webhook-id": "msg_1"}, **options)


def test_a_body_arrives_with_its_headers(receiver: Receiver) -> None:
    """The path and the query too; what was answered is kept."""
    outcome = send(receiver.url + "?x=1")

    (path, headers, body) = receiver.requests[0]
    assert (path, headers["webhook-id"], headers["host"], body) == (
        "/hook?x=1", "msg_1", f"127.0.0.1:{receiver.port}", b'{"a": 1}',
    )  # fmt: skip
    assert (outcome.problem, outcome.status_code, outcome.reply) == (None, 200, "thanks")


def test_a_name_is_looked_up_once_and_kept_in_the_request(receiver: Receiver) -> None:
    """A name that answers differently the second time is never asked a second time."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    outcome = send(f"http://hooks.example.com:{receiver.port}/", resolve=rebinding)

    assert (outcome.problem, asked) == (None, ["hooks.example.com"])
    assert receiver.requests[0][1]["host"] == f"hooks.example.com:{receiver.port}"


def test_a_name_that_leads_inside_is_not_connected_to(home: object) -> None:
    """Not even where the first address that it gives is public."""
    with receiving(Receiver()) as receiver:
        inside = send(f"http://hooks.example.com:{receiver.port}/", resolve=lambda *_: ["127.0.0.1"])
        both = send(f"http://hooks.example.com:{receiver.port}/", resolve=lambda *_: ["1.1.1.1", "127.0.0.1"])
        plain = send(receiver.url)

    assert [each.problem for each in (inside, both, plain)] == [DeliveryProblem.BAD_ADDRESS] * 3
    assert (inside.detail, receiver.requests) == ("127.0.0.1", [])


def test_tls_goes_by_the_name_and_not_by_the_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The certificate of the name is asked for and checked, though the connection is made to an address."""
    certificate, key = make_certificate(tmp_path, "hooks.example.com")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: asked.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with receiving(Receiver(), tls=served) as secure:
        refused = send(f"https://hooks.example.com:{secure.port}/", resolve=lambda *_: ["127.0.0.1"])
        monkeypatch.setattr(sending, "_tls", lambda: trusting)
        taken = send(f"https://hooks.example.com:{secure.port}/", resolve=lambda *_: ["127.0.0.1"])
        other = send(f"https://other.example.com:{secure.port}/", resolve=lambda *_: ["127.0.0.1"])

    assert [each.problem for each in (refused, taken, other)] == [
        DeliveryProblem.NO_ANSWER, None, DeliveryProblem.NO_ANSWER,
    ]  # fmt: skip
    assert asked == ["hooks.example.com", "hooks.example.com", "other.example.com"]
    assert len(secure.requests) == 1


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for a name, signed by itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    ends = now + timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key_file


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It counts as not taken, wherever it leads."""
    with receiving(Receiver()) as other:
        receiver.status, receiver.headers = 307, {"Location": other.url}

        outcome = send(receiver.url)

    assert (outcome.problem, outcome.status_code, other.requests) == (DeliveryProblem.NOT_TAKEN, 307, [])


def test_gone_is_told_apart(receiver: Receiver) -> None:
    """410 says that nobody wants to hear any more."""
    receiver.status = 410

    assert send(receiver.url).problem is DeliveryProblem.GONE


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to what was not checked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")

    assert send(receiver.url).problem is None


def test_a_long_answer_is_cut_and_is_text(receiver: Receiver) -> None:
    """What is no text is replaced, and of a megabyte a few hundred characters are kept."""
    receiver.text = "\x1b[31m\0" + "a" * 1_000_000

    reply = send(receiver.url).reply

    assert reply.startswith("�[31m�aaa")
    assert len(reply) == KEPT_REPLY


def test_nobody_there_is_a_problem_and_no_exception(receiver: Receiver) -> None:
    """A closed port, a name that is none, and an answer that is no HTTP."""
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()

    def no_such_name(*_: object) -> list[str]:
        raise socket.gaierror("no such name")

    outcomes = [send(f"http://127.0.0.1:{port}/"), send("http://x.example/", resolve=no_such_name)]

    assert [each.problem for each in outcomes] == [DeliveryProblem.NO_ANSWER] * 2


def test_a_slow_answer_ends_in_time(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is a problem like any other."""
    monkeypatch.setattr(sending, "MOST_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert send(f"http://127.0.0.1:{silent.getsockname()[1]}/").problem is DeliveryProblem.TOO_SLOW


class Dripping(httpcore.NetworkStream):
    """A connection that always has one byte more."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - as any stream
        """Return it at once."""
        return b"x"


def test_a_try_is_over_at_a_moment_and_not_at_a_silence() -> None:
    """An answer that drips for ever never runs into a timeout of a single read."""
    assert _TimedStream(Dripping(), time.monotonic() + 60).read(1) == b"x"
    with pytest.raises(httpcore.ReadTimeout):
        _TimedStream(Dripping(), time.monotonic()).read(1)
