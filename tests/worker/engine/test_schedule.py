"""The learning rate that short runs get."""

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("epoch_length", [1, 2, 10, 1000])
def test_a_short_rise_reaches_the_full_rate(epoch_length: int) -> None:
    """A share of an epoch that is less than two iterations counts as two."""
    import torch

    from worker.engine.schedule import WarmUpLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rise = WarmUpLR.build_iter_from_epoch(
        optimizer, start_factor=1e-5, begin=0, end=0.03, by_epoch=True, epoch_length=epoch_length
    )
    for _ in range(max(2, int(0.03 * epoch_length))):
        optimizer.step()
        rise.step()

    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)
