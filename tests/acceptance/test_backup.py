"""A backup taken under load is restored elsewhere, and everything goes on from its moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from store.admin.migrating import alembic_config
from store.backup import checking
from store.backup.folder import Folder
from store.fsck.looking import look
from tests.acceptance.invariants import check_learned_once_in_order
from tests.acceptance.world import Api, World, wait_for
from tests.digits import digits_zip, images, png

pytestmark = pytest.mark.timeout(600)  # a world, a restore, and another world

CLASSES = [str(digit) for digit in range(10)]
ASKED = [png(images[index]) for index in range(100, 116)]
PACE_S = 0.5


@pytest.fixture
def busy(new_world: Callable[..., World]) -> World:
    world = new_world()
    world.patience_s = 120.0
    for start in (world.admit, world.learn, world.beat):
        start()
    return world


@pytest.fixture
def other(new_world: Callable[..., World]) -> World:
    """A database and blobs without anything, and no processes yet."""
    world = new_world()
    world.patience_s = 120.0
    command.downgrade(alembic_config(world.settings), "base")
    return world


def admin(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "store.admin", *words],
        env=world.environment(None),
        capture_output=True,
        text=True,
        check=False,
    )


def probabilities(api: Api, stream: str, version: int) -> list[Any]:
    """What a version answers, to the last bit."""
    answer = api.client.predict(stream, ASKED, version=str(version))
    assert answer["model_version"] == version
    return [(one["label"], one["probability"], one["top_k"]) for one in answer["predictions"]]


class Load:
    """Uploads and predictions in threads, until the block ends; none may fail.

    Attributes:
        pushed: Chunks that were accepted, in their order.
        asked: How many predictions were answered.
    """

    def __init__(self, api: Api, learned: str, filled: str) -> None:
        self._api, self._learned, self._filled = api, learned, filled
        self._over = threading.Event()
        self.pushed: list[str] = []
        self.asked = 0

    def __enter__(self) -> Load:
        self._pool = ThreadPoolExecutor(2)
        self._running = [self._pool.submit(self._push), self._pool.submit(self._ask)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        for one in self._running:
            one.result()

    def _push(self) -> None:
        path = self._api.world.folder / "load.zip"
        with self._api.client_of() as client:
            while not self._over.wait(PACE_S):
                first = 200 + 30 * len(self.pushed)
                path.write_bytes(digits_zip(range(first, first + 30)))
                self.pushed.append(client.upload(self._filled, path)["id"])

    def _ask(self) -> None:
        with self._api.client_of() as client:
            while not self._over.is_set():
                client.predict(self._learned, ASKED[:1])
                self.asked += 1

    def goes_on(self) -> Callable[[], bool]:
        """Whether more was done since this was called."""
        pushed, asked = len(self.pushed), self.asked
        return lambda: len(self.pushed) > pushed + 1 and self.asked > asked + 1


@dataclass
class Lost:
    """What was known of a machine when it was lost.

    Attributes:
        learned: The stream whose second chunk was being learned.
        answers: Of its first version.
        filled: The stream that was pushed to meanwhile.
        pushed: All that it had accepted, those after the backup's moment too.
    """

    learned: str
    chunks: list[str]
    answers: list[Any]
    filled: str
    pushed: list[str]


def back_up_and_lose(world: World, target: Path) -> Lost:
    """Take a backup under load, in the middle of a cycle; then kill everything."""
    api = world.api()
    learned = api.create_stream()
    filled = api.create_stream(classes=CLASSES, policies={"trigger": {"max_chunks": 50}})
    chunks = [api.push_digits(learned, 0)]
    api.wait_learned(learned, *chunks)
    api.wait_serving(learned, 1)
    answers = probabilities(api, learned, 1)
    world.trap.write_text("cycle.relearn.epoch:stop")  # it runs for as long as the backup takes
    chunks.append(api.push_digits(learned, 60))
    wait_for(lambda: not world.trap.exists(), "a cycle to run", world)
    with Load(api, learned, filled) as load:
        wait_for(load.goes_on(), "the load", world)
        ended = admin(world, "backup", str(target))
        assert ended.returncode == 0, ended.stderr
        wait_for(load.goes_on(), "the load to go on", world)
    for child in world.children:
        child.kill()
    return Lost(learned, chunks, answers, filled, load.pushed)


def test_a_backup_under_load_is_restored_elsewhere(
    busy: World, other: World, tmp_path: Path
) -> None:
    target = tmp_path / "backups"
    lost = back_up_and_lose(busy, target)
    assert checking.faults(Folder(target), Folder(target).get()) == []
    ended = admin(other, "restore", str(target))
    assert ended.returncode == 0, ended.stderr
    check_every_byte(other)

    heir = other.api()
    known = {chunk["id"] for chunk in heir.client.chunks(lost.filled)["items"]}
    before = lost.pushed[: len(known)]  # all that was accepted before its moment, nothing after
    assert 0 < len(before) < len(lost.pushed)
    assert set(before) == known
    interrupted = heir.client.cycles(lost.learned)["items"][0]
    assert interrupted["state"] == "running"
    heir.wait_serving(lost.learned, 1)
    assert probabilities(heir, lost.learned, 1) == lost.answers

    for start in (other.admit, other.learn, other.beat):
        start()
    heir.wait_learned(lost.learned, *lost.chunks)
    check_learned_once_in_order(heir.client, lost.learned, lost.chunks)
    went_on = heir.client.cycle(lost.learned, interrupted["id"])
    assert (went_on["state"], went_on["version"]) == ("succeeded", 2)
    assert went_on["attempt"] == interrupted["attempt"] + 1
    newer = heir.push_digits(lost.filled, 1200)
    heir.wait_learned(lost.filled, *before, newer)
    cycles = [c for c in heir.client.cycles(lost.filled)["items"] if c["state"] == "succeeded"]
    assert [c for cycle in reversed(cycles) for c in cycle["chunks"]] == [*before, newer]
    assert heir.client.chunk(lost.filled, newer)["position"] == len(before) + 1
    assert probabilities(heir, lost.learned, 1) == lost.answers
    check_every_byte(other)


def check_every_byte(world: World) -> None:
    """What `lure fsck` looks at: all that the rows name is there, with its digest."""
    found = look(world.database, world.blobs, quick=False)
    assert found.named > 0
    assert found.faults == []
