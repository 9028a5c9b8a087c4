"""
What xtuner's own code makes of the rows of rendered configs: the child of the forecast's truth test.

Builds each config's dataset as the trainer does, with the launcher's own changes to xtuner, and writes one
JSON object a config. Needs torch; run it as `python -m benchmarks.truth.xtuner_samples CONFIG ...`.
"""

import json
import os
import sys

IGNORED = -100  # the label of a token without loss


def main() -> None:
    """Print what each config's dataset is."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from worker.engine.compat import make_compatible, patch_xtuner  # noqa: PLC0415 - needs torch

    make_compatible(with_bitsandbytes=False)
    import xtuner.dataset  # noqa: F401, PLC0415 - what is changed

    patch_xtuner()
    from datasets import disable_progress_bars  # noqa: PLC0415

    disable_progress_bars()
    for path in sys.argv[1:]:
        print(json.dumps(_built(path)), flush=True)


def _built(path: str) -> dict[str, object]:
    import numpy as np  # noqa: PLC0415
    from mmengine.config import Config  # noqa: PLC0415
    from mmengine.runner.utils import set_random_seed  # noqa: PLC0415
    from xtuner.registry import BUILDER  # noqa: PLC0415

    config = Config.fromfile(path)
    set_random_seed(config.randomness.seed)
    try:
        dataset = BUILDER.build(config.train_dataset)
        labels = dataset["labels"]
    except Exception as error:  # noqa: BLE001 - a failure is an answer too
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    batch = config.train_dataloader.batch_size
    return {
        "samples": len(dataset),
        "iterations_per_epoch": -(-len(dataset) // batch),
        "tokens": int(sum(len(each) for each in labels)),
        "loss_tokens": int(sum((np.asarray(each) != IGNORED).sum() for each in labels)),
        "first": [len(each) for each in labels[:5]],
    }


if __name__ == "__main__":
    main()
