"""DASH: the moving average of gradients, the cosine of each unit, and the shrinking by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lure_core import snip
from lure_core.config import InputSpec
from lure_core.models.cost import forward_flops
from lure_core.rng import forked
from lure_core.unlearn.dash import cosine
from tests.lure_core.making import SIDE, create_batches
from tests.lure_core.unlearn.zoo import forget, old, original


def descent(model: nn.Module, chunks: list[slice], alpha: float) -> dict[str, torch.Tensor]:
    """The moving average by its definition: one batch a chunk."""
    batches = create_batches(40, size=64)
    ((x, labels),) = list(batches)
    averages = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for chunk in chunks:
        model.eval().zero_grad()
        F.cross_entropy(model(x[chunk]), labels[chunk]).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            averages[name] = (1 - alpha) * averages[name] - alpha * parameter.grad
    return averages


@pytest.mark.parametrize("size", [64, 7])
def test_each_unit_shrinks_by_its_cosine_with_the_average_descent(size: int) -> None:
    """However the chunks are cut into batches: 7 images at a time give the same gradient."""
    data = replace(create_batches(40, size=size), parts=(25, 0, 15))
    model, report = forget("dash", data=data, dash_alpha=0.4, dash_floor=0.25)
    averages = descent(old("resnet20s"), [slice(0, 25), slice(25, 40)], 0.4)
    for name, before in original("resnet20s").named_parameters():
        before, average = before.detach(), averages[name]
        after = model.get_parameter(name).detach()
        if "bn" in name:
            assert torch.equal(after, before)
            continue
        units, dims = (lambda t: t.flatten(2), (2,)) if before.dim() == 4 else (lambda t: t, (-1,))
        scale = F.cosine_similarity(units(before), units(average), dim=dims[0], eps=1e-30)
        scale = scale.clamp(0.25, 1).reshape(*scale.shape, *[1] * (before.dim() - scale.dim()))
        torch.testing.assert_close(after, before * scale, atol=1e-4, rtol=1e-3)
        assert report.details["mean_scale"][name] == pytest.approx(float(scale.mean()), abs=1e-3)


def test_a_weight_along_the_descent_stays_and_one_against_it_shrinks_to_the_floor() -> None:
    with forked(0):
        conv, linear = nn.Conv2d(1, 2, 2), nn.Linear(4, 2)
    down = torch.tensor([1.0, 2.0, 3.0, 4.0])
    both = torch.stack([down, -down])
    assert cosine(
        both.view(2, 1, 2, 2), torch.stack([down, down]).view(2, 1, 2, 2), conv
    ).flatten() == pytest.approx([1, -1])
    assert cosine(both, torch.stack([down, down]), linear).flatten() == pytest.approx([1, -1])
    assert cosine(down, down, None).item() == pytest.approx(1)


def test_a_tiny_gradient_has_a_direction_and_none_has_not() -> None:
    weight = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    direction = torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])
    with forked(0):
        linear = nn.Linear(2, 2)
    assert cosine(weight, direction, linear).flatten().tolist() == pytest.approx([1, 0])


def test_a_scalar_kernel_is_kept_or_shrunk_by_its_sign() -> None:
    with forked(0):
        conv = nn.Conv2d(2, 2, 1)
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]]).view(2, 2, 1, 1)
    direction = torch.tensor([[1e-3, 1e-3], [-1e-3, 1e-3]]).view(2, 2, 1, 1)
    expected = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).view(2, 2, 1, 1)
    assert torch.equal(cosine(weight, direction, conv), expected)


def test_the_floor_of_one_changes_nothing_but_statistics() -> None:
    model, report = forget("dash", dash_floor=1.0)
    before = dict(original("resnet20s").named_parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert report.reset == 0


def test_without_parts_everything_is_one_chunk() -> None:
    one, whole = forget("dash")[0], replace(create_batches(40), parts=(40,))
    other = forget("dash", data=whole)[0]
    assert torch.equal(one.get_parameter("fc.weight"), other.get_parameter("fc.weight"))


def test_the_cut_into_chunks_matters() -> None:
    cut = [replace(create_batches(40), parts=parts) for parts in ((20, 20), (40,))]
    one, other = (forget("dash", data=data)[1].details["mean_scale"] for data in cut)
    assert one != other


def test_all_the_data_is_paid_for() -> None:
    model, report = forget("dash", data=replace(create_batches(60), parts=(20, 40)), subset_min=10)
    image = forward_flops(model, InputSpec(1, SIDE, SIDE))
    assert report.flops == (3 * 60 + 12) * image
    assert report.subset_images == 60


def test_attentions_projections_shrink_row_by_row() -> None:
    model, _ = forget("dash", "vit")
    name = "attention.in_proj_weight"
    ratio = model.get_parameter(name) / original("vit").get_parameter(name)
    assert bool((ratio.max(1).values - ratio.min(1).values < 1e-4).all())
    assert name in snip.weight_names(model)
