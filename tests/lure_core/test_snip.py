"""Saliency against the published pruner's numbers, and the choice of exactly k weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lure_core import snip
from lure_core.rng import forked, generator
from tests.lure_core.making import create_batches, create_net, golden, same


def test_saliency_is_the_published_codes() -> None:
    tensors, net, batches = golden()
    names = [name for name, _ in net.named_parameters()]
    scores = snip.saliency(net, batches, names=names, how="abs_batch", training=True)
    for name in names:
        expected = tensors[f"saliency3.{name}"]
        largest = float(expected.max())
        torch.testing.assert_close(scores[name], expected, rtol=1e-4, atol=1e-5 * largest)


def test_the_official_mask_is_the_published_codes() -> None:
    tensors, net, batches = golden()
    first = batches.take(torch.arange(100))
    names = [name for name, _ in net.named_parameters()]
    scores = snip.saliency(net, first, names=names, how="abs_batch", training=True)
    chosen = snip.official(scores, 0.2)
    for name in names:
        assert torch.equal(~chosen.masks[name], tensors[f"official_mask.{name}"].bool()), name


def test_scoring_leaves_the_model_as_it_was() -> None:
    net = create_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    names = snip.weight_names(net)
    snip.saliency(net, create_batches(40), names=names, how="sum", training=True)
    assert same(net.state_dict(), before)
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_signed_sum_does_not_depend_on_the_batches() -> None:
    net, batches = create_net(), create_batches(40)
    names = snip.weight_names(net)
    whole = snip.saliency(net, batches, names=names, how="sum")
    pieces = snip.saliency(net, batches.sized(7), names=names, how="sum")
    for name in names:
        torch.testing.assert_close(pieces[name], whole[name], rtol=1e-3, atol=1e-4)


def test_the_three_ways_of_summing_are_ordered() -> None:
    """Σ|g| over images is at least |Σg|; over batches of one, a batch is an image."""
    net, batches = create_net(), create_batches(9, size=1)
    names = ["fc.weight", "layer1.0.conv1.weight"]
    signed, by_batch, by_sample = (
        snip.saliency(net, batches, names=names, how=how)
        for how in ("sum", "abs_batch", "abs_sample")
    )
    assert same(by_batch, by_sample)
    for name in names:
        assert (by_sample[name] >= signed[name] * (1 - 1e-4) - 1e-6).all()


def test_a_linear_models_saliency_is_the_one_worked_out_by_hand() -> None:
    """Two classes, zero weights but one: p = ½, so ∂L/∂w = Σ (p - y)·x."""
    with forked(0):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False))
    nn.init.constant_(net[1].weight, 0.0)
    batches = create_batches(5)
    with torch.no_grad():
        net[1].weight[1, 10] = 1e-6  # too small to move the softmax, enough to be scored
    score = snip.saliency(net, batches, names=["1.weight"], how="sum")["1.weight"]
    ((x, labels),) = list(batches)
    gradient = ((1 / 3 - (labels == 1).float()) * x.flatten(1)[:, 10]).sum()
    assert float(score[1, 10]) == pytest.approx(abs(float(gradient)) * 1e-6, rel=1e-3)
    assert int((score > 0).sum()) == 1


def test_only_convolution_and_linear_weights_count_and_shared_ones_once() -> None:
    with forked(0):
        shared = nn.Linear(4, 4)
        net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), shared, shared)
    assert snip.weight_names(net) == ["0.weight", "2.weight"]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan")]), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 50),
)
def test_exactly_k_of_the_lowest_are_chosen(values: list[float], share: float, seed: int) -> None:
    scores = {
        "a": torch.tensor(values[: len(values) // 2]),
        "b": torch.tensor(values[len(values) // 2 :]),
    }
    k = round(share * len(values))
    chosen = snip.lowest(scores, k, generator(seed))
    mask = torch.cat([chosen.masks["a"], chosen.masks["b"]])
    flat = torch.tensor(values).nan_to_num(nan=0.0)
    assert int(mask.sum()) == k
    if 0 < k < len(values):
        assert flat[mask].max() <= flat[~mask].min()
        assert chosen.ties == int((flat == chosen.threshold).sum())


def test_ties_are_broken_by_the_seed() -> None:
    scores = {"w": torch.zeros(100)}
    one, again, other = (snip.lowest(scores, 20, generator(s)).masks["w"] for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
