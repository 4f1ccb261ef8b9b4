"""How many ranks a cycle gets, and why not as many as are wanted."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.lure_core.making import create_config
from worker import device, team
from worker.settings import WorkerSettings

NEEDED: dict[str, Any] = {"database_url": "postgresql://", "redis_url": "redis://", "blobs": "/b"}
PLENTY = {"cores": 8, "images": 1000}


def count(wanted: int, **given: Any) -> tuple[int, str]:
    where = (
        {"gpus": 0} | PLENTY | {n: given.pop(n) for n in ("gpus", "cores", "images") if n in given}
    )
    ranks, remarks = team.count(wanted, create_config(**given), **where)
    return ranks, "; ".join(remarks)


def test_one_is_the_default_and_auto_is_a_word() -> None:
    assert WorkerSettings(**NEEDED).ranks == 1
    assert WorkerSettings(**NEEDED, ranks="auto").ranks == 0
    assert WorkerSettings(**NEEDED, ranks="3").ranks == 3
    for wrong in ("two", "-1", "65"):
        with pytest.raises(ValidationError) as refused:
            WorkerSettings(**NEEDED, ranks=wrong)
        assert refused.value.errors()[0]["loc"] == ("ranks",)


def test_auto_is_one_for_each_gpu() -> None:
    assert count(0) == (1, "")
    assert count(0, gpus=4, device="auto") == (4, "")
    assert count(0, gpus=4, device="cuda:1")[0] == 1


@pytest.mark.parametrize(
    ("given", "ranks", "why"),
    [
        ({}, 4, ""),
        ({"gpus": 2}, 2, "GPU of its own and 2"),
        ({"device": "cuda:0", "gpus": 2}, 1, "LURE_DEVICE names one device"),
        ({"device": "mps"}, 1, "LURE_DEVICE names one device"),
        ({"recipe": {"compile": True}}, 1, "compiles"),
        ({"recipe": {"batch_size": 3}}, 3, "a batch has 3 images"),
        ({"images": 2}, 2, "there are 2 images"),
        ({"images": 0}, 1, "there are 0 images"),
        ({"cores": 6}, 4, "2 of them idle"),
        ({"cores": 2}, 4, "they share them"),
    ],
)
def test_more_than_make_sense_are_not_started(given: dict[str, Any], ranks: int, why: str) -> None:
    found, words = count(4, **given)
    assert found == ranks
    assert why in words
    assert bool(words) == bool(why)


def test_the_ranks_divide_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpus", lambda: 7)
    large = create_config(
        architecture="resnet18",
        input={"channels": 3, "height": 64, "width": 64},
        normalisation={"mean": [0.5] * 3, "std": [0.2] * 3},
    )
    for ranks, threads in ((1, 7), (2, 3), (8, 1)):
        assert device.threads_for(0, large, ranks=ranks) == threads
    assert device.threads_for(6, large, ranks=2) == 3
    assert device.threads_for(0, create_config(), ranks=2) == 1  # too thin for a second thread
