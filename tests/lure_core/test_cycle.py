"""Whole cycles: what comes out, that it is repeatable, and that interruptions leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from lure_core import checkpoint, evaluate
from lure_core.answers import Answers
from lure_core.calibration import fit_temperature
from lure_core.config import CycleConfig
from lure_core.cycle import CycleData, calibrate, judge, run_cycle
from lure_core.data import Samples, gather, normalise
from lure_core.errors import BadCheckpoint, BadChunkFile
from lure_core.learn import Learning
from lure_core.types import Checkpoint, CycleResult, Metrics, Progress, Split, Start
from tests.lure_core.making import create_config, create_net, create_samples, of_split, same

OLD, NEW = create_samples(96, seed=1), create_samples(80, seed=2)
DATA = CycleData([NEW], [OLD])


def listen(_: Progress) -> None:
    pass


@cache
def first() -> CycleResult:
    return run_cycle(Start(), CycleData([OLD]), create_config(recipe={"learn_epochs": 3}), listen)


def second(
    config: CycleConfig | None = None,
    on_stage: Callable[[Progress], None] = listen,
    resume: bytes | None = None,
) -> CycleResult:
    start = Start(first().checkpoint, resume)
    return run_cycle(start, DATA, config or create_config(recipe={"epochs": 3}), on_stage)


def test_a_first_chunk_is_learned_from_a_fresh_model() -> None:
    seen: list[Progress] = []
    config = create_config(recipe={"learn_epochs": 3})
    result = run_cycle(Start(), CycleData([OLD]), config, seen.append)
    assert [(p.stage, p.epoch) for p in seen] == [
        ("relearn", 0),
        ("relearn", 1),
        ("relearn", 2),
        ("relearn", 3),
        ("evaluate", 0),
    ]
    assert (result.parent_metrics, result.prequential_accuracy, result.unlearn) == (None,) * 3
    assert result.parent_answers is None
    assert result.epochs == 3
    assert set(result.timings) == {"relearn", "evaluate"}


def test_a_later_chunk_goes_through_every_stage() -> None:
    seen: list[Progress] = []
    result = second(on_stage=seen.append)
    assert [(p.stage, p.epoch) for p in seen] == [
        ("prequential", 0),
        ("unlearn", 0),
        ("relearn", 0),
        ("relearn", 1),
        ("relearn", 2),
        ("relearn", 3),
        ("evaluate", 0),
    ]
    assert all(p.epochs == 3 for p in seen)
    assert [p.loss is not None for p in seen] == [p.epoch > 0 for p in seen]
    assert result.unlearn is not None
    assert result.unlearn.reset == round(0.2 * result.unlearn.counted)
    assert set(result.timings) == {"prequential", "unlearn", "relearn", "evaluate"}
    assert result.images_per_s > 0
    assert result.environment["precision"] == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_figures_are_those_of_the_classifier_that_is_served(precision: str) -> None:
    """Whatever the precision of training: the gate is to judge what will answer.

    Folded BatchNorms round otherwise, so that probabilities differ in their last digits.
    """
    result = second(create_config(recipe={"epochs": 1, "precision": precision}))

    def score(version: Checkpoint, samples: Samples) -> Metrics:
        served = checkpoint.load_classifier(version.weights, version.sidecar)
        answers = Answers.of(served.predict(samples.images), samples.labels.numpy())
        return evaluate.metrics(answers, classes="abc")

    pooled, parent = DATA.judged(), result.parent_metrics
    assert parent is not None
    for told, version in ((result.metrics, result.checkpoint), (parent, first().checkpoint)):
        found = score(version, pooled)
        assert replace(told, ece=found.ece) == found
        assert told.ece == pytest.approx(found.ece, abs=1e-6)
    assert result.prequential_accuracy == score(first().checkpoint, NEW).accuracy
    assert result.environment["precision"] == precision


def without_judged(samples: Samples) -> Samples:
    """The same, but for blank judge images of one class."""
    kept = samples.splits != int(Split.JUDGE)
    return Samples(
        samples.images * kept[:, None, None, None], samples.labels * kept, samples.splits
    )


@pytest.mark.parametrize("strategy", ["scratch", "lure", "lure-official"])
def test_judge_images_change_no_weight(strategy: str) -> None:
    config = create_config(recipe={"epochs": 1}, unlearn={"strategy": strategy})
    start = Start(first().checkpoint)
    blank = CycleData([without_judged(NEW)], [without_judged(OLD)])
    unseen, seen = (run_cycle(start, data, config, listen) for data in (blank, DATA))
    assert unseen.checkpoint == seen.checkpoint
    assert unseen.metrics != seen.metrics


def test_how_the_past_is_cut_into_chunks_changes_no_weight() -> None:
    config = create_config(recipe={"epochs": 1})
    pieces = CycleData([NEW], [OLD.take(torch.arange(40)), OLD.take(torch.arange(40, 96))])
    cut = run_cycle(Start(first().checkpoint), pieces, config, listen)
    assert cut.checkpoint == second(config).checkpoint


def test_judging_a_version_gives_the_figures_its_cycle_gave() -> None:
    result = second()
    answers = judge(result.checkpoint, DATA, create_config())
    assert evaluate.metrics(answers, classes="abc") == result.metrics
    assert alike(answers, result.answers)


def alike(one: Answers, other: Answers) -> bool:
    """Bit for bit."""
    arrays = ("label_N", "answer_N", "confidence_N", "part_N")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def test_the_temperature_is_fitted_to_the_select_images_of_all_chunks() -> None:
    version, config = first().checkpoint, create_config()
    select = gather(DATA.parts, Split.SELECT)
    with torch.inference_mode():
        logits = checkpoint.restore(version)(normalise(select.images, config.normalisation))
    fitted = calibrate(version, DATA, config)
    assert fitted is not None
    expected = fit_temperature(logits, select.labels)
    assert fitted.temperature == pytest.approx(expected.temperature, rel=1e-3)


def test_there_is_no_temperature_without_select_images_or_numbers() -> None:
    config = create_config()
    unselected = CycleData([of_split(NEW, Split.TRAIN)], [of_split(OLD, Split.JUDGE)])
    assert calibrate(first().checkpoint, unselected, config) is None
    broken = create_net()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    assert calibrate(checkpoint.pack(broken, config), DATA, config) is None


def test_answers_tell_of_each_judge_image_which_chunk_it_came_in() -> None:
    named = CycleData([replace(NEW, name="new")], [replace(OLD, name="old")])
    result = run_cycle(
        Start(first().checkpoint), named, create_config(recipe={"epochs": 1}), listen
    )
    answers, parent = result.answers, result.parent_answers
    assert parent is not None
    assert answers.names == parent.names == ("old", "new")
    assert answers.label_N.tolist() == parent.label_N.tolist() == DATA.judged().labels.tolist()
    counts = [len(samples.of(Split.JUDGE)) for samples in (OLD, NEW)]
    assert [tally.images for tally in answers.by_chunk()] == counts
    assert sum(tally.correct for tally in answers.by_chunk()) == result.metrics.correct
    assert answers.confidence_N.max() <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_give_the_same_bits(precision: str) -> None:
    config = create_config(recipe={"epochs": 1, "precision": precision})
    assert second(config).checkpoint.weights == second(config).checkpoint.weights


def test_another_seed_gives_other_weights() -> None:
    one = second(create_config(recipe={"epochs": 1}))
    assert (
        one.checkpoint.weights
        != second(create_config(recipe={"epochs": 1}, seed=6)).checkpoint.weights
    )


@cache
def uninterrupted() -> tuple[CycleResult, list[bytes]]:
    states: list[bytes] = []

    def keep(progress: Progress) -> None:
        assert progress.state is not None
        states.append(progress.state())

    return second(on_stage=keep), states


@pytest.mark.parametrize("at", range(7))
def test_an_interrupted_cycle_ends_as_the_uninterrupted_one(at: int) -> None:
    expected, states = uninterrupted()
    result = second(resume=states[at])
    assert result.checkpoint == expected.checkpoint
    assert result.metrics == expected.metrics
    assert result.parent_metrics == expected.parent_metrics
    assert alike(result.answers, expected.answers)
    assert result.prequential_accuracy == expected.prequential_accuracy
    assert result.best_epoch == expected.best_epoch
    if at > 1:  # the report is carried over, not made again
        assert result.unlearn == expected.unlearn


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_an_interruption_leaves_no_trace_with_two_threads_either() -> None:
    config = create_config(recipe={"epochs": 2, "batch_size": 64})
    states: list[bytes] = []
    keep = lambda progress: states.append(progress.state())  # noqa: E731
    expected = second(config, keep)
    assert expected.environment["threads"] == 2
    assert second(config, resume=states[3]).checkpoint == expected.checkpoint


def test_a_cycle_resumed_elsewhere_says_where_it_was_before() -> None:
    """Here with other threads; back on the first machine the other one is not forgotten."""
    config = create_config(recipe={"epochs": 3})
    states = uninterrupted()[1]
    later: list[bytes] = []
    torch.set_num_threads(2)
    try:
        moved = second(config, lambda p: later.append(p.state() if p.state else b""), states[4])
    finally:
        torch.set_num_threads(1)
    returned = second(config, resume=later[1])

    alone = uninterrupted()[0].environment
    assert "resumed_from" not in alone
    assert moved.environment == alone | {"threads": 2, "resumed_from": [alone]}
    assert returned.environment == alone | {"resumed_from": [alone | {"threads": 2}]}
    assert returned.checkpoint.sidecar["environment"] == returned.environment


def test_taking_states_changes_nothing() -> None:
    assert uninterrupted()[0].checkpoint == second().checkpoint


def test_a_resumed_cycle_does_not_repeat_what_was_done() -> None:
    seen: list[Progress] = []
    second(on_stage=seen.append, resume=uninterrupted()[1][4])
    assert [(p.stage, p.epoch) for p in seen] == [("relearn", 2), ("relearn", 3), ("evaluate", 0)]


def test_a_cycle_interrupted_at_every_step_ends_the_same() -> None:
    """Each life gets one report further than the last."""

    class Killed(Exception):
        pass

    state: bytes | None = None
    lives = 0
    while True:
        calls = 0

        def die_at_the_second(progress: Progress) -> None:
            nonlocal state, calls
            calls += 1
            assert progress.state is not None
            state = progress.state()
            if calls == 2:
                raise Killed

        lives += 1
        try:
            result = second(on_stage=die_at_the_second, resume=state)
            break
        except Killed:
            continue
    assert lives > 5
    assert result.checkpoint == uninterrupted()[0].checkpoint


def test_a_first_chunk_can_be_resumed() -> None:
    states: list[bytes] = []
    config = create_config(recipe={"learn_epochs": 3})
    keep = lambda progress: states.append(progress.state())  # noqa: E731
    expected = run_cycle(Start(), CycleData([OLD]), config, keep)
    for state in states:
        resumed = run_cycle(Start(None, state), CycleData([OLD]), config, listen)
        assert resumed.checkpoint == expected.checkpoint


@pytest.mark.parametrize(
    ("start", "data", "config"),
    [
        (first, DATA, create_config(recipe={"epochs": 4})),
        (first, DATA, create_config(recipe={"epochs": 3}, seed=6)),
        (first, CycleData([OLD], [NEW]), create_config(recipe={"epochs": 3})),
        (lambda: None, DATA, create_config(recipe={"epochs": 3})),
    ],
)
def test_a_state_of_another_cycle_is_refused(
    start: Callable[[], CycleResult | None], data: CycleData, config: CycleConfig
) -> None:
    parent = start()
    state = uninterrupted()[1][4]
    with pytest.raises(BadCheckpoint, match="other data"):
        run_cycle(Start(parent and parent.checkpoint, state), data, config, listen)


def test_a_listener_can_stop_the_cycle() -> None:
    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.stage == "unlearn":
            raise Stop

    with pytest.raises(Stop):
        second(on_stage=stop)


@pytest.mark.parametrize("strategy", ["warm", "scratch", "lure", "lure-official"])
def test_every_strategy_makes_a_version(strategy: str) -> None:
    result = second(create_config(recipe={"epochs": 1}, unlearn={"strategy": strategy}))
    assert result.unlearn is not None
    assert result.unlearn.strategy == strategy
    assert result.metrics.images == len(DATA.judged())


def test_scratch_is_learning_the_same_data_from_the_cycles_fresh_model() -> None:
    config = create_config(recipe={"epochs": 1}, unlearn={"strategy": "scratch"})
    plain = run_cycle(Start(), CycleData([OLD, NEW]), config, listen)
    assert second(config).checkpoint == plain.checkpoint


def test_it_learns_what_is_there_to_learn() -> None:
    config = create_config(recipe={"epochs": 6, "schedule": "linear"})
    assert second(config).metrics.accuracy > 0.9


def test_no_image_to_judge_is_no_error() -> None:
    data = CycleData([of_split(NEW, Split.TRAIN)], [of_split(OLD, Split.TRAIN)])
    result = run_cycle(Start(first().checkpoint), data, create_config(recipe={"epochs": 1}), listen)
    assert (result.metrics.images, len(result.answers)) == (0, 0)
    assert result.parent_metrics == result.metrics
    assert result.best_epoch == 1


def test_a_chunk_without_training_images_still_makes_a_version() -> None:
    data = CycleData([of_split(NEW, Split.JUDGE)], [OLD])
    result = run_cycle(Start(first().checkpoint), data, create_config(recipe={"epochs": 1}), listen)
    assert result.unlearn is not None
    assert result.unlearn.subset_images == len(OLD.of(Split.TRAIN))


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadChunkFile, match="no training image"):
        run_cycle(Start(), CycleData([of_split(NEW, Split.JUDGE)]), create_config(), listen)
    with pytest.raises(BadChunkFile, match="shape"):
        run_cycle(Start(), CycleData([create_samples(4, channels=3)]), create_config(), listen)
    with pytest.raises(BadChunkFile, match="label"):
        run_cycle(Start(), CycleData([create_samples(9, classes=4)]), create_config(), listen)


def test_a_parent_of_another_stream_is_refused() -> None:
    other = checkpoint.pack(create_net(), create_config(classes=["x", "y", "z"]))
    with pytest.raises(BadCheckpoint, match="classes"):
        run_cycle(Start(other), DATA, create_config(), listen)


def test_states_hold_the_best_weights_only_where_they_are_others() -> None:
    config = create_config()
    learning = Learning.of(create_net(1), config.recipe)
    learning.epoch = 1
    learning.keep(correct=5)
    tensors, _ = learning.dump()
    assert not any(name.startswith("best.") for name in tensors)
    learning.epoch = 2
    learning.keep(correct=4)
    tensors, figures = learning.dump()
    other = Learning.of(create_net(2), config.recipe)
    other.load(tensors, figures)
    assert (other.best_epoch, other.best_correct) == (1, 5)
    assert same(other.best, learning.best)
