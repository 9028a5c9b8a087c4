"""
What a confined child tries, run as an engine is: `python -m app.confined REACH tests.attacks.probes TRY ARGUMENT`.

Prints `done` where it could, and the name of the error where it could not. Imports nothing that needs a file of its
own beside Python's.
"""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def write(path: str) -> None:
    """Write a file."""
    Path(path).write_text("taken")


def read(path: str) -> None:
    """Read a file."""
    Path(path).read_bytes()


def link(path: str) -> None:
    """Make a link to /etc."""
    Path(path).symlink_to("/etc")


def pipe(path: str) -> None:
    """Make a named pipe."""
    os.mkfifo(path)


def device(path: str) -> None:
    """Make the device of the machine's memory."""
    os.mknod(path, 0o20600, os.makedev(1, 1))


def connect(port: str) -> None:
    """Connect to a port of this machine."""
    socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()


def listen(_: str) -> None:
    """Listen to a port."""
    socket.create_server(("127.0.0.1", 0)).close()


def datagram(port: str) -> None:
    """Send a datagram, as a question to a name server is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", int(port)))


def abstract(name: str) -> None:
    """Connect to an abstract unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)


def unix(path: str) -> None:
    """Connect to a unix socket in a folder, as the queue's is."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def ring(_: str) -> None:
    """Set up io_uring, which opens sockets past every filter of calls."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 1, ctypes.create_string_buffer(248)) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def signal_parent(pid: str) -> None:
    """Signal who started it."""
    os.kill(int(pid), 0)


def environment_of(pid: str) -> None:
    """Read the environment of another process."""
    Path(f"/proc/{pid}/environ").read_bytes()


def by_a_child(path: str) -> None:
    """Write a file by a program that it starts."""
    subprocess.run(["/bin/sh", "-c", 'echo taken > "$0"', path], check=True, stderr=subprocess.DEVNULL)


def in_another_folder(path: str) -> None:
    """Move a file of its own out of its folder."""
    own = Path.cwd() / "own"
    own.write_text("taken")
    own.rename(path)


def shared_memory(_: str) -> None:
    """Use what data loaders hand batches over in."""
    from multiprocessing import shared_memory as memory

    block = memory.SharedMemory(create=True, size=64)
    block.close()
    block.unlink()


def main() -> int:
    """Try one thing."""
    tried: Callable[[str], None] = globals()[sys.argv[1]]
    try:
        tried(sys.argv[2])
    except Exception as error:  # noqa: BLE001 - whatever refuses it
        print(type(error).__name__)
        return 1
    print("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
