"""Local files of what lies elsewhere: the oldest go, what was handed out stays a while."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from store.blobs.cache import Cache


def adopt(cache: Cache, data: bytes, *, is_handed_out: bool = False) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = cache.scratch_path()
    path.write_bytes(data)
    cache.adopt(path, digest, is_handed_out=is_handed_out)
    return digest


def kept(cache: Cache) -> set[str]:
    return {path.name for path in cache.root.glob("sha256/*/*")}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Room for a hundred bytes; handed out is in hand for a minute."""
    return Cache(tmp_path / "cache", 100, in_hand_s=60)


def used(cache: Cache, digest: str, *, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    os.utime(cache.root / "sha256" / digest[:2] / digest, (then, then))


def test_what_was_used_longest_ago_goes_first(cache: Cache) -> None:
    old, older, young = (adopt(cache, bytes([n]) * 30) for n in range(3))
    used(cache, old, seconds_ago=200)
    used(cache, older, seconds_ago=300)
    newest = adopt(cache, b"n" * 70)
    assert kept(cache) == {young, newest}


def test_a_file_that_is_asked_for_is_young_again(cache: Cache) -> None:
    old, other = adopt(cache, b"o" * 50), adopt(cache, b"p" * 40)
    used(cache, old, seconds_ago=300)
    used(cache, other, seconds_ago=200)
    assert cache.find(old) is not None
    adopt(cache, b"n" * 40)
    assert old in kept(cache)
    assert other not in kept(cache)


def test_files_go_while_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where none comes: uploads would be refused for ever."""
    cache = Cache(tmp_path / "cache", 10_000, free_bytes=100, in_hand_s=60)
    old, young, in_hand = (adopt(cache, bytes([n]) * 30) for n in range(3))
    used(cache, old, seconds_ago=300)
    used(cache, young, seconds_ago=200)
    assert cache.find(in_hand) is not None
    free = 80
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    cache.scratch_path()
    assert kept(cache) == {young, in_hand}
    free = 0
    monkeypatch.setattr("store.blobs.cache._LOOK_EVERY_S", 0.0)
    cache.scratch_path()
    assert kept(cache) == {in_hand}


def test_what_was_just_handed_out_stays_however_full_it_is(cache: Cache) -> None:
    handed_out = {adopt(cache, bytes([n]) * 90, is_handed_out=True) for n in range(4)}
    adopt(cache, b"x" * 90)
    assert handed_out <= kept(cache)


def test_a_file_handed_out_while_another_process_looks_for_room_stays(cache: Cache) -> None:
    digest = adopt(cache, b"x" * 90)
    used(cache, digest, seconds_ago=300)
    other = Cache(cache.root, 100, in_hand_s=60)
    assert cache.find(digest) is not None
    other.give_up(digest)  # which it had chosen before
    assert digest in kept(cache)


def test_two_that_fetch_the_same_have_the_same_file(cache: Cache) -> None:
    digest = adopt(cache, b"same", is_handed_out=True)
    path = cache.find(digest)
    assert path is not None
    with path.open("rb") as opened:
        assert adopt(Cache(cache.root, 100), b"same", is_handed_out=True) == digest
        assert opened.read() == path.read_bytes() == b"same"


def test_a_damaged_file_goes(cache: Cache) -> None:
    for look in (cache.read, cache.check):
        digest = adopt(cache, b"x")
        (cache.root / "sha256" / digest[:2] / digest).write_bytes(b"y")
        assert look(digest) is None
        assert kept(cache) == set()


def test_all_of_it_may_be_deleted_at_any_time(cache: Cache) -> None:
    digest = adopt(cache, b"x")
    shutil.rmtree(cache.root)
    assert cache.find(digest) is None
    assert cache.read(digest) is None
    assert kept(cache) == set()
    assert list(cache.incoming()) == []
    assert adopt(cache, b"x") == digest
    assert cache.read(digest) == b"x"


def test_scratch_files_of_dead_processes_go_with_the_next_start(cache: Cache) -> None:
    old, young = cache.scratch_path(), cache.scratch_path()
    for path in (old, young):
        path.write_bytes(b"")
    a_day_ago = time.time() - 86400
    os.utime(old, (a_day_ago, a_day_ago))
    Cache(cache.root, 100)
    assert list(cache.incoming()) == [young]


def test_nobody_else_may_look_into_it(cache: Cache) -> None:
    assert cache.root.stat().st_mode & 0o077 == 0
