"""The learning rate's rise: mmengine's own, kept from failing on short runs."""

from typing import Any, Self

from mmengine.optim import LinearLR

SHORTEST_WARMUP = 2  # iterations; LinearLR over one leaves the rate at its start, over none it refuses to be built


class WarmUpLR(LinearLR):
    """A linear rise that lasts at least two iterations when a share of few epochs gives fewer."""

    @classmethod
    def build_iter_from_epoch(cls, *args: Any, end: float, epoch_length: int, **kwargs: Any) -> Self:  # noqa: ANN401
        """Turn epochs into iterations, as mmengine asks of every schedule."""
        kwargs.pop("begin", None)
        kwargs.pop("by_epoch", None)
        return cls(*args, begin=0, end=max(SHORTEST_WARMUP, int(end * epoch_length)), by_epoch=False, **kwargs)
