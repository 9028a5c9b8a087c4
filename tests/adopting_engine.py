"""What takes adapters out of checkpoints, in a test: iteration 600 is damaged, all others are taken."""

import json
import sys
from pathlib import Path

DAMAGED = 600


def main() -> None:
    """Write a folder for each adapter, and say what is wrong with the others."""
    command, path = sys.argv[1:]
    assert command == "adopt"
    said = {}
    for wanted in json.loads(Path(path).read_text("utf-8"))["checkpoints"]:
        said[wanted["iteration"]] = "it is <damaged>" if wanted["iteration"] == DAMAGED else ""
        if wanted["iteration"] != DAMAGED:
            Path(wanted["adapter"]).mkdir(parents=True)
            (Path(wanted["adapter"]) / "adapter_model.safetensors").write_bytes(b"1234")
    print(json.dumps(said))


if __name__ == "__main__":
    main()
