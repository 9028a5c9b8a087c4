"""What the client of the REST API asks about datasets; `TemperClient` has it all."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from app.client_types import Dataset, DatasetFindings, DatasetList, DatasetRow

POLL_SECONDS = 1.0
READING_SECONDS = 1_800.0  # a server that reads a file of gigabytes, and others before it


class Connection(Protocol):
    """What sends a request to a server, and takes its answer."""

    def _ask(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401 - whatever the body holds
        """Return the body of an answer."""

    def _send(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401 - an answer
        """Return an answer; TemperError where the server refuses."""

    def _fetch(self, path: str, target: Path, params: Mapping[str, str]) -> None:
        """Write a file that the server sends to `target`."""


class DatasetCalls(Connection, Protocol):
    """Upload, look at, put right and take away datasets."""

    def upload_dataset(self, path: Path, *, name: str = "") -> Dataset:
        """Store a file of rows as the newest version of a name; it is streamed, whatever its size."""
        asked = {"name": name, "filename": path.name}
        with path.open("rb") as file:
            return cast("Dataset", self._ask("POST", "/datasets", params=asked, content=file, timeout=READING_SECONDS))

    def save_mix(self, mix: Mapping[str, Any], *, name: str) -> Dataset:
        """Store the pairs of a mix, each once, as the newest version of a name."""
        return cast("Dataset", self._ask("POST", "/mixes", params={"name": name}, json=dict(mix)))

    def datasets(self, *, query: str = "", offset: int = 0, limit: int = 25) -> DatasetList:
        """Return one page of sets, each at its newest version."""
        asked = {"q": query, "offset": offset, "limit": limit}
        return cast("DatasetList", self._ask("GET", "/datasets", params=asked))

    def dataset(self, dataset_id: int) -> Dataset:
        """Return a version with the others of its name."""
        return cast("Dataset", self._ask("GET", f"/datasets/{dataset_id}"))

    def find_dataset(self, name: str) -> Dataset | None:
        """Return the newest version of a name, None when there is none."""
        found = self._ask("GET", "/datasets", params={"name": name})["datasets"]
        return cast("Dataset", found[0]) if found else None

    def dataset_rows(self, dataset_id: int, *, offset: int = 0, limit: int = 25) -> list[DatasetRow]:
        """Return some rows of a version."""
        asked = {"offset": offset, "limit": limit}
        return cast("list[DatasetRow]", self._ask("GET", f"/datasets/{dataset_id}/rows", params=asked)["rows"])

    def download_dataset(self, dataset_id: int, target: Path) -> None:
        """Write the rows of a version to `target` as JSON Lines."""
        self._fetch(f"/datasets/{dataset_id}/download", target, {})

    def delete_dataset(self, dataset_id: int) -> None:
        """Delete a version that no run was made from."""
        self._send("DELETE", f"/datasets/{dataset_id}")

    def findings(self, dataset_id: int, *, limit: int = 25, poll_seconds: float = POLL_SECONDS) -> DatasetFindings:
        """Return what is wrong with a version's rows, once it is searched; of each kind so many examples."""
        asked = {"limit": limit}
        while not (found := self._ask("GET", f"/datasets/{dataset_id}/findings", params=asked))["is_ready"]:
            time.sleep(poll_seconds)
        return cast("DatasetFindings", found)

    def repair_dataset(
        self, dataset_id: int, *, kinds: Sequence[str] = (), rows: Sequence[int] | None = None, drop: Sequence[int] = ()
    ) -> Dataset:
        """Store a version's rows, put right, as the newest; `rows` are where the kinds are, `drop` go altogether."""
        body = {"kinds": list(kinds), "rows": rows if rows is None else list(rows), "drop": list(drop)}
        path = f"/datasets/{dataset_id}/repair"
        return cast("Dataset", self._ask("POST", path, json=body, timeout=READING_SECONDS))
