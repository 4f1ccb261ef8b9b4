"""What may be loaded into the memory of the API, and into which weights."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lure_core import precision
from lure_core.checkpoint import LoadedClassifier
from lure_core.errors import BadCheckpoint, ConfigError
from service.loader import Loader, Manner
from service.pace import Pace
from service.slot import Room, Served, Slots
from store.blobs import Blobs
from store.engine import Database
from store.models import Stream, Version
from tests.digits import images
from tests.service.serving import digits_stream, learned

IMAGES = images[:4, None]


@pytest.fixture
def stream(database: Database) -> Stream:
    return digits_stream(database)


@pytest.fixture
def versions(database: Database, blobs: Blobs, stream: Stream) -> list[Version]:
    """Three, each of weights of its own."""
    return [learned(database, blobs, stream, seed=seed) for seed in (1, 2, 3)]


def test_a_model_of_ones_own_is_loaded_only_from_the_packages_that_are_allowed(
    database: Database, blobs: Blobs, stream: Stream
) -> None:
    version = learned(database, blobs, stream, architecture="lure_core.models.mlp:mlp")
    allowed = Loader(blobs, Manner(packages=["lure_core"]))
    assert allowed.load("digits", version).version == 1
    with pytest.raises(ConfigError, match="not allowed here"):
        Loader(blobs).load("digits", version)


def module(served: Served) -> int:
    """Which module answers."""
    return id(served.classifier.runner)  # type: ignore[attr-defined]


def test_weights_that_nobody_uses_any_more_are_those_of_the_next_version(
    blobs: Blobs, versions: list[Version]
) -> None:
    loader = Loader(blobs)
    first = loader.load("digits", versions[0])
    second = loader.load("digits", versions[1])
    assert module(second) != module(first)
    expected, spare = first.classifier.predict(IMAGES), module(first)
    del first
    third = loader.load("digits", versions[2])
    assert module(third) == spare
    assert not np.allclose(third.classifier.predict(IMAGES), expected)
    del second
    again = loader.load("digits", versions[0])
    assert np.array_equal(again.classifier.predict(IMAGES), expected)


def test_a_version_is_loaded_with_one_thread_and_warmed_up_with_those_that_answer(
    blobs: Blobs, versions: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "ONE_THREAD_BELOW_FLOPS", 0)
    loading: list[int] = []
    warming: list[int] = []

    class Watched(Pace):
        def breathe(self) -> None:
            loading.append(torch.get_num_threads())

    def warm_up(_: LoadedClassifier) -> None:
        warming.append(torch.get_num_threads())

    monkeypatch.setattr(LoadedClassifier, "warm_up", warm_up)
    loader = Loader(blobs, Manner(threads=3))
    with ThreadPoolExecutor(1) as thread:
        for version in versions[:2]:
            thread.submit(loader.load, "digits", version, Watched()).result()
    assert set(loading) == {1}
    assert warming == [3, 3]


def test_weights_that_are_being_computed_with_are_not_spare(
    blobs: Blobs, versions: list[Version]
) -> None:
    """Nobody refers to the version but the thread that computes."""
    loader = Loader(blobs)
    served = loader.load("digits", versions[0])
    used = module(served)
    predict = served.classifier.predict
    del served
    other = loader.load("digits", versions[1])
    assert module(other) != used
    del predict
    assert module(loader.load("digits", versions[2])) == used


def test_a_version_that_cannot_be_loaded_spoils_no_spare(
    blobs: Blobs, versions: list[Version]
) -> None:
    loader = Loader(blobs)
    loader.load("digits", versions[0])  # and let go of: its weights are spare
    path = blobs.local(versions[1].digest)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(BadCheckpoint, match="digest"):
        loader.load("digits", versions[1])
    path.write_bytes(content)
    fresh = Loader(blobs).load("digits", versions[1]).classifier.predict(IMAGES)
    assert np.array_equal(loader.load("digits", versions[1]).classifier.predict(IMAGES), fresh)


def test_of_many_who_predict_while_versions_are_swapped_each_gets_the_answer_of_one(
    blobs: Blobs, versions: list[Version]
) -> None:
    """And of the very one that it asked; spares are loaded all the while."""
    loader, slots = Loader(blobs), Slots(Room(versions=1))
    told = {
        version.version: Loader(blobs).load("digits", version).classifier.predict(IMAGES)
        for version in versions
    }
    slots.swap(loader.load("digits", versions[0]))
    over = threading.Event()

    def ask() -> set[int]:
        seen = set()
        while not over.is_set():
            served = slots.champion("digits")
            assert served is not None
            answer = served.classifier.predict(IMAGES)
            assert np.array_equal(answer, told[served.version])
            seen.add(served.version)
        return seen

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(6)]
        modules = set()
        for turn in range(1, 40):
            slots.swap(loader.load("digits", versions[turn % 3]))
            champion = slots.champion("digits")
            assert champion is not None
            modules.add(module(champion))
        over.set()
        seen = set().union(*(one.result() for one in asking))
    assert seen == {1, 2, 3}
    assert len(modules) < 12  # one that answers, one pinned, and those that six still asked


def test_what_stays_is_left_out_of_garbage_collections_from_the_first_model_on(
    blobs: Blobs, versions: list[Version]
) -> None:
    Loader(blobs).load("digits", versions[0])
    spared = gc.get_freeze_count()
    assert spared > 100_000  # torch alone
    Loader(blobs).load("digits", versions[1])
    assert gc.get_freeze_count() <= spared  # models that come and go are collected
