"""Several processes train as one: the same curve, the same weights, one that reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from lure_core import parallel
from lure_core.parallel import World
from lure_core.rng import generator
from tests.lure_core import ranks
from tests.lure_core.making import create_net, same

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Together:
    """What each rank left."""

    figures: list[dict[str, Any]]
    tensors: list[dict[str, Tensor]]


def torchrun(folder: Path, size: int, cases: list[str]) -> Together:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(size), "-m", "tests.lure_core.ranks", str(folder), *cases]
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | loopback, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    figures = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(size)]
    tensors = [load_file(folder / f"rank-{rank}.safetensors") for rank in range(size)]
    return Together(figures, tensors)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return torchrun(tmp_path_factory.mktemp("two"), 2, [*ranks.CASES, *ranks.CYCLES])


def assert_as_one(together: Together, case: str) -> None:
    """The curve of one process; float32 adds otherwise in another order."""
    alone, weights = ranks.train(case)
    found = together.figures[0][case]
    assert found["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    for figure in ("accuracy", "seen", "best_epoch", "types"):
        assert found[figure] == alone[figure]
    for name, value in weights.items():
        torch.testing.assert_close(together.tensors[0][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", ranks.CASES)
def test_two_processes_have_the_curve_of_one(two: Together, case: str) -> None:
    assert_as_one(two, case)


SAME_CURVE = {"rel": 1e-6}
"""Measured: the losses differ by 2e-7 of themselves at most, over twelve epochs too."""


@pytest.mark.parametrize("case", ranks.CYCLES)
def test_a_cycle_of_two_processes_is_that_of_one(two: Together, case: str) -> None:
    """But for the order in which figures are added: unlearning resets the very same weights."""
    alone, tensors = ranks.run(case)
    found = two.figures[0][case]
    assert found["loss"] == pytest.approx(alone.pop("loss"), **SAME_CURVE)
    assert (alone.pop("ranks"), alone.pop("backend")) == (1, None)
    assert (found["ranks"], found["backend"]) == (2, "gloo")
    for figure, value in alone.items():
        assert (figure, found[figure]) == (figure, value)
    for name, value in tensors.items():
        ours = two.tensors[0][name]
        if name.endswith((".answer", ".mask")):
            assert torch.equal(ours, value), name
        else:
            torch.testing.assert_close(ours, value, rtol=1e-4, atol=1e-5)


def test_all_ranks_end_with_the_same_bits(two: Together) -> None:
    assert same(*two.tensors)


def test_only_rank_0_reports(two: Together) -> None:
    assert [(figures["rank"], figures["size"]) for figures in two.figures] == [(0, 2), (1, 2)]
    assert [len(figures["mlp"]["loss"]) for figures in two.figures] == [3, 0]


@pytest.mark.slow
def test_a_process_without_an_image_keeps_step(tmp_path: Path) -> None:
    """Three processes, batches of two."""
    together = torchrun(tmp_path, 3, ["small"])
    assert_as_one(together, "small")
    assert all(same(together.tensors[0], other) for other in together.tensors)


@given(count=st.integers(0, 99), size=st.integers(1, 9))
def test_parts_make_the_whole_and_are_of_nearly_one_size(count: int, size: int) -> None:
    parts = [World(rank, size).part(count) for rank in range(size)]
    assert [at for part in parts for at in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = parallel.start()
    tensor = torch.tensor([1.0, 2.0])
    world.add(tensor)
    world.agree([tensor])
    parallel.stop()
    assert world == parallel.world() == World(0, 1)
    assert tensor.tolist() == [1, 2]
    assert world.own(5) == 5
    assert not dist.is_initialized()


def test_ranks_draw_differently() -> None:
    assert len({World(rank, 3).own(5) for rank in range(3)}) == 3


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.BatchNorm2d(3),
    "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
    "without gain": lambda: nn.BatchNorm2d(3, affine=False),
    "without statistics": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "1d": lambda: nn.BatchNorm1d(3),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_batchnorm_over_all_processes_is_batchnorm(kind: str, training: bool) -> None:
    """In a world of one the exchange does nothing; the formulas are the same."""
    layers = [LAYERS[kind]().train(training) for _ in range(2)]
    shape = (5, 3) if kind == "1d" else (5, 3, 4, 2)
    outcomes = []
    for layer, call in zip(layers, (None, parallel._normalised), strict=True):
        draws = generator(1)
        for _ in range(2):
            x = (torch.randn(shape, generator=draws) * 3 + 50).requires_grad_()
            y = layer(x) if call is None else call(layer, World(), x)  # type: ignore[arg-type]
            (y * torch.randn(shape, generator=draws)).sum().backward()
        outcomes.append([y, x.grad, *(p.grad for p in layer.parameters()), *layer.buffers()])
    for expected, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_modules_are_themselves_again_afterwards() -> None:
    net = create_net()
    names, kinds = list(net.state_dict()), [type(m) for m in net.modules()]
    with parallel.synchronised(net, World(0, 2)):
        assert list(net.state_dict()) == names
        assert [type(m) for m in net.modules()] == kinds
        assert any("forward" in vars(m) for m in net.modules())
    assert not any("forward" in vars(m) for m in net.modules())
