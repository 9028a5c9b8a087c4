"""What the client of the REST API asks about datasets; both clients have it all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.client_runs import POLL_SECONDS, fetch, keyed
from app.client_steps import READING_SECONDS, Endpoint, Steps, ask, until
from app.client_types import Dataset, DatasetFindings, DatasetList, DatasetRow


class DatasetCalls:
    """Upload, look at, put right and take away datasets."""

    @Endpoint
    def upload_dataset(self, path: Path, *, name: str = "", key: str | None = None) -> Steps[Dataset]:
        """Store a file of rows as the newest version of a name; it is streamed, whatever its size."""
        asked = {"name": name, "filename": path.name}
        return ask("POST", "/datasets", params=asked, file=path, headers=keyed(key), timeout_seconds=READING_SECONDS)

    @Endpoint
    def save_mix(self, mix: Mapping[str, Any], *, name: str) -> Steps[Dataset]:
        """Store the pairs of a mix, each once, as the newest version of a name."""
        return ask("POST", "/mixes", params={"name": name}, json=dict(mix))

    @Endpoint
    def datasets(self, *, query: str = "", cursor: str = "", limit: int = 25) -> Steps[DatasetList]:
        """Return one page of sets, each at its newest version."""
        return ask("GET", "/datasets", params={"q": query, "cursor": cursor, "limit": limit})

    @Endpoint
    def dataset(self, dataset_id: int) -> Steps[Dataset]:
        """Return a version with the others of its name."""
        return ask("GET", f"/datasets/{dataset_id}")

    @Endpoint
    def find_dataset(self, name: str) -> Steps[Dataset | None]:
        """Return the newest version of a name, None when there is none."""
        found: list[Dataset] = yield from ask("GET", "/datasets", "datasets", params={"name": name})
        return found[0] if found else None

    @Endpoint
    def dataset_rows(self, dataset_id: int, *, row: int = 1, limit: int = 25) -> Steps[list[DatasetRow]]:
        """Return some rows of a version; the first has the number `row`, counted from 1."""
        return ask("GET", f"/datasets/{dataset_id}/rows", "rows", params={"row": row, "limit": limit})

    @Endpoint
    def download_dataset(self, dataset_id: int, target: Path) -> Steps[None]:
        """Write the rows of a version to `target` as JSON Lines."""
        return fetch(f"/datasets/{dataset_id}/download", target)

    @Endpoint
    def delete_dataset(self, dataset_id: int) -> Steps[None]:
        """Delete a version that no run was made from."""
        return ask("DELETE", f"/datasets/{dataset_id}")

    @Endpoint
    def findings(
        self, dataset_id: int, *, limit: int = 25, poll_seconds: float = POLL_SECONDS
    ) -> Steps[DatasetFindings]:
        """Return what is wrong with a version's rows, once it is searched; of each kind so many examples."""

        def asked() -> Steps[DatasetFindings]:
            return ask("GET", f"/datasets/{dataset_id}/findings", params={"limit": limit})

        return until(lambda found: found["is_ready"], asked, poll_seconds=poll_seconds)

    @Endpoint
    def repair_dataset(
        self, dataset_id: int, *, kinds: Sequence[str] = (), rows: Sequence[int] | None = None, drop: Sequence[int] = ()
    ) -> Steps[Dataset]:
        """Store a version's rows, put right, as the newest; `rows` are where the kinds are, `drop` go altogether."""
        body = {"kinds": list(kinds), "rows": rows if rows is None else list(rows), "drop": list(drop)}
        return ask("POST", f"/datasets/{dataset_id}/repair", json=body, timeout_seconds=READING_SECONDS)
