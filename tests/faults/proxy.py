"""A network between two programs that a test can disturb: slow, silent, cut, or cut again and again."""

import socket
import struct
import threading
import time
from contextlib import suppress

CHUNK_BYTES = 1 << 16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a firewall does
WAIT_SECONDS = 0.1  # between two looks at what is wanted


class Proxy:
    """Passes connections on to a port of this machine, as well as it is told to."""

    def __init__(self, target: int) -> None:
        """Listen on a free port and pass everything on to `target`."""
        self.delay_seconds = 0.0
        self.is_silent = False
        self._is_cut = False
        self._target, self._ends = target, set[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until `mend`."""
        self._is_cut = True
        for end in list(self._ends):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)
                end.close()

    def mend(self) -> None:
        """Pass everything on again."""
        self._is_cut, self.is_silent, self.delay_seconds = False, False, 0.0

    def close(self) -> None:
        """End all of it."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                time.sleep(self.delay_seconds)
                while self.is_silent:
                    time.sleep(WAIT_SECONDS)
                sink.sendall(data)
        for end in (source, sink):
            self._ends.discard(end)
            with suppress(OSError):
                end.close()
