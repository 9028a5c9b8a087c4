"""
What an upload of 1 GB costs the web process, and how long it takes.

Writes a file of short rows, starts a real server on the loopback with a home of its own, uploads
the file as the `temper` command does, and reads the kernel's own record of the most memory that
the server ever held. The processor is shared by the client, the server and the reader. Everything
is deleted at the end.

Run: `python -m benchmarks.upload_memory`, or with another size: `python -m benchmarks.upload_memory 200000000`.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SIZE_BYTES = 1_000_000_000
AIM_BYTES = 300_000_000
ROWS_PER_LOOK = 1_000  # asking a text file where it is takes long
LOOK_SECONDS = 0.05  # between two looks at the reader, which does not live long enough to be asked at the end


def main() -> None:
    """Print what was measured; exit 1 when the aim is missed."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE_BYTES
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as home:
        os.environ |= {"TEMPER_HOME": home, "TEMPER_ASSETS": "local"}
        raise SystemExit(_measure(Path(home), size))


def _measure(home: Path, size: int) -> int:
    from app.client import TemperClient  # noqa: PLC0415 - after the home is set
    from app.serve import listen, url_of  # noqa: PLC0415

    token = _token()
    path = home / "rows.jsonl"
    rows = _write_rows(path, size)
    os.environ["TEMPER_PORT"] = "0"
    with listen() as listener:
        server = subprocess.Popen(
            [sys.executable, "-m", "app.serve", str(listener.fileno())], pass_fds=(listener.fileno(),)
        )
        try:
            readers = _Watch(server.pid)
            with TemperClient(url_of(listener), token) as temper:
                temper.models()  # the server has started, and its memory is that of one that works
                before = _peak(server.pid)
                readers.start()
                began = time.perf_counter()
                dataset = temper.upload_dataset(path, name="a gigabyte")
                took = time.perf_counter() - began
            readers.stop()
            peak = _peak(server.pid)
        finally:
            server.terminate()
            server.wait(30)
    if dataset["rows"] != rows:
        raise SystemExit(f"{rows} rows were sent and {dataset['rows']} stored")
    print(
        f"{path.stat().st_size / 1e9:.2f} GB, {rows:,} rows in {took:.1f} s ({rows / took:,.0f} rows/s); "
        f"the web process held at most {peak / 1e6:.0f} MB ({before / 1e6:.0f} MB before the upload), "
        f"the reader {readers.most / 1e6:.0f} MB"
    )
    return int(peak > AIM_BYTES)


def _token() -> str:
    from app.config import settings  # noqa: PLC0415
    from app.domain import accounts, db  # noqa: PLC0415
    from app.domain.migrate import upgrade  # noqa: PLC0415

    upgrade(settings().database)
    with db.unit_of_work() as session:
        return accounts.create_token(session, accounts.first_admin(session), name="bench")


def _write_rows(path: Path, size: int) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        while rows % ROWS_PER_LOOK or file.tell() < size:
            row = {"question": f"What is {rows}, and why?", "answer": f"It is the number {rows}; 之后是 {rows + 1}。"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            rows += 1
    return rows


def _peak(pid: int) -> int:
    """Return the most memory that a process has held so far, in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM")), 0)


class _Watch(threading.Thread):
    """Looks at the children of a server while they live."""

    def __init__(self, server: int) -> None:
        super().__init__(daemon=True)
        self.server, self.most, self._has_ended = server, 0, threading.Event()

    def run(self) -> None:
        """Look now and again."""
        while not self._has_ended.wait(LOOK_SECONDS):
            for path in Path(f"/proc/{self.server}/task").glob("*/children"):
                try:
                    children = path.read_text("utf-8").split()
                except OSError:  # the thread has ended
                    continue
                self.most = max(self.most, *map(_peak, map(int, children)), 0)

    def stop(self) -> None:
        """End, and keep what was seen."""
        self._has_ended.set()
        self.join()


if __name__ == "__main__":
    main()
