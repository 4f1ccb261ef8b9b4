"""The strategy that tries the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lure_core import unlearn
from lure_core.config import Unlearn
from lure_core.errors import ConfigError
from lure_core.rng import generator
from lure_core.types import UnlearnReport
from tests.lure_core.making import create_batches, same
from tests.lure_core.unlearn.zoo import create, forget, fresh, old, probe, with_memory

CANDIDATES = ("lure", "random-reset", "shrink-perturb", "warm", "scratch")


def choose(
    losses: dict[str, float], *, optimizer: bool = False, candidates: tuple[str, ...] = CANDIDATES
) -> tuple[nn.Module, UnlearnReport, list[nn.Module]]:
    """Apply auto with a probe that gives each candidate its loss, in the order of trial."""
    seen: list[nn.Module] = []
    given = iter([losses.get(name, 1.0) for name in candidates])

    def trial(model: nn.Module) -> tuple[float, int]:
        seen.append(create("mlp", 0))
        seen[-1].load_state_dict(model.state_dict())
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return next(given), 500

    model = old("mlp")
    settings = Unlearn.from_dict({"strategy": "auto", "candidates": candidates})
    memory = with_memory(model, torch.optim.SGD) if optimizer else None
    report = unlearn.strategy(settings, trial).apply(
        model, fresh("mlp"), create_batches(40), generator(3), memory
    )
    if memory:
        assert not any(v["momentum_buffer"].any() for v in memory.state.values())
    return model, report, seen


@pytest.mark.parametrize("winner", CANDIDATES)
def test_the_lowest_loss_wins_and_is_applied_as_it_was_tried(winner: str) -> None:
    model, report, seen = choose({winner: 0.5})
    assert same(model.state_dict(), seen[CANDIDATES.index(winner)].state_dict())
    assert report.strategy == "auto"
    assert report.details["winner"] == winner
    assert report.details["losses"] == {**dict.fromkeys(CANDIDATES, 1.0), winner: 0.5}


def test_the_probes_are_paid_for_and_every_application_too() -> None:
    _, report, _ = choose({"lure": 0.1}, candidates=("warm", "lure", "random-reset"))
    alone = forget("lure", "mlp")[1]
    assert report.flops == 3 * 500 + 2 * alone.flops
    assert report.reset == alone.reset
    assert report.subset_images == alone.subset_images
    assert report.mask is not None


def test_candidates_draw_alike() -> None:
    """The subset of lure and of random-reset is one, so that only the choice differs."""
    _, report, seen = choose({}, candidates=("lure", "random-reset", "lure"))
    assert len(seen) == 2
    assert report.details["winner"] == "lure"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_never_wins(bad: float) -> None:
    _, report, _ = choose({"lure": bad, "warm": 3.0, "scratch": 2.0, "random-reset": bad})
    assert report.details["winner"] == "shrink-perturb"
    assert report.details["losses"]["lure"] is None


def test_where_no_loss_is_a_number_the_first_candidate_is_taken() -> None:
    _, report, _ = choose(dict.fromkeys(CANDIDATES, math.nan))
    assert report.details["winner"] == "lure"


def test_of_equals_the_first_wins() -> None:
    assert choose({})[1].details["winner"] == "lure"


def test_the_optimiser_hears_of_the_winner() -> None:
    choose({"scratch": 0.0}, optimizer=True)


def test_the_winners_own_details_are_told() -> None:
    _, report, _ = choose({"shrink-perturb": 0.0})
    assert report.details["winner_details"]["shrink"] == 0.4
    assert report.mask is None


def test_without_a_probe_it_cannot_be_had() -> None:
    with pytest.raises(ConfigError, match="probe"):
        unlearn.strategy(Unlearn(strategy="auto"))


def test_the_mask_is_the_winners() -> None:
    _, one = forget("auto", candidates=["random-reset"])
    _, two = forget("auto", candidates=["random-reset"], seed=4)
    assert not np.array_equal(one.mask, two.mask)
    assert unlearn.strategy(Unlearn(strategy="warm"), probe)
