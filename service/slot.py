"""The models in memory: each stream's champion, and a few versions that were asked for by number.

A swap is one assignment. A request keeps the object that it started with, so a swap neither stops
it nor changes its answer, and the version that it names is the one that computed it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from lure_core.config import InputSpec
from lure_core.types import Classifier
from store.serving import Key


@dataclass(frozen=True)
class Served:
    """A version ready to answer; `digest` is the sha256 of its weights in hex."""

    stream: str
    version: int
    digest: str
    classifier: Classifier
    classes: tuple[str, ...]
    input: InputSpec
    size_bytes: int = 0  # of its weights in memory
    flops: int = 0  # of one image's answer

    @property
    def key(self) -> Key:
        """What tells it from all others, also from those of an earlier stream of that name."""
        return self.stream, self.version, self.digest


@dataclass(frozen=True)
class Room:
    """For versions beside the champions: how many stay loaded, and of how many bytes in all."""

    versions: int = 4
    size_bytes: int = 1 << 30


class Slots:
    """What this process can answer from memory alone. Changed from the event loop only."""

    def __init__(self, room: Room | None = None) -> None:
        self._champions: dict[str, Served] = {}
        self._pinned: OrderedDict[tuple[str, int], Served] = OrderedDict()
        self._room = room or Room()

    def champion(self, stream: str) -> Served | None:
        """The version that the stream serves by default."""
        return self._champions.get(stream)

    def champions(self) -> dict[str, int]:
        """The version that each stream serves."""
        champions = self._champions.copy()  # in one step: `/metrics` asks from a thread
        return {name: served.version for name, served in champions.items()}

    def swap(self, served: Served) -> None:
        """From now on new requests get this version; the one before stays within reach."""
        before = self.champion(served.stream)
        self._champions[served.stream] = served
        if before is not None:
            self.pin(before)

    def drop(self, stream: str) -> None:
        """The stream serves nothing any more."""
        self._champions.pop(stream, None)

    def pinned(self) -> set[Key]:
        """The versions beside the champions."""
        return {served.key for served in self._pinned.values()}

    def withdraw(self, keys: Collection[Key]) -> None:
        """Let go of those of the pinned versions."""
        for served in [one for one in self._pinned.values() if one.key in keys]:
            del self._pinned[served.stream, served.version]

    def get(self, stream: str, version: int) -> Served | None:
        """That version, if it is in memory; among the pinned it becomes the youngest."""
        champion = self.champion(stream)
        if champion is not None and champion.version == version:
            return champion
        pinned = self._pinned.get((stream, version))
        if pinned is not None:
            self._pinned.move_to_end((stream, version))
        return pinned

    def pin(self, served: Served) -> None:
        """Keep a version beside the champions; those unused for longest make room.

        The one last asked for stays, however large: else each request would load it anew.
        """
        self._pinned[served.stream, served.version] = served
        self._pinned.move_to_end((served.stream, served.version))
        while len(self._pinned) > 1 and self._is_crowded():
            self._pinned.popitem(last=False)

    def _is_crowded(self) -> bool:
        size_bytes = sum(one.size_bytes for one in self._pinned.values())
        return len(self._pinned) > self._room.versions or size_bytes > self._room.size_bytes
