"""The compiled call: which batches take it, what it costs, that it changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lure_core import compiling, learn
from lure_core.compiling import Compiled
from lure_core.config import Normalisation, Recipe
from lure_core.errors import ConfigError
from lure_core.feed import open_feed
from lure_core.learn import Epoch, Learning, Task
from lure_core.parallel import World
from lure_core.precision import choose
from lure_core.types import Split
from tests.lure_core.making import create_net, create_samples, of_split, same

CPU = torch.device("cpu")
FP32 = choose("fp32", device=CPU, flops=0)


def create_task(count: int = 40, **recipe: object) -> Task:
    settings = Recipe.from_dict({"batch_size": 16, "learning_rate": 0.05, **recipe})
    train, chooses = create_samples(count), of_split(create_samples(16, seed=9), Split.SELECT)
    feed = open_feed([train], [torch.arange(count)], device=CPU, resident_mib=None)
    return Task(feed, chooses, Normalisation((0.3,), (0.2,)), settings, 2, seed=4, precision=FP32)


def fit(task: Task, seed: int = 0) -> tuple[Learning, list[Epoch]]:
    learning = Learning.of(FP32.place(create_net(seed, "mlp")), task.recipe)
    epochs: list[Epoch] = []
    learn.fit(learning, task=task, on_epoch=epochs.append)
    return learning, epochs


def test_only_batches_of_the_one_size_take_the_compiled_call() -> None:
    net, sizes = create_net(architecture="mlp"), []

    def fast(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return net(x)  # type: ignore[no-any-return]

    compiled = Compiled(net, 4, fast)
    for size in (4, 3, 5, 4):
        assert len(compiled(torch.zeros(size, 1, 8, 8))) == size
    assert sizes == [4, 4]


def test_its_cost_is_what_the_first_steps_take_beyond_the_fastest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 10.0, 10.0, 13.0, 13.0, 14.0, 14.0, 16.0])
    monkeypatch.setattr(compiling.time, "perf_counter", lambda: next(clock))
    compiled = Compiled(nn.Identity(), 4, nn.Identity())
    assert compiled.overhead_s == 0
    for count in (4, 3, 4, 4, 4, 4, 4):  # another size and what comes later are not timed
        with compiled.timed(count, CPU):
            pass
    assert compiled.overhead_s == 9 + 2 + 0 + 1


def failing(fault: Exception) -> Callable[[Tensor], Tensor]:
    def fast(_: Tensor) -> Tensor:
        raise fault

    return fast


@pytest.mark.slow
def test_who_cannot_compile_is_told_which_setting_to_change() -> None:
    fault = torch._dynamo.exc.TorchDynamoException("no compiler\nand more")
    compiled = Compiled(nn.Identity(), 4, failing(fault))
    told = r"^recipe\.compile: torch cannot compile here: no compiler$"
    with pytest.raises(ConfigError, match=told), compiled.timed(4, CPU):
        compiled(torch.zeros(4))


def test_a_fault_of_the_model_is_not_the_compilers() -> None:
    compiled = Compiled(nn.Identity(), 4, failing(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match=r"^out of memory$"), compiled.timed(4, CPU):
        compiled(torch.zeros(4))


def test_several_processes_do_not_compile() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.compile"):
        fit(replace(create_task(compile=True), world=World(0, 2)))


@pytest.mark.slow
def test_a_compiled_training_is_the_plain_one() -> None:
    plain, plain_epochs = fit(create_task())
    compiled, epochs = fit(create_task(compile=True))
    assert [e.loss for e in epochs] == pytest.approx([e.loss for e in plain_epochs], rel=1e-4)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    assert type(compiled.model) is type(plain.model)
    for name, value in compiled.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_next_chunk_is_not_compiled_again() -> None:
    first, _ = fit(create_task(compile=True))
    second, _ = fit(create_task(compile=True), seed=1)
    again, _ = fit(create_task(compile=True), seed=1)
    assert second.compile_seconds < 1 + first.compile_seconds / 4
    assert same(second.model.state_dict(), again.model.state_dict())
    assert second.compile_seconds <= second.seconds


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "pruning": 0.5}])
def test_a_training_replayed_as_one_graph_on_a_gpu_is_the_plain_one(
    options: dict[str, float],
) -> None:
    cuda = choose("fp32", device=torch.device("cuda"), flops=0)
    curves = []
    for compiles in (False, True):
        task = create_task(200, compile=compiles, **options)
        samples = create_samples(200)
        feed = open_feed([samples], [torch.arange(200)], device=cuda.device, resident_mib=1)
        task = replace(task, train=feed, select=task.select.to(cuda.device), precision=cuda)
        learning = Learning.of(cuda.place(create_net()), task.recipe)
        epochs: list[Epoch] = []
        learn.fit(learning, task=task, on_epoch=epochs.append)
        curves.append([epoch.loss for epoch in epochs])
    assert curves[1] == pytest.approx(curves[0], rel=0.02)
