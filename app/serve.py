"""
One web server: `temper web`, and the child of `temper up`.

Listens on a socket that is already bound, so that a taken port is known before anything starts.
"""

import ipaddress
import socket
import sys
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError, ProgrammingError

from app.config import is_loopback, settings
from app.domain import accounts, db

if TYPE_CHECKING:
    import uvicorn

SWITCH_SECONDS = 0.001  # a thread that makes a page lets those that have little to do in so soon; Python's own is 5 ms
GRACE_SECONDS = 5  # for answers that are on their way; streams are told to come again


class OpenDoorError(Exception):
    """The server would listen to other machines, and nobody has set a password."""

    def __init__(self, host: str) -> None:
        """Say what to do."""
        super().__init__(
            f"TEMPER_HOST={host} lets other machines in, and no password is set. Run `temper password` first."
        )


def check_host() -> None:
    """Refuse to listen to other machines before there is a password; OpenDoorError when that is so."""
    host = settings().host
    if is_loopback(host):
        return
    try:
        with db.reading() as session:
            is_set = accounts.is_password_set(session)
    except (OperationalError, ProgrammingError):  # no tables yet
        is_set = False
    if not is_set:
        raise OpenDoorError(host)


def listen() -> socket.socket:
    """Bind the address of the settings; OSError when it is taken."""
    host = settings().host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, settings().port), family=family, backlog=2_048)


def url_of(listener: socket.socket) -> str:
    """Return the address under which this machine reaches a bound socket."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(listener: socket.socket) -> None:
    """Serve until told to stop."""
    sys.setswitchinterval(SWITCH_SECONDS)
    import uvicorn  # noqa: PLC0415 - the command must start fast where it does not serve

    uvicorn.Server(web_config()).run(sockets=[listener])


def web_config() -> "uvicorn.Config":
    """Return how the web application is served."""
    import uvicorn  # noqa: PLC0415 - the command must start fast where it does not serve

    proxies = [str(network) for network in settings().trusted_proxies]
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        log_level="warning",
        access_log=False,  # addresses hold one-time codes
        server_header=False,
        proxy_headers=bool(proxies),  # an address that a client writes itself must not count
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
