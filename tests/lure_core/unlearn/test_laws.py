"""What holds for every strategy on every kind of model."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from lure_core import snip, unlearn
from lure_core.config import InputSpec, Normalisation, StrategyName, Unlearn
from lure_core.data import Batches
from lure_core.errors import ConfigError
from lure_core.models.cost import forward_flops
from lure_core.rng import forked, generator
from lure_core.unlearn.fire import newton_schulz_flops, split
from tests.lure_core.making import SIDE, create_batches, create_samples, same
from tests.lure_core.unlearn.zoo import (
    MODELS,
    RESETS,
    STRATEGIES,
    create,
    differing,
    forget,
    fresh,
    old,
    original,
    probe,
    with_memory,
)

PAIRS = list(itertools.product(STRATEGIES, MODELS))
PICKING = [*RESETS, "lure-official"]
ON_WEIGHTS = [*RESETS, "dash", "fire", "later-layers", "last-layer", "rescale"]


def test_every_strategy_of_the_settings_is_put_to_the_test() -> None:
    assert set(STRATEGIES) == set(get_args(StrategyName))


@pytest.mark.parametrize(("strategy", "kind"), PAIRS)
def test_a_seed_gives_the_same_weights_and_report(strategy: str, kind: str) -> None:
    (one, told), (again, told_again) = (forget(strategy, kind, seed=9) for _ in range(2))
    assert same(one.state_dict(), again.state_dict())
    assert {**told.to_dict(), "seconds": 0} == {**told_again.to_dict(), "seconds": 0}
    assert np.array_equal(told.mask, told_again.mask)


@pytest.mark.parametrize(("strategy", "kind"), PAIRS)
def test_the_record_tells_what_changed(strategy: str, kind: str) -> None:
    model, report = forget(strategy, kind)
    changed = {name: int(mask.sum()) for name, mask in differing(original(kind), model).items()}
    share = report.layer_share
    told = {n: round(s * model.get_parameter(n).numel()) for n, s in share.items()}
    assert report.strategy == strategy
    assert report.reset == sum(told.values())
    undone = bool(report.details.get("guard"))  # the guard may give a shrunk weight its value back
    for name, count in changed.items():  # a new value may by chance be the old one
        assert count <= told.get(name, 0)
        assert undone or count >= 0.9 * told.get(name, 0) - 1
    if strategy != "warm":
        assert report.counted == sum(model.get_parameter(name).numel() for name in share)
        assert report.reset > 0


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", PICKING)
def test_the_mask_is_what_changed(strategy: str, kind: str) -> None:
    model, report = forget(strategy, kind)
    assert report.mask is not None
    changed = differing(original(kind), model)
    assert report.mask.dtype == np.uint8
    bits = np.unpackbits(report.mask, count=report.counted).astype(bool)
    assert int(bits.sum()) == report.reset
    assert len(report.mask) == (report.counted + 7) // 8
    flat = torch.cat([changed[name].flatten() for name in report.layer_share])
    assert np.array_equal(bits & flat.numpy(), flat.numpy())
    assert flat.sum() >= report.reset - 2


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in (*PICKING, "auto")])
def test_who_picks_no_single_weights_gives_no_mask(strategy: str) -> None:
    assert forget(strategy, "mlp")[1].mask is None


@pytest.mark.parametrize(("strategy", "kind"), PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_number_format_is_kept(strategy: str, kind: str, dtype: torch.dtype) -> None:
    model, report = forget(strategy, kind, model=old(kind).to(dtype))
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert report.reset > 0 or strategy == "warm"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_memory_layout_and_modes_are_kept(strategy: str) -> None:
    model = old("resnet20s").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.get_submodule("layer1").eval()  # such as a part that is not to be trained
    modes = [module.training for module in model.modules()]
    forget(strategy, model=model)
    weight = model.get_parameter("layer2.1.conv1.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_fresh_model_is_left_alone(strategy: str) -> None:
    untouched = create("resnet20s", 2)
    chosen = unlearn.strategy(Unlearn.from_dict({"strategy": strategy}), probe)
    model = old("resnet20s")
    chosen.apply(model, untouched, create_batches(40), generator(1))
    assert same(untouched.state_dict(), fresh("resnet20s").state_dict())
    theirs = {p.data_ptr() for p in untouched.parameters()}
    assert not theirs & {p.data_ptr() for p in model.parameters()}


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_optimiser_forgets_the_changed_weights_and_no_others(
    strategy: str, kind: type[torch.optim.Optimizer]
) -> None:
    model = old("vit")
    optimizer = with_memory(model, kind)
    _, report = forget(strategy, "vit", model=model, optimizer=optimizer)
    for name, parameter in model.named_parameters():
        told = round(report.layer_share.get(name, 0.0) * parameter.numel())
        state = optimizer.state[parameter]
        remembered = [v for v in state.values() if v is not None and v.shape == parameter.shape]
        assert remembered
        assert all(int((value == 0).sum()) == told for value in remembered)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", RESETS)
def test_to_reset_nothing_is_warm(strategy: str, kind: str) -> None:
    model, report = forget(strategy, kind, fraction=0.0)
    assert same(model.state_dict(), original(kind).state_dict())
    assert (report.reset, report.flops, report.subset_images) == (0, 0, 0)
    assert report.mask is not None
    assert not report.mask.any()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", RESETS)
def test_to_reset_everything_renews_every_counted_weight(strategy: str, kind: str) -> None:
    model, report = forget(strategy, kind, fraction=1.0)
    assert report.reset == report.counted
    for name, parameter in model.named_parameters():
        source = fresh(kind) if name in report.layer_share else original(kind)
        assert torch.equal(parameter, source.get_parameter(name))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.55])
@pytest.mark.parametrize("strategy", RESETS)
def test_exactly_the_share_is_reset(strategy: str, fraction: float, kind: str) -> None:
    _, report = forget(strategy, kind, fraction=fraction)
    assert report.reset == round(fraction * report.counted)


@pytest.mark.parametrize("kind", MODELS)
def test_resets_count_what_multiplies_the_signal(kind: str) -> None:
    report = forget("lure", kind)[1]
    assert list(report.layer_share) == snip.weight_names(create(kind, 0))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", ["warm", "scratch", *PICKING, "fire"])
def test_every_pass_is_paid_for(strategy: str, kind: str) -> None:
    """Scoring is a forward and a backward, three forwards; BatchNorm's estimates are one more."""
    model, report = forget(strategy, kind)
    scored = {"lure": 40, "lure-official": 8}.get(strategy, 0)
    settles = kind == "resnet20s" and strategy in (*RESETS, "fire")
    image = forward_flops(model, InputSpec(1, SIDE, SIDE))
    expected = (3 * scored + 40 * settles) * image
    if strategy == "fire":
        layers = snip.weights(model).items()
        own = (split(model.get_parameter(n), layer) for n, layer in layers)
        expected += sum(newton_schulz_flops(matrices) for matrices in own)
    assert report.flops == expected
    assert report.subset_images == scored or settles * 40


