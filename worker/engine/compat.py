"""
What xtuner 0.2.0 needs beside today's torch and transformers.

Each function heals one break, named in its docstring, and is safe to call where nothing is
broken. Importing this module changes nothing; `make_compatible` must run before xtuner's own
modules are imported.
"""

import importlib.machinery
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POOL_LOOK_SECONDS = 0.05  # between two looks at whether every process that maps rows still lives
IMAGE_PACKAGES = {
    "torchvision": ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"),
    "skimage": ("skimage", "skimage.io"),
}


def stay_local(model: str) -> None:
    """Keep a run whose model is a folder off the network: a lookup that hangs would hold the run up."""
    if Path(model).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"


def make_compatible(*, with_bitsandbytes: bool) -> None:
    """Apply every remedy; the process is meant to do nothing but one xtuner job."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # over xtuner's own `weights_only=False`
    if not with_bitsandbytes:
        _hide_bitsandbytes()
    _stand_in_for_image_packages()
    _name_cpu_bfloat16()
    _quiet_known_warnings()


def patch_xtuner() -> None:
    """Change what must be changed inside xtuner, once its modules are imported."""
    _remove_stand_ins()
    _forbid_remote_code()
    _add_beginning_only_where_the_tokenizer_does()
    _keep_the_rendered_config()
    _map_rows_without_sockets()


def _hide_bitsandbytes() -> None:
    """Save the seconds mmengine takes to import bitsandbytes, which brings half of torch's compiler."""
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # Python's own way to say "not there"


def _stand_in_for_image_packages() -> None:
    """
    Let `xtuner.dataset` be imported without the image packages that only its vision datasets use.

    torchvision's wheels are CUDA builds that fail to import beside a CPU torch; scikit-image is
    large. The stand-ins come after transformers has looked for the real ones and found none.
    """
    import transformers  # noqa: F401 - it looks on import

    for root, names in IMAGE_PACKAGES.items():
        if root not in sys.modules and importlib.util.find_spec(root) is None:
            for name in names:
                _register_empty(name)


def _register_empty(name: str) -> None:
    """Put a module without content where `import name` finds it, and hang it into its parent."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    module.__path__ = []
    module.InterpolationMode = None  # type: ignore[attr-defined]  # the one name xtuner takes out of torchvision
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _remove_stand_ins() -> None:
    """Take the stand-ins away again: mmengine asks torchvision, where it is, for its version."""
    import xtuner.dataset  # noqa: F401 - what needed them

    for name in (name for names in IMAGE_PACKAGES.values() for name in names):
        if getattr(sys.modules.get(name), "__loader__", None) is None:
            sys.modules.pop(name, None)


def _name_cpu_bfloat16() -> None:
    """Answer the question `SupervisedFinetune` asks of `torch.cpu` as if it were `torch.cuda`."""
    import torch

    if not hasattr(torch.cpu, "is_bf16_supported"):
        torch.cpu.is_bf16_supported = lambda: True


def _quiet_known_warnings() -> None:
    """Keep the log readable: these say nothing about the run."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pkg_resources.*")


def _forbid_remote_code() -> None:
    """Undo the `trust_remote_code=True` that `SupervisedFinetune` has in its own call of `AutoConfig`."""
    from transformers import AutoConfig
    from xtuner.model import sft

    class LocalConfig:
        """`AutoConfig` that runs no code out of a model's folder."""

        @staticmethod
        def from_pretrained(name: str, **options: Any) -> Any:  # noqa: ANN401 - transformers' own type
            return AutoConfig.from_pretrained(name, **{**options, "trust_remote_code": False})

    sft.AutoConfig = LocalConfig


def _add_beginning_only_where_the_tokenizer_does() -> None:
    """
    Train on rows that begin as the tokenizer begins a text.

    xtuner puts the tokenizer's beginning-of-text token before every row of every model but Qwen.
    Where that token is `<|im_start|>`, as in SmolLM2, each row would begin with it twice, and no
    program that uses the model later would write it so.
    """
    from xtuner.dataset import utils

    original = utils.get_bos_eos_token_ids

    def begin_and_end(tokenizer: Any) -> tuple[list[int], list[int]]:  # noqa: ANN401 - transformers' own type
        begin, end = original(tokenizer)
        begins = tokenizer("x").input_ids[: len(begin or ())] == begin
        return (begin if begins else []), end

    utils.get_bos_eos_token_ids = begin_and_end


def _keep_the_rendered_config() -> None:
    """
    Leave the config in the run's folder as it was rendered.

    mmengine writes its own reading of it over the file of that name, in a form that no person
    reads; the file is what the run's page shows and what a resumed run starts from.
    """
    from mmengine.runner import Runner

    Runner.dump_config = lambda _: None


def _map_rows_without_sockets() -> None:
    """
    Let datasets map rows in several processes where none may open a socket.

    Its own way is a server process behind a unix socket; the pool's pipes carry the same. A process that dies in
    the middle is noticed as before.
    """
    from datasets import arrow_dataset

    arrow_dataset.iflatmap_unordered = _flat_map


def _flat_map(pool: Any, func: Any, *, kwargs_iterable: Any) -> Iterator[Any]:  # noqa: ANN401 - the pool's own types
    working = {worker.pid for worker in pool._pool}  # noqa: SLF001 - the pool has no public name for it
    waiting = [pool.apply_async(_all_of, (func, kwargs)) for kwargs in kwargs_iterable]
    while waiting:
        waiting[0].wait(POOL_LOOK_SECONDS)
        if {worker.pid for worker in pool._pool} != working:  # noqa: SLF001
            raise RuntimeError("A process that mapped rows has died.")
        done, waiting = [each for each in waiting if each.ready()], [each for each in waiting if not each.ready()]
        for each in done:
            yield from each.get()


def _all_of(func: Any, kwargs: dict[str, Any]) -> list[Any]:  # noqa: ANN401 - datasets' own types
    return list(func(**kwargs))
