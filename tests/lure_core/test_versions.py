"""Versions: heads that grow, scores on classes not known, the lineage's origin."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from lure_core import checkpoint, versions
from lure_core.config import CycleConfig
from lure_core.cycle import CycleData, CycleResult, Start, run_cycle
from lure_core.data import normalise
from lure_core.errors import BadCheckpoint
from tests.lure_core.making import create_config, create_samples

OLD, NEW = create_samples(96, seed=1), create_samples(80, seed=2, classes=4)
FOUR = ["a", "b", "c", "d"]


def config_of(classes: list[str], **recipe: object) -> CycleConfig:
    return create_config(classes=classes, recipe={"epochs": 1, **recipe}, seed=7)


@cache
def first() -> CycleResult:
    return run_cycle(Start(), CycleData([OLD]), config_of(FOUR[:3]), lambda _: None)


def test_old_logits_are_the_same_bit_for_bit_after_the_head_has_grown() -> None:
    config = config_of(FOUR)
    parent = checkpoint.restore(first().checkpoint).eval()
    grown = versions.descend(first().checkpoint, config).eval()
    x = normalise(NEW.images, config.normalisation)
    with torch.inference_mode():
        for count in (1, 2, 33, 80):
            assert torch.equal(grown(x[:count])[:, :3], parent(x[:count]))
            assert grown(x[:count]).shape == (count, 4)


def test_a_cycle_learns_a_class_that_its_parent_does_not_know() -> None:
    later = run_cycle(
        Start(first().checkpoint),
        CycleData([NEW], [OLD]),
        config_of(FOUR, epochs=10),
        print_nothing,
    )
    assert later.checkpoint.sidecar["classes"] == FOUR
    assert later.parent_metrics is not None
    assert later.parent_metrics.per_class["d"] == 0.0
    assert later.metrics.per_class["d"] is not None
    assert later.metrics.per_class["d"] > 0.5


def print_nothing(_: object) -> None:
    pass


def test_classes_in_another_order_are_refused() -> None:
    with pytest.raises(BadCheckpoint, match="are not the first of the stream's"):
        versions.descend(first().checkpoint, config_of(["b", "a", "c", "d"]))


def test_fewer_classes_than_the_parent_has_are_refused() -> None:
    with pytest.raises(BadCheckpoint, match="are not the first of the stream's"):
        versions.descend(first().checkpoint, config_of(FOUR[:2]))


def test_the_origin_travels_with_the_lineage() -> None:
    later = run_cycle(
        Start(first().checkpoint),
        CycleData([NEW], [OLD]),
        create_config(classes=FOUR, recipe={"epochs": 1}, seed=8),
        print_nothing,
    )
    assert later.checkpoint.sidecar["origin"] == {"seed": 7, "classes": 3}


def test_the_origins_weights_are_those_that_learning_began_with() -> None:
    begun = dict(versions.fresh(config_of(FOUR[:3])).named_parameters())
    origin = {"seed": 7, "classes": 3}
    found = versions.origin_weights(origin, create_config(classes=FOUR, seed=8))
    assert found.keys() == begun.keys()
    assert torch.equal(found["conv1.weight"], begun["conv1.weight"])
    assert torch.equal(found["fc.weight"][:3], begun["fc.weight"])
    assert found["fc.weight"].shape[0] == 4
