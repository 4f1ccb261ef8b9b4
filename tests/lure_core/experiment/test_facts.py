"""What a reader needs to do it again, and what was forgotten of each chunk."""

from __future__ import annotations

from pathlib import Path

import pytest

from lure_core.experiment import facts
from lure_core.experiment.plan import Run
from tests.lure_core.experiment.making import create_experiment, create_record


def test_the_settings_are_told_without_what_is_of_this_machine(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, seeds=[3, 4])
    known = facts.facts(settings, [create_record(environment={"device": "cpu"})])
    assert known["settings"]["seeds"] == (3, 4)
    assert known["settings"]["recipe"]["epochs"] == settings.recipe.epochs
    assert not {"data", "out", "jobs"} & set(known["settings"])
    assert known["environments"] == [{"device": "cpu"}]
    assert str(tmp_path) not in "".join(facts.lines(known))


def test_each_old_chunk_is_told_by_itself() -> None:
    accuracies = {0: [[0.9], [0.7, 0.8], [0.8, 0.6, 0.9]], 1: [[0.8], [0.8, 0.6], [0.6, 0.6, 0.5]]}
    records = [
        create_record(Run("lure", seed), chunk=at, chunks=3, earlier=earlier)
        for seed, matrix in accuracies.items()
        for at, earlier in enumerate(matrix, 1)
    ]
    (told,) = facts.per_chunk(records)
    assert (told["method"], told["budget"], told["noise"]) == ("lure", "1", 0.0)
    means = [chunk["mean"] for chunk in told["forgetting"]]
    assert means == pytest.approx([0.15, 0.1])
    assert [chunk["mean"] for chunk in told["backward_transfer"]] == pytest.approx([-0.15, -0.1])
    assert told["forgetting"][0]["count"] == 2
