"""What the periodic collection does."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from store import answers, audit, locks, packs, retention, traces, versions
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


def test_a_collection_that_a_backup_holds_back_is_none(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = bench.context.blobs.put_bytes(b"nobody's", keep_s=-1)
    with bench.database.begin() as backup:
        backup.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.COLLECTION)))
        sweep.collect(bench.context)
    assert "a backup holds it back" in caplog.text
    assert bench.context.board.facts()["collected_at"] is None
    assert bench.context.blobs.exists(garbage)
    sweep.collect(bench.context)
    assert bench.context.board.facts()["collected_at"]
    assert not bench.context.blobs.exists(garbage)


def test_a_blob_that_cannot_be_collected_keeps_no_old_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []

    def refuse(_: str) -> set[str]:
        raise PermissionError("not ours")

    bench.context.blobs.put_bytes(b"nobody's", keep_s=-1)
    monkeypatch.setattr(bench.context.blobs, "discard", refuse)
    for rows in (answers, traces, audit):
        name = rows.__name__
        monkeypatch.setattr(rows, "forget_old", lambda *_, name=name, **__: forgotten.append(name))
    with pytest.raises(PermissionError):
        sweep.collect(bench.context)
    assert forgotten == ["store.answers", "store.traces", "store.audit"]


def test_a_collection_forgets_all_packs_that_are_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream(policies={"feedback": {"enabled": False}})
    for number in range(5):
        predicted(bench, stream, bytes([number]))
    monkeypatch.setattr(packs, "AT_ONCE", 2)
    sweep.collect(bench.context)
    assert bench.read(packs.owners) == []
