"""FIRE: orthogonal taps, the scales, and layers that are no matrices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core import snip, unlearn
from lure_core.config import Unlearn
from lure_core.rng import forked, generator
from lure_core.unlearn.fire import STEPS, join, newton_schulz, newton_schulz_flops, split
from tests.lure_core.making import create_batches
from tests.lure_core.unlearn.zoo import MODELS, create, forget, fresh, old, original


def orthogonal(matrices: torch.Tensor) -> bool:
    small = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    gram = small @ small.mT
    return torch.allclose(gram, torch.eye(gram.shape[1]).expand_as(gram), atol=1e-3)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 5)])
def test_ten_steps_make_a_well_conditioned_matrix_orthogonal(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=generator(0))
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    rounder = left @ torch.diag_embed(values.clamp_min(1.0)) @ right
    even = newton_schulz(rounder)
    assert orthogonal(even)
    torch.testing.assert_close(even, left @ right, atol=1e-3, rtol=0)  # the nearest isometry


def test_a_direction_without_strength_stays_without() -> None:
    matrix = torch.zeros(1, 3, 3)
    matrix[0, 0, 0] = 5.0
    torch.testing.assert_close(
        newton_schulz(matrix), torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    )
    assert not newton_schulz(torch.zeros(1, 2, 2)).any()


def test_the_steps_cost_two_products_each() -> None:
    assert newton_schulz_flops(torch.zeros(5, 4, 7)) == 5 * STEPS * 2 * (2 * 4 * 7 * 4)


def test_the_papers_scale_is_that_of_the_published_formula() -> None:
    """W ← X · √(out / in) / taps, tap by tap, here by a plain loop over the definition."""
    model, report = forget("fire", scale="paper")
    for name in ("conv1.weight", "layer2.0.conv1.weight", "fc.weight"):
        before, after = original("resnet20s").get_parameter(name), model.get_parameter(name)
        outputs, inputs = before.shape[:2]
        taps = before[0, 0].numel()
        flat = before.detach().reshape(outputs, inputs, taps)
        for tap in range(taps):
            x = flat[:, :, tap] / flat[:, :, tap].norm()
            for _ in range(10):
                x = 1.5 * x - 0.5 * x @ x.T @ x
            expected = x * (outputs / inputs) ** 0.5 / taps
            torch.testing.assert_close(
                after.reshape(outputs, inputs, taps)[:, :, tap], expected, atol=1e-5, rtol=1e-3
            )
    assert report.details == {"scale": "paper", "steps": 10, "kept": []}


@pytest.mark.parametrize("kind", MODELS)
def test_the_other_scale_is_the_fresh_models_norm(kind: str) -> None:
    model, _ = forget("fire", kind)
    for name in snip.weight_names(model):
        wanted = fresh(kind).get_parameter(name).norm()
        torch.testing.assert_close(model.get_parameter(name).norm(), wanted, rtol=1e-4, atol=0)


def test_where_the_fresh_model_starts_at_zero_a_layer_keeps_its_own_norm() -> None:
    """Such as the head of torchvision's ViT: to scale it to nothing would kill the model."""
    empty = create("mlp", 2)
    nn.init.zeros_(empty.get_parameter("5.weight"))
    model = old("mlp")
    unlearn.strategy(Unlearn(strategy="fire")).apply(model, empty, create_batches(8), generator(0))
    norms = [m.get_parameter("5.weight").norm() for m in (model, original("mlp"))]
    torch.testing.assert_close(*norms)


def test_attentions_three_projections_are_matrices_of_their_own() -> None:
    model, _ = forget("fire", "vit", scale="paper")
    joint = model.get_parameter("attention.in_proj_weight").detach().reshape(3, 12, 12)
    values = torch.linalg.svdvals(joint)
    assert values[:, :8].sub(1).abs().max() < 1e-2
    assert values.max() < 1.001


def test_groups_are_matrices_of_their_own_and_depthwise_kernels_stay() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.Conv2d(8, 12, 3, groups=4),
            nn.Conv2d(12, 12, 3, groups=12),
            nn.Flatten(),
            nn.Linear(12 * 4, 3),
        )

    with forked(1):
        model, new = build(), build()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = Unlearn(strategy="fire", scale="paper")
    report = unlearn.strategy(settings).apply(model, new, create_batches(8), generator(0))
    assert report.details["kept"] == ["2.weight"]
    assert torch.equal(model.get_parameter("2.weight"), before["2.weight"])
    assert report.layer_share["2.weight"] == 0.0
    blocks = split(model.get_parameter("1.weight"), model[1])
    assert blocks.shape == (4 * 9, 3, 2)
    assert orthogonal(blocks * 9 / (3 / 2) ** 0.5)


def test_splitting_is_undone_by_joining() -> None:
    with forked(1):
        layers = [
            nn.Conv2d(4, 6, (3, 2), groups=2),
            nn.Conv1d(4, 6, 3),
            nn.Linear(5, 7),
        ]
    for layer in layers:
        torch.testing.assert_close(
            join(split(layer.weight, layer), layer.weight, layer), layer.weight
        )
    grouped = split(layers[0].weight, layers[0])  # group 1, tap (2, 1): the last of 2 · 6
    assert torch.equal(grouped[11], layers[0].weight[3:, :, 2, 1])
