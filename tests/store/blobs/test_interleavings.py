"""Puts and collections in any order, each stopped or dead between any two: nothing is lost."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, sampled_from
from obstore.store import MemoryStore

from store.blobs.bucket import Bucket
from store.blobs.cache import Cache
from store.blobs.folder import Folder
from store.blobs.place import Place

DATA = b"the bytes"
DIGEST = hashlib.sha256(DATA).hexdigest()


class Interleavings(RuleBasedStateMachine):
    """One digest. Its row is a number here that is new each time it is touched; None: no row."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place: Place
        self.touches = 0
        self.row: int | None = None
        self.is_named = False
        self.putting: list[bool] = []  # touched, not written; whether the row was new
        self.collecting: list[tuple[int, set[str]]] = []  # under that touch, these names
        self.committed: list[
            set[str]
        ] = []  # collectors whose deletion of the row is committed, stopped there

    @initialize(kind=sampled_from(["folder", "bucket"]))
    def open(self, kind: str) -> None:
        root = Path(self.folder.name)
        folder = root / "blobs"
        self.place = (
            Folder(folder)
            if kind == "folder"
            else Bucket(MemoryStore(), Cache(root / "cache", 1 << 20))
        )

    def teardown(self) -> None:
        self.folder.cleanup()

    def touch(self) -> bool:
        is_new = self.row is None
        self.touches += 1
        self.row = self.touches
        return is_new

    @rule(is_retry=booleans())
    def begin_to_put(self, is_retry: bool) -> None:
        """One that is tried again finds the row of its first trial."""
        self.putting.append(self.touch() and not is_retry)

    @precondition(lambda self: self.putting)
    @rule()
    def write_and_name(self) -> None:
        """As `Blobs` does; the row that names it follows in the same moment."""
        is_new = self.putting.pop()
        while self.place.put_bytes(DATA, DIGEST, is_new=is_new) and self.touch():
            is_new = False
        self.is_named = self.row is not None

    @rule(is_retry=booleans(), stays_named=booleans())
    def put_at_once(self, is_retry: bool, stays_named: bool) -> None:
        self.begin_to_put(is_retry)
        self.write_and_name()
        self.is_named = stays_named

    @precondition(lambda self: self.putting)
    @rule()
    def die_while_putting(self) -> None:
        self.putting.pop()

    @rule()
    def unname(self) -> None:
        self.is_named = False

    @precondition(lambda self: self.row is not None and not self.is_named)
    @rule()
    def put_aside(self) -> None:
        assert self.row is not None
        self.collecting.append((self.row, self.place.discard(DIGEST)))

    @precondition(lambda self: self.collecting)
    @rule()
    def put_aside_late(self) -> None:
        """A collector that was stopped under its lock goes on, whatever became of its lock."""
        self.place.discard(DIGEST)
        self.go_on_after_a_late_discard()

    def go_on_after_a_late_discard(self) -> None:
        """Its commit fails if the row was touched; it settles what it did."""
        if self.collecting[-1][0] != self.row or self.is_named:
            self.collecting.pop()
            self.settle()

    @precondition(lambda self: self.collecting)
    @rule()
    def commit(self) -> None:
        """Possible only if nobody touched or named it since: the row was locked."""
        row, names = self.collecting.pop()
        if row == self.row and not self.is_named:
            self.row = None
            self.committed.append(names)
        else:
            self.settle()

    @precondition(lambda self: self.row is not None and not self.is_named)
    @rule()
    def collect_and_stop(self) -> None:
        """Stopped behind its commit."""
        self.put_aside()
        self.commit()

    @precondition(lambda self: self.committed)
    @rule()
    def forget(self) -> None:
        self.place.forget(DIGEST, self.committed.pop())

    @rule()
    def settle(self) -> None:
        """By the next collector, which finds nobody at the row."""
        if DIGEST not in self.place.discarded():
            return
        if self.row is None:
            self.place.forget(DIGEST, self.place.discarded_of(DIGEST))
        else:
            self.place.restore(DIGEST)

    @invariant()
    def what_is_named_is_there(self) -> None:
        if self.is_named:
            self.place.check(DIGEST)


TestInterleavings = pytest.mark.timeout(300)(Interleavings.TestCase)
TestInterleavings.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