class OnlyBare(nn.Module):
    """No layer that anybody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.ones(SIDE * SIDE, 3))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.flatten(1) @ self.basis


@pytest.mark.parametrize(
    "strategy", [*RESETS, "dash", "fire", "later-layers", "last-layer", "rescale", "auto"]
)
def test_a_model_in_which_nothing_could_be_changed_is_refused(strategy: str) -> None:
    chosen = unlearn.strategy(Unlearn.from_dict({"strategy": strategy}), probe)
    with pytest.raises(ConfigError, match="OnlyBare"):
        chosen.apply(OnlyBare(), OnlyBare(), create_batches(8), generator(0))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frozen_weights_stay(strategy: str) -> None:
    model = old("mlp")
    model.get_parameter("1.weight").requires_grad_(requires_grad=False)
    forget(strategy, "mlp", model=model)
    if strategy != "scratch":
        assert torch.equal(
            model.get_parameter("1.weight"), original("mlp").get_parameter("1.weight")
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_torchvisions_vision_transformer_is_taken(strategy: str) -> None:
    vit = pytest.importorskip("torchvision.models.vision_transformer").VisionTransformer
    shape = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
    with forked(1):
        model, new = (vit(**shape, mlp_dim=16, num_classes=3) for _ in range(2))
        for parameter in model.parameters():  # many start at zero, in both
            nn.init.normal_(parameter, std=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    data = Batches(create_samples(20, channels=3), Normalisation((0.3,) * 3, (0.2,) * 3))
    chosen = unlearn.strategy(Unlearn.from_dict({"strategy": strategy}), probe)
    report = chosen.apply(model, new, data, generator(3))
    changed = sum(int((before[name] != p).sum()) for name, p in model.named_parameters())
    assert changed <= report.reset <= 1.05 * changed
    assert (changed > 0) is (strategy != "warm")


@pytest.mark.gpu
@pytest.mark.parametrize(("strategy", "kind"), PAIRS)
def test_the_data_may_lie_elsewhere(strategy: str, kind: str) -> None:
    """Model and fresh model on the GPU, the images on the CPU: batch by batch they are moved."""
    model, new = old(kind).to("cuda"), create(kind, 2).to("cuda")
    optimizer = with_memory(model, torch.optim.SGD)
    chosen = unlearn.strategy(Unlearn.from_dict({"strategy": strategy}), probe)
    report = chosen.apply(model, new, create_batches(40), generator(3), optimizer)
    on_cpu, told = forget(strategy, kind)
    assert {value.device.type for value in model.state_dict().values()} == {"cuda"}
    assert (report.counted, report.subset_images) == (told.counted, told.subset_images)
    assert report.reset == pytest.approx(told.reset, rel=0.01)
    if strategy in ("warm", "scratch", "random-reset", "last-layer", "later-layers"):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter.cpu(), on_cpu.get_parameter(name))
