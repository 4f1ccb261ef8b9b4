"""What the published code does, to the bit where its numbers are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core.config import Unlearn
from lure_core.rng import forked, generator
from lure_core.unlearn import LureOfficial, strategy
from tests.lure_core.making import create_batches, create_net, golden
from tests.lure_core.unlearn.zoo import differing, forget, original


def test_the_published_mask_is_chosen() -> None:
    tensors, net, batches = golden()
    chosen = LureOfficial(Unlearn(strategy="lure-official")).choose(
        net, batches.take(torch.arange(100))
    )
    for name, mask in chosen.masks.items():
        assert torch.equal(~mask, tensors[f"official_mask.{name}"].bool())


def test_new_values_are_narrow_and_biases_never_reset() -> None:
    model, report = forget("lure-official", fraction=0.5, data=create_batches(90))
    changed = differing(original("resnet20s"), model)
    assert not any(mask.any() for name, mask in changed.items() if name.endswith("bias"))
    assert sum(int(mask.sum()) for mask in changed.values()) == report.reset
    name = "layer3.2.conv1.weight"
    redrawn = model.get_parameter(name).detach()[changed[name]]
    assert len(redrawn)
    assert float(redrawn.abs().max()) <= (64 * 9) ** -0.5
    assert report.subset_images == 45


def test_batchnorms_gains_are_redrawn_between_minus_one_and_one() -> None:
    model, report = forget("lure-official", fraction=0.9, data=create_batches(90))
    changed = differing(original("resnet20s"), model)
    gains = [n for n, p in model.named_parameters() if p.dim() == 1 and n.endswith("weight")]
    redrawn = torch.cat([model.get_parameter(name).detach()[changed[name]] for name in gains])
    assert len(redrawn) > 20
    assert float(redrawn.abs().max()) <= 1
    assert float(redrawn.min()) < -0.5  # gains that turn a channel's sign
    assert any(report.layer_share[name] for name in gains)


def test_statistics_stay() -> None:
    model, _ = forget("lure-official")
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, original("resnet20s").get_buffer(name))


@pytest.mark.parametrize(("images", "scored"), [(1, 1), (3, 2), (7, 2)])
def test_the_smallest_chunks_are_taken(images: int, scored: int) -> None:
    """At 8 px BatchNorm sees but few positions: it would refuse a batch of one at the end."""
    with forked(1):
        model, new = (
            nn.Sequential(
                nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)
            )
            for _ in range(2)
        )
    chosen = strategy(Unlearn(strategy="lure-official"))
    report = chosen.apply(model, new, create_batches(images), generator(3))
    assert report.subset_images == scored
    assert report.reset > 0
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def test_dropout_draws_from_the_seed() -> None:
    """The network is scored in training mode; torch's own generators stay where they are."""
    one, other = (forget("lure-official", "homemade", seed=seed)[1] for seed in (1, 2))
    assert one.threshold != other.threshold
    assert create_net(1).training
