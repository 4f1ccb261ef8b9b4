"""What a cycle relearns from: the share of the past, and the trial of a candidate."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from lure_core import learn, precision, relearning, replay
from lure_core.config import CycleConfig, InputSpec
from lure_core.cycle import CycleData, CycleResult, Progress, Start, run_cycle
from lure_core.errors import BadChunkFile
from lure_core.models.cost import forward_flops
from lure_core.types import Split
from tests.lure_core.making import create_config, create_net, create_samples, of_split

OLDEST, OLD, NEW = (create_samples(count, seed=count) for count in (40, 96, 80))
DATA = CycleData([NEW], [OLDEST, OLD])
CPU = precision.serving(torch.device("cpu"))


def thinned(**recipe: Any) -> list[list[int]]:
    config = create_config(recipe=recipe)
    replayed = replay.choose(DATA, config.replay, seed=0)
    rows = relearning.thin_past(replayed, config, create_net(1), precision=CPU)
    return [part.tolist() for part in rows]


def training_rows(number: int) -> list[int]:
    return (DATA.past[number].splits == int(Split.TRAIN)).nonzero().flatten().tolist()


def test_all_of_the_past_is_relearned_unless_told_otherwise() -> None:
    assert thinned()[:2] == [training_rows(0), training_rows(1)]


@pytest.mark.parametrize("old_by", ["loss", "chance"])
def test_an_exact_share_of_the_past_and_all_that_is_new(old_by: str) -> None:
    everything, half = thinned(), thinned(old_share=0.5, old_by=old_by)
    count = len(everything[0]) + len(everything[1])
    assert len(half[0]) + len(half[1]) == round(count / 2)
    assert half[2] == everything[2]
    for part, whole in zip(half, everything, strict=True):
        assert part == sorted(set(part))
        assert set(part) <= set(whole)
    assert half == thinned(old_share=0.5, old_by=old_by)


def test_nothing_to_learn_from_is_said() -> None:
    config = create_config()
    data = CycleData([of_split(NEW, Split.JUDGE)])
    replayed = replay.choose(data, config.replay, seed=0)
    with pytest.raises(BadChunkFile, match="no training image"):
        relearning.task(replayed, replayed.rows(Split.TRAIN), config, precision=CPU, first=True)


def cycle(config: CycleConfig, resume: bytes | None = None, stop_at: int = 0) -> CycleResult:
    parent = run_first()

    def listen(progress: Progress) -> None:
        if stop_at and progress.epoch == stop_at:
            assert progress.state is not None
            raise Stopped(progress.state())

    return run_cycle(Start(parent.checkpoint, resume), DATA, config, listen)


@cache
def run_first() -> CycleResult:
    return run_cycle(Start(), CycleData([OLD]), create_config(), lambda _: None)


class Stopped(Exception):
    def __init__(self, state: bytes) -> None:
        self.state = state


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("recipe", {"old_share": 0.5}),
        ("recipe", {"l2_init": 1e-3}),
        ("replay", {"kind": "none"}),
        ("replay", {"kind": "one"}),
        ("replay", {"kind": "buffer", "capacity": 20}),
        ("unlearn", {"strategy": "auto", "candidates": ["lure", "warm"]}),
        ("unlearn", {"strategy": "random-reset"}),
    ],
)
def test_every_option_survives_an_interruption_bit_for_bit(
    section: str, values: dict[str, Any]
) -> None:
    config = create_config(**{section: values})
    whole = cycle(config)
    with pytest.raises(Stopped) as stopped:
        cycle(config, stop_at=1)
    resumed = cycle(config, resume=stopped.value.state)
    assert resumed.checkpoint.weights == whole.checkpoint.weights
    assert (resumed.flops, resumed.replayed) == (whole.flops, whole.replayed)
    assert resumed.unlearn is not None
    assert whole.unlearn is not None
    masks = [report.mask for report in (resumed.unlearn, whole.unlearn)]
    assert (masks[0] is None) == (masks[1] is None)
    if masks[0] is not None:
        assert masks[0].tolist() == masks[1].tolist()


def test_a_resumed_cycle_trains_on_the_rows_that_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine might choose others: losses differ there in their last bit."""
    config = create_config(recipe={"old_share": 0.5})
    whole = cycle(config)
    with pytest.raises(Stopped) as stopped:
        cycle(config, stop_at=1)
    monkeypatch.setattr(relearning, "thin_past", None)
    parent = run_first()
    start = Start(parent.checkpoint, stopped.value.state)
    resumed = run_cycle(start, DATA, config, lambda _: None)
    assert resumed.checkpoint.weights == whole.checkpoint.weights


@pytest.mark.parametrize(
    ("sections", "extra"),
    [
        ({}, {}),
        ({"recipe": {"old_share": 0.5}}, {"subsample": "past"}),
        ({"unlearn": {"strategy": "warm"}}, {"unlearn": "nothing"}),
    ],
)
def test_every_image_is_paid_for(sections: dict[str, Any], extra: dict[str, str]) -> None:
    result = cycle(create_config(**sections))
    image = relearning_flops()
    past = len(training_rows(0)) + len(training_rows(1))
    new = int((NEW.splits == int(Split.TRAIN)).sum())
    select = sum(int((s.splits == int(Split.SELECT)).sum()) for s in (OLDEST, OLD, NEW))
    trained = (round(past / 2) if "subsample" in extra else past) + new
    judges = len(DATA.judged())
    assert result.flops == {
        "relearn": 3 * 2 * trained * image,
        "select": 2 * select * image,
        "subsample": past * image if "subsample" in extra else 0,
        "prequential": len(NEW) * image,
        "evaluate": 2 * judges * image,
        "unlearn": 0 if "unlearn" in extra else 4 * new * image,
    }


def relearning_flops() -> int:
    return forward_flops(create_net(), InputSpec(1, 8, 8))


def test_a_trial_ends_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    config = create_config()
    replayed = replay.choose(DATA, config.replay, seed=0)
    rows = replayed.rows(Split.TRAIN)
    task = relearning.task(replayed, rows, config, precision=CPU, first=False)
    seen: list[learn.Task] = []
    fit = learn.fit
    monkeypatch.setattr(
        learn,
        "fit",
        lambda learning, *, task, on_epoch: (
            seen.append(task) or fit(learning, task=task, on_epoch=on_epoch)
        ),
    )
    loss, flops = relearning.trial(create_net(), task, share=0.5, forward_flops=7)
    (short,) = seen
    assert short.recipe.schedule == "linear"
    assert short.epochs * len(short.train) == pytest.approx(
        task.epochs * len(task.train) / 2, abs=1
    )
    assert loss > 0
    assert flops == 7 * (3 * len(short.train) + len(task.select))


def test_the_replay_kind_decides_what_is_trained_on() -> None:
    def trained(**values: Any) -> int:
        return cycle(create_config(recipe={"epochs": 1}, replay=values)).trained

    past, one, new = (
        sum(int((s.splits == int(Split.TRAIN)).sum()) for s in part)
        for part in ([OLDEST, OLD], [OLD], [NEW])
    )
    assert trained(kind="full") == past + new
    assert trained(kind="one") == one + new
    assert trained(kind="none") == new
    assert new < trained(kind="buffer", capacity=20) <= new + 20


def test_every_replay_is_judged_on_all_chunks() -> None:
    result = cycle(create_config(recipe={"epochs": 1}, replay={"kind": "none"}))
    assert result.metrics.images == len(DATA.judged())
    assert result.replayed["images"] == 0
