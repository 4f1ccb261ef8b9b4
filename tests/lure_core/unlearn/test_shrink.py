"""Shrink and perturb: its two ends, its presets, and what it touches."""

from __future__ import annotations

import pytest
import torch

from tests.lure_core.making import same
from tests.lure_core.unlearn.zoo import MODELS, differing, forget, fresh, old, original

NOTHING = {"shrink": 1.0, "perturb": 0.0}
EVERYTHING = {"shrink": 0.0, "perturb": 1.0}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("preset", ["ash", "lure", "dash", "interpolate"])
def test_to_shrink_by_nothing_is_warm(preset: str, kind: str) -> None:
    model, report = forget("shrink-perturb", kind, preset=preset, **NOTHING)
    assert same(model.state_dict(), original(kind).state_dict())
    assert (report.reset, report.flops) == (0, 0)


@pytest.mark.parametrize("kind", MODELS)
def test_to_shrink_to_nothing_is_scratch(kind: str) -> None:
    model, report = forget("shrink-perturb", kind, **EVERYTHING)
    assert same(model.state_dict(), fresh(kind).state_dict())
    assert report.reset == report.counted == sum(p.numel() for p in model.parameters())


def test_a_weight_that_is_no_number_does_not_survive_being_shrunk_to_nothing() -> None:
    broken = old("mlp")
    with torch.no_grad():
        broken.get_parameter("1.weight")[0, 0] = torch.nan
    model, _ = forget("shrink-perturb", "mlp", model=broken, **EVERYTHING)
    assert same(model.state_dict(), fresh("mlp").state_dict())


@pytest.mark.parametrize(
    ("preset", "shrink", "perturb"),
    [("ash", 0.4, 0.1), ("lure", 0.3, 0.001), ("interpolate", 0.2, 0.8)],
)
def test_the_presets_mix_in_the_fresh_model(preset: str, shrink: float, perturb: float) -> None:
    model, report = forget("shrink-perturb", preset=preset)
    for name, parameter in model.named_parameters():
        before, new = (m.get_parameter(name) for m in (original("resnet20s"), fresh("resnet20s")))
        torch.testing.assert_close(parameter, shrink * before + perturb * new)
    assert report.details["shrink"] == shrink
    assert report.details["perturb"] == perturb


def test_dashs_preset_adds_noise_of_a_hundredth_to_convolutions_and_linear_layers() -> None:
    model, report = forget("shrink-perturb", preset="dash")
    noise = []
    for name, parameter in model.named_parameters():
        before = original("resnet20s").get_parameter(name)
        if "bn" in name:
            assert torch.equal(parameter, before)
        else:
            noise.append((parameter - 0.3 * before).detach().flatten())
    drawn = torch.cat(noise)
    assert drawn.std() == pytest.approx(0.01, rel=0.01)
    assert abs(float(drawn.mean())) < 1e-4
    assert "fc.bias" in report.layer_share
    assert report.reset == report.counted == len(drawn)


def test_given_factors_overrule_the_presets() -> None:
    model, report = forget("shrink-perturb", preset="lure", perturb=0.5)
    name = "layer1.0.conv1.weight"
    expected = 0.3 * original("resnet20s").get_parameter(name) + 0.5 * fresh(
        "resnet20s"
    ).get_parameter(name)
    torch.testing.assert_close(model.get_parameter(name), expected)
    told = {"shrink": 0.3, "perturb": 0.5, "noise": "fresh", "guard": None}
    assert report.details == told


def test_every_parameter_is_touched_those_of_unknown_layers_too() -> None:
    model, report = forget("shrink-perturb", "homemade")
    assert all(mask.any() for mask in differing(original("homemade"), model).values())
    assert "basis" in report.layer_share
    assert torch.equal(model.get_buffer("offset"), original("homemade").get_buffer("offset"))


def test_batchnorm_is_estimated_anew() -> None:
    model, report = forget("shrink-perturb")
    assert report.subset_images == 40
    assert not torch.equal(model.get_buffer("bn1.running_mean"), torch.zeros(16))
