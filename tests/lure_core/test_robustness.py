"""Attacks stay within bounds and bite; figures under corruption add up; models stay whole."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lure_core import robustness
from lure_core.config import Normalisation
from lure_core.corruptions import draws
from lure_core.data import Batches, Samples
from lure_core.precision import serving
from lure_core.rng import forked
from lure_core.robustness import Attack, Judged
from tests.lure_core.making import create_net, create_samples

FP32 = serving(torch.device("cpu"))
NORMALISATION = Normalisation((0.3,), (0.2,))
SAMPLES = create_samples(96)


@cache
def trained() -> nn.Module:
    """A net that answers the samples without fault; in training mode, as training leaves it."""
    with forked(0):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        net.append(nn.Linear(32, 3))
        net.append(nn.Dropout(0.5))
    optimiser = torch.optim.SGD(net[:5].parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        for x, labels in Batches(SAMPLES, NORMALISATION, 96):
            optimiser.zero_grad()
            F.cross_entropy(net[:5](x), labels).backward()
            optimiser.step()
    return net


def judged(samples: Samples = SAMPLES, net: nn.Module | None = None) -> Judged:
    return Judged(net or trained(), NORMALISATION, samples, FP32)


def attacked(attack: Attack, *, seed: int = 0) -> torch.Tensor:
    net = trained().eval()
    by = draws.generators(seed, "pgd", range(96))
    levels = SAMPLES.images.float()
    return robustness.pgd(judged(net=net).answer, levels, SAMPLES.labels, by=by, attack=attack)


@pytest.mark.parametrize("epsilon", [0.5, 8, 60])
def test_an_attack_stays_within_its_reach_and_the_pixel_range(epsilon: float) -> None:
    moved = attacked(Attack(epsilon=epsilon, step=epsilon / 4))
    levels = SAMPLES.images.float()
    assert float((moved - levels).abs().max()) <= epsilon
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 255
    assert float((moved - levels).abs().mean()) > epsilon / 3


def test_an_attack_without_reach_does_nothing() -> None:
    nothing = Attack(epsilon=0)
    assert torch.equal(attacked(nothing), SAMPLES.images.float())
    assert robustness.robust_accuracy(judged(), seed=0, attack=nothing) == 1


def test_an_attack_lowers_the_accuracy_of_a_trained_net_the_further_it_reaches() -> None:
    robust = [
        robustness.robust_accuracy(judged(), seed=0, attack=Attack(epsilon, epsilon / 4))
        for epsilon in (0, 8, 60)
    ]
    assert robust[0] == 1
    assert robust[0] >= robust[1] > robust[2]
    assert robust[2] < 0.2


def test_an_attack_does_more_harm_than_chance() -> None:
    moved = attacked(Attack(60, 15))
    noise = 60 * torch.rand(96, 1, 8, 8, generator=torch.Generator().manual_seed(0)).sub(0.5).sign()
    answer = judged(net=trained().eval()).answer
    by_chance = (SAMPLES.images + noise).clamp(0, 255)
    with torch.no_grad():
        loss = [float(F.cross_entropy(answer(x), SAMPLES.labels)) for x in (moved, by_chance)]
    assert loss[0] > 2 * loss[1]


def test_without_steps_only_the_random_start_is_left() -> None:
    first, again, other = (attacked(Attack(steps=0), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    shift = (first - SAMPLES.images).flatten()
    assert float(shift.abs().max()) <= 8
    assert float(shift.std()) > 2


def test_the_default_is_pgd_20() -> None:
    assert Attack() == Attack(epsilon=8, step=2, steps=20)


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    net = create_net()
    part = SAMPLES.take(torch.arange(20))

    def figures() -> tuple[dict[str, object], torch.Tensor]:
        chosen = judged(part, net)
        corrupted = robustness.corruption_accuracy(
            chosen, seed=1, families=("gaussian-noise", "snow"), severities=(1, 5)
        )
        pieces = []
        net.eval()
        for indices, samples in chosen.parts():
            by = draws.generators(1, "pgd", indices)
            levels = samples.images.float()
            moved = robustness.pgd(
                chosen.answer, levels, samples.labels, by=by, attack=Attack(8, 2, 1)
            )
            pieces.append(moved)
        return corrupted.to_dict(), torch.cat(pieces)

    whole, moved = figures()
    monkeypatch.setattr(robustness, "BATCH_IMAGES", 6)
    assert [len(samples) for _, samples in judged(part).parts()] == [6, 6, 6, 2]
    cut, moved_in_parts = figures()
    assert cut["accuracy"] == whole["accuracy"]
    assert cut["ece"] == pytest.approx(whole["ece"], abs=1e-5)
    assert float((moved != moved_in_parts).float().mean()) < 0.01  # a gradient of 0 but for a bit


def test_a_model_comes_back_as_it_was() -> None:
    net = trained().train()
    net[2].eval()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = judged(SAMPLES.take(torch.arange(8)), net)
    robustness.robust_accuracy(found, seed=0, attack=Attack(steps=2))
    robustness.corruption_accuracy(found, seed=0, families=("fog",), severities=(1,))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    gradients = [parameter.grad for parameter in net.parameters()]
    assert all(g is not None and torch.equal(g, torch.ones_like(g)) for g in gradients)
    assert [module.training for module in net] == [True, True, False, True, True, True]
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_class_that_the_model_does_not_know_is_answered_wrongly() -> None:
    strange = Samples(SAMPLES.images, torch.full_like(SAMPLES.labels, 7), SAMPLES.splits)
    assert robustness.robust_accuracy(judged(strange), seed=0, attack=Attack(steps=1)) == 0


def test_the_report_is_plain_json_and_adds_up() -> None:
    part = SAMPLES.take(torch.arange(32))
    found = robustness.report(trained(), NORMALISATION, part, seed=3, precision=FP32)
    assert json.loads(json.dumps(found)) == found
    assert found["images"] == 32
    assert found["seed"] == 3
    assert found["clean"]["accuracy"] == 1
    corruption = found["corruption"]
    rows = corruption["families"].values()
    assert len(rows) == 15
    accuracies = [accuracy for row in rows for accuracy in row["accuracy"]]
    assert len(accuracies) == 75
    assert corruption["accuracy"] == pytest.approx(sum(accuracies) / 75)
    assert corruption["error"] == pytest.approx(1 - corruption["accuracy"])
    errors = [ece for row in rows for ece in row["ece"]]
    assert corruption["ece"] == pytest.approx(sum(errors) / 75)
    assert found["clean"]["accuracy"] > corruption["accuracy"] > 0.4
    assert found["clean"]["ece"] < corruption["ece"]
    assert found["pgd"] == {
        "accuracy": robustness.robust_accuracy(judged(part), seed=3),
        "epsilon": 8.0,
        "step": 2.0,
        "steps": 20,
    }
    assert found == robustness.report(trained(), NORMALISATION, part, seed=3, precision=FP32)


def test_no_images_are_no_error() -> None:
    found = robustness.report(trained(), NORMALISATION, create_samples(0), seed=0, precision=FP32)
    assert (found["images"], found["clean"]["accuracy"], found["pgd"]["accuracy"]) == (0, 0.0, 0.0)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_figures() -> None:
    part = SAMPLES.take(torch.arange(32))
    on_cpu = robustness.report(trained(), NORMALISATION, part, seed=0, precision=FP32)
    on_gpu = robustness.report(
        trained().cuda(), NORMALISATION, part, seed=0, precision=serving(torch.device("cuda"))
    )
    trained().cpu()
    apart = on_gpu["corruption"]["accuracy"] - on_cpu["corruption"]["accuracy"]
    assert abs(apart) < 0.01
    assert abs(on_gpu["pgd"]["accuracy"] - on_cpu["pgd"]["accuracy"]) <= 1 / 32
