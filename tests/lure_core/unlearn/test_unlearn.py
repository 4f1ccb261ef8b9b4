"""The strategies: exact shares, new values from the fresh model, everything else untouched."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.rng import forked, generator
from lure_core.types import UnlearnReport
from lure_core.unlearn import LureOfficial, estimate_batchnorm, strategy
from tests.lure_core.making import create_batches, create_net, golden, same


def forget(
    name: str, *, seed: int = 3, model: nn.Module | None = None, **settings: object
) -> tuple[nn.Module, UnlearnReport]:
    model = model if model is not None else create_net(1)
    chosen = strategy(Unlearn.from_dict({"strategy": name, **settings}))
    report = chosen.apply(model, create_net(2), create_batches(90), generator(seed))
    return model, report


def changed(before: nn.Module, after: nn.Module) -> dict[str, int]:
    """How many entries of each parameter differ."""
    old = dict(before.named_parameters())
    return {name: int((old[name] != new).sum()) for name, new in after.named_parameters()}


def test_warm_leaves_every_bit() -> None:
    model, report = forget("warm")
    assert same(model.state_dict(), create_net(1).state_dict())
    assert report.reset == 0


def test_scratch_is_the_fresh_model() -> None:
    model, report = forget("scratch")
    assert same(model.state_dict(), create_net(2).state_dict())
    assert report.reset == report.counted == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.55, 1.0])
def test_lure_resets_exactly_its_share_of_convolution_and_linear_weights(fraction: float) -> None:
    model, report = forget("lure", fraction=fraction)
    counts = changed(create_net(1), model)
    weights = set(snip.weight_names(model))
    total = sum(p.numel() for n, p in model.named_parameters() if n in weights)
    assert report.counted == total
    assert report.reset == round(fraction * total) == sum(counts.values())
    assert all(count == 0 for name, count in counts.items() if name not in weights)
    assert set(report.layer_share) == weights


def test_lure_takes_new_values_from_the_fresh_model() -> None:
    model, _ = forget("lure")
    old, fresh = create_net(1).state_dict(), create_net(2).state_dict()
    for name in snip.weight_names(model):
        new = model.get_parameter(name)
        assert ((new == old[name]) | (new == fresh[name])).all()


def test_lure_resets_the_least_salient() -> None:
    before = create_net(1)
    estimate_batchnorm(before, create_batches(90))  # as a trained net has: else few gradients flow
    model, report = forget("lure", model=copy.deepcopy(before))
    names = snip.weight_names(before)
    scores = snip.saliency(before, create_batches(90), names=names, how="sum")
    assert report.threshold is not None
    for name in names:
        reset = model.get_parameter(name) != before.get_parameter(name)
        assert torch.equal(reset, scores[name] <= report.threshold)
    assert (report.ties, report.subset_images) == (1, 90)


def test_lure_scores_on_a_share_of_the_data_when_there_is_plenty() -> None:
    _, report = forget("lure", subset_fraction=0.5, subset_min=10)
    assert report.subset_images == 45


def test_lure_estimates_batchnorm_anew() -> None:
    model, _ = forget("lure")
    expected = copy.deepcopy(model)
    estimate_batchnorm(expected, create_batches(90))
    assert same(model.state_dict(), expected.state_dict())
    assert not torch.equal(model.get_buffer("bn1.running_mean"), torch.zeros(16))


def test_batchnorm_estimates_are_the_batches_mean() -> None:
    model = create_net(1)
    batches = create_batches(64)
    estimate_batchnorm(model, batches)
    ((x, _),) = list(batches)
    mean = F.conv2d(x, model.get_parameter("conv1.weight"), padding=1).mean(dim=(0, 2, 3))
    torch.testing.assert_close(model.get_buffer("bn1.running_mean"), mean)
    assert model.training
    assert model.get_submodule("bn1").momentum == 0.1


@pytest.mark.parametrize("name", ["lure", "lure-official"])
def test_a_seed_gives_the_same_weights(name: str) -> None:
    one, again = (forget(name, seed=9)[0].state_dict() for _ in range(2))
    assert same(one, again)


@pytest.mark.parametrize("name", ["warm", "scratch", "lure", "lure-official"])
def test_dtype_layout_and_mode_are_kept(name: str) -> None:
    model = create_net(1).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    forget(name, model=model)
    weight = model.get_parameter("layer2.1.conv1.weight")
    assert weight.dtype == torch.float32
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert model.training


def with_momentum(model: nn.Module) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    with forked(0):
        for parameter in model.parameters():
            parameter.grad = torch.rand_like(parameter) + 1
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


@pytest.mark.parametrize("name", ["lure", "lure-official", "scratch"])
def test_an_optimiser_forgets_what_it_knew_of_the_reset_weights(name: str) -> None:
    model = create_net(1)
    optimizer = with_momentum(model)
    data = create_batches(90)
    chosen = strategy(Unlearn.from_dict({"strategy": name}))
    report = chosen.apply(model, create_net(2), data, generator(3), optimizer)
    zeros = sum(int((optimizer.state[p]["momentum_buffer"] == 0).sum()) for p in model.parameters())
    assert zeros == report.reset > 0


def test_the_official_preset_chooses_the_published_mask() -> None:
    tensors, net, batches = golden()
    chosen = LureOfficial(Unlearn(strategy="lure-official")).choose(
        net, batches.take(torch.arange(100))
    )
    for name, mask in chosen.masks.items():
        assert torch.equal(~mask, tensors[f"official_mask.{name}"].bool())


def test_the_official_preset_redraws_narrow_and_never_a_bias() -> None:
    model, report = forget("lure-official", fraction=0.5)
    before = create_net(1)
    counts = changed(before, model)
    assert all(count == 0 for name, count in counts.items() if name.endswith("bias"))
    assert sum(counts.values()) == report.reset
    name = "layer3.2.conv1.weight"
    new = model.get_parameter(name)
    redrawn = new[new != before.get_parameter(name)].detach()
    assert len(redrawn)
    assert float(redrawn.abs().max()) <= (64 * 9) ** -0.5
    assert report.subset_images == 45


@pytest.mark.parametrize(("images", "scored"), [(1, 1), (3, 2), (7, 2)])
def test_the_official_preset_takes_the_smallest_chunks(images: int, scored: int) -> None:
    """At 8 px ResNet-18 ends on one pixel: BatchNorm would refuse a batch of one."""
    model = create_net(1, "resnet18")
    chosen = strategy(Unlearn(strategy="lure-official"))
    report = chosen.apply(model, create_net(2, "resnet18"), create_batches(images), generator(3))
    assert report.subset_images == scored
    assert report.reset > 0
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


@pytest.mark.parametrize("how", ["sum", "abs_batch", "abs_sample"])
def test_every_saliency_resets_its_exact_share(how: str) -> None:
    _, report = forget("lure", saliency=how, subset_min=12, subset_fraction=0.0)
    assert (report.subset_images, report.reset) == (12, round(0.2 * report.counted))


def test_lure_works_on_any_module() -> None:
    with forked(0):
        model, fresh = (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3))
            for _ in range(2)
        )
    report = strategy(Unlearn()).apply(model, fresh, create_batches(30), generator(1))
    assert report.reset == round(0.2 * (64 * 9 + 9 * 3))
