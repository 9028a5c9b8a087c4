"""
Put an adapter into its base model: one folder that plain transformers loads.

The merged weights have the number format of the base. `xtuner convert merge` always writes
float16, which a model made for bfloat16 can overflow.
"""

from pathlib import Path

from peft import PeftModel

from worker.engine.adapters import load_checkpoint
from worker.engine.whole_models import load_model, load_weights, write_model


def merge_model(base: str, adapter: Path, folder: Path) -> None:
    """
    Write the merged model to `folder` with its manifest: whole, or not at all.

    Args:
        adapter: An adapter's folder, or the checkpoint of a full fine-tune.
    """
    print("loading the base model", flush=True)  # noqa: T201 - the log shows how far it is
    model = load_model(base, dtype="auto")
    print("merging", flush=True)  # noqa: T201
    if adapter.is_dir():
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    else:
        load_weights(model, load_checkpoint(adapter)["state_dict"])
    print("writing", flush=True)  # noqa: T201
    write_model(folder, model, base=base)
