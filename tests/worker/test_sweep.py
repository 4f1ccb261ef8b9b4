"""What the periodic collection does."""

from __future__ import annotations

import pytest

from store import packs, retention, versions
from store.models import Stream
from store.states import VersionState
from tests.factories import create_version
from tests.worker.conftest import Bench
from tests.worker.test_feedback import predicted
from worker import sweep


def with_weights(bench: Bench, stream: Stream) -> list[int]:
    with bench.database.begin() as session:
        page = versions.page(session, stream, size=10)
    return [row.version for row in page.items if row.state is VersionState.READY]


def test_collection_thins_the_streams_whose_retention_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 1)  # a transaction each
    thinned = bench.stream("thinned", policies={"retention": {"versions": 2}})
    whole = bench.stream("whole")
    for stream in (thinned, whole):
        for _ in range(4):
            create_version(bench.database, stream)
    sweep.collect(bench.context)
    assert with_weights(bench, thinned) == [4, 3]
    assert with_weights(bench, whole) == [4, 3, 2, 1]


def test_the_fault_of_one_stream_holds_up_no_other_and_no_collection(bench: Bench) -> None:
    spoilt = {"retention": {"versions": "two"}, "feedback": {"keep_s": "long"}}
    broken = bench.stream("broken", policies=spoilt)
    thinned = bench.stream("thinned", policies={"retention": {"versions": 1}})
    opted_out = bench.stream("opted-out", policies={"feedback": {"enabled": False}})
    for _ in range(3):
        create_version(bench.database, thinned)
    for stream in (broken, opted_out):
        predicted(bench, stream, stream.name.encode())
    garbage = bench.context.blobs.put_bytes(b"nobody's", keep_s=-1)
    sweep.collect(bench.context)
    assert with_weights(bench, thinned) == [3, 2]  # champion and previous
    assert [owner.name for owner in bench.read(packs.owners)] == ["broken"]
    assert not bench.context.blobs.exists(garbage)


def test_a_collection_forgets_all_packs_that_are_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream(policies={"feedback": {"enabled": False}})
    for number in range(5):
        predicted(bench, stream, bytes([number]))
    monkeypatch.setattr(packs, "AT_ONCE", 2)
    sweep.collect(bench.context)
    assert bench.read(packs.owners) == []
