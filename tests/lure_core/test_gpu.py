"""A cycle on a CUDA device: ResNet-18 in bf16, channels last. Deselected where there is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from lure_core import evaluate
from lure_core.answers import Answers
from lure_core.checkpoint import load_classifier
from lure_core.config import CycleConfig
from lure_core.cycle import CycleData, run_cycle
from lure_core.types import Checkpoint, CycleResult, Metrics, Progress, Start
from tests.lure_core.making import create_config, create_samples

pytestmark = pytest.mark.gpu

OLD, NEW = create_samples(512, seed=1), create_samples(256, seed=2)
DATA = CycleData([NEW], [OLD])


def listen(_: Progress) -> None:
    pass


def config() -> CycleConfig:
    recipe = {"epochs": 6, "learn_epochs": 6, "schedule": "linear", "precision": "auto"}
    return create_config(architecture="resnet18", device="cuda", recipe=recipe)


@cache
def first() -> CycleResult:
    return run_cycle(Start(), CycleData([OLD]), config(), listen)


def second(
    on_stage: Callable[[Progress], None] = listen, resume: bytes | None = None
) -> CycleResult:
    return run_cycle(Start(first().checkpoint, resume), DATA, config(), on_stage)


@cache
def uninterrupted() -> tuple[CycleResult, list[bytes]]:
    states: list[bytes] = []

    def keep(progress: Progress) -> None:
        assert progress.state is not None
        states.append(progress.state())

    return second(keep), states


def judged_on_the_cpu(version: Checkpoint) -> Metrics:
    pooled = DATA.judged()
    answers = load_classifier(version.weights, version.sidecar).predict(pooled.images)
    return evaluate.metrics(Answers.of(answers, pooled.labels.numpy()), classes="abc")


def test_it_learns_in_bf16_and_channels_last() -> None:
    result, _ = uninterrupted()
    assert result.environment["device"].startswith("cuda")
    assert (result.environment["precision"], result.environment["channels_last"]) == ("bf16", True)
    assert first().metrics.accuracy > 0.9
    assert result.metrics.accuracy > 0.9
    assert result.unlearn is not None
    assert result.unlearn.reset == round(0.2 * result.unlearn.counted)


@pytest.mark.parametrize("at", [1, 4])
def test_an_interrupted_cycle_goes_on(at: int) -> None:
    expected, states = uninterrupted()
    resumed = second(resume=states[at])
    assert resumed.epochs == expected.epochs
    assert resumed.metrics.accuracy == pytest.approx(expected.metrics.accuracy, abs=0.05)


@pytest.mark.parametrize(
    "sections",
    [
        {"resident_mib": 0},
        {"recipe": {"epochs": 6, "ema": 0.99}},
        {"recipe": {"epochs": 6, "pruning": 0.5, "l2_init": 1e-3}},
        {"recipe": {"epochs": 6, "old_share": 0.5}},
        {"recipe": {"epochs": 6, "compile": True}},
        {"unlearn": {"strategy": "auto"}},
        {"unlearn": {"strategy": "dash"}},
        {"replay": {"kind": "buffer", "capacity": 100}, "resident_mib": 0},
        {"classes": ["a", "b", "c", "d"]},
    ],
    ids=str,
)
def test_every_option_runs_there(sections: dict[str, Any]) -> None:
    told = create_config(architecture="resnet18", device="cuda", **sections)
    result = run_cycle(Start(first().checkpoint), DATA, told, listen)
    assert result.environment["device"].startswith("cuda")
    assert result.metrics.accuracy > 0.5


def test_two_runs_agree_within_tolerance() -> None:
    """Not to the bit: cuDNN adds some gradients in whatever order its blocks finish."""
    one, again = uninterrupted()[0], second()
    assert again.metrics.accuracy == pytest.approx(one.metrics.accuracy, abs=0.05)
    assert again.prequential_accuracy == pytest.approx(one.prequential_accuracy, abs=0.02)


def test_its_weights_answer_on_the_cpu_as_they_did_on_the_device() -> None:
    result, _ = uninterrupted()
    on_the_cpu = judged_on_the_cpu(result.checkpoint)
    assert on_the_cpu.images == result.metrics.images
    assert on_the_cpu.accuracy == pytest.approx(result.metrics.accuracy, abs=0.03)
    assert on_the_cpu.ece == pytest.approx(result.metrics.ece, abs=0.05)
