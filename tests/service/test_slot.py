from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.slot import Room, Served, Slots
from tests.service.serving import CLASSES, SPEC


class _Constant:
    classes = CLASSES

    def predict(self, images_u8: np.ndarray) -> np.ndarray:
        return np.full((len(images_u8), len(CLASSES)), 0.1, dtype=np.float32)

    def warm_up(self) -> None:
        pass


def served(version: int, stream: str = "digits") -> Served:
    return Served(stream, version, f"{version:064x}", _Constant(), CLASSES, SPEC)


def test_a_stream_without_version_has_no_champion() -> None:
    assert Slots().champion("digits") is None


def test_a_request_keeps_the_object_it_started_with_across_a_swap() -> None:
    slots = Slots()
    slots.swap(served(1))
    held = slots.champion("digits")
    slots.swap(served(2))
    assert held is not None
    assert held.version == 1
    assert slots.champions() == {"digits": 2}


def test_a_swap_leaves_other_streams_alone() -> None:
    slots = Slots()
    slots.swap(served(1, "a"))
    slots.swap(served(5, "b"))
    slots.swap(served(2, "a"))
    assert slots.champions() == {"a": 2, "b": 5}


def test_the_champion_of_before_stays_within_reach_for_a_rollback() -> None:
    slots = Slots()
    slots.swap(served(1))
    slots.swap(served(2))
    before = slots.get("digits", 1)
    assert before is not None
    assert before.version == 1


def test_the_pinned_version_unused_for_longest_makes_room() -> None:
    slots = Slots(Room(versions=2))
    slots.pin(served(1))
    slots.pin(served(2))
    assert slots.get("digits", 1) is not None
    slots.pin(served(3))
    assert slots.get("digits", 2) is None
    assert slots.get("digits", 1) is not None
    assert slots.get("digits", 3) is not None


def test_pinned_versions_make_room_by_their_bytes_too() -> None:
    slots = Slots(Room(versions=9, size_bytes=100))
    for version, size_bytes in ((1, 40), (2, 40), (3, 50)):
        slots.pin(replace(served(version), size_bytes=size_bytes))
    assert [slots.get("digits", version) is not None for version in (1, 2, 3)] == [
        False,
        True,
        True,
    ]
    slots.pin(replace(served(4), size_bytes=1000))  # alone too large, yet it was asked for
    assert slots.get("digits", 3) is None
    assert slots.get("digits", 4) is not None


def test_the_champion_is_found_by_its_number() -> None:
    slots = Slots()
    champion = served(7)
    slots.swap(champion)
    assert slots.get("digits", 7) is champion


def test_a_dropped_stream_serves_nothing() -> None:
    slots = Slots()
    slots.swap(served(1))
    slots.drop("digits")
    assert slots.champion("digits") is None
