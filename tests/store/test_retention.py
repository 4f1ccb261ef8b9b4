"""Deletion of weights: what is needed stays, whoever asks."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from store import aliases, cycles, events, garbage, retention, streams, versions
from store.blobs import Blobs
from store.engine import Database
from store.errors import Conflict
from store.models import Artifact, Event, Rerun, Stream, Version
from store.states import ArtifactState, RerunState, VersionState
from tests.factories import admit_chunk, create_chunk, create_stream, create_version

DELETED = VersionState.WEIGHTS_DELETED


def delete(database: Database, stream: Stream, number: int) -> bool:
    with database.begin() as session:
        return retention.delete_weights(session, stream, number, who="test")


def thin(database: Database, stream: Stream, keep: int) -> list[int]:
    with database.begin() as session:
        return retention.thin(session, stream, keep=keep, who="test")


def state(database: Database, stream: Stream, number: int) -> VersionState:
    with database.begin() as session:
        return versions.get(session, stream, number).state


def point(database: Database, stream: Stream, alias: str, number: int) -> None:
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        aliases.move(session, locked, alias, aliases.Move(number, "test", "test"))


@pytest.fixture
def stream(database: Database) -> Stream:
    """A stream of five versions, the last two of which were champion: 5 is, 4 was before."""
    stream = create_stream(database)
    for _ in range(5):
        create_version(database, stream)
    return stream


def test_the_weights_go_the_record_stays_and_an_event_says_so(
    database: Database, stream: Stream
) -> None:
    assert delete(database, stream, 2)
    with database.begin() as session:
        version = versions.get(session, stream, 2)
        noted = session.scalars(select(Event).where(Event.name == "version.weights_deleted")).one()
    assert (version.state, version.metrics) == (DELETED, {"accuracy": 0.9})
    assert noted.data == {"stream": stream.name, "version": 2, "who": "test"}


def test_deleting_again_changes_nothing(database: Database, stream: Stream) -> None:
    delete(database, stream, 2)
    with database.begin() as session:
        before = events.last_id(session)
    assert not delete(database, stream, 2)
    with database.begin() as session:
        assert events.last_id(session) == before


@pytest.mark.parametrize(
    ("alias", "number"), [("champion", 5), ("previous", 4), ("candidate", 3), ("night-shift", 2)]
)
def test_what_an_alias_points_at_is_kept(
    database: Database, stream: Stream, alias: str, number: int
) -> None:
    if alias in (aliases.CANDIDATE, "night-shift"):
        point(database, stream, alias, number)
    with pytest.raises(Conflict, match=f"version {number} are needed: alias {alias} points at it"):
        delete(database, stream, number)
    assert thin(database, stream, 1) == [n for n in (1, 2, 3) if n != number]
    assert state(database, stream, number) is VersionState.READY


def test_the_parent_of_a_cycle_at_work_is_kept(database: Database, stream: Stream) -> None:
    point(database, stream, aliases.CHAMPION, 3)
    admit_chunk(database, stream, create_chunk(database, stream, "next"))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
    assert claim is not None
    for number in (4, 5):  # champion and previous are others now
        point(database, stream, aliases.CHAMPION, number)
    with pytest.raises(Conflict, match=f"cycle {claim.cycle_id} begins from it"):
        delete(database, stream, 3)
    assert thin(database, stream, 1) == [1, 2]


@pytest.mark.parametrize(
    ("rerun", "kept"),
    [(RerunState.QUEUED, True), (RerunState.RUNNING, True), (RerunState.FAILED, False)],
)
def test_the_parent_of_a_rerun_is_kept_until_it_is_over(
    database: Database, stream: Stream, rerun: RerunState, kept: bool
) -> None:
    with database.begin() as session:
        session.add(
            Rerun(
                id="rer_1",
                stream_id=stream.id,
                version=3,
                method="warm",
                reason="asked",
                state=rerun,
            )
        )
    assert thin(database, stream, 1) == ([1, 3] if kept else [1, 2, 3])


def test_retention_keeps_the_youngest_and_says_the_same_again(
    database: Database, stream: Stream
) -> None:
    assert thin(database, stream, 3) == [1, 2]
    assert thin(database, stream, 3) == []
    create_version(database, stream, champion=False)
    assert thin(database, stream, 3) == [3]


def test_retention_lets_go_of_the_stream_in_between(
    database: Database, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    assert [thin(database, stream, 2) for _ in range(3)] == [[1, 2], [3], []]


def test_exports_go_with_the_weights(database: Database, stream: Stream) -> None:
    for number in (2, 3):
        with database.begin() as session:
            session.add(
                Artifact(
                    stream_id=stream.id, version=number, kind="onnx", state=ArtifactState.QUEUED
                )
            )
    delete(database, stream, 2)
    with database.begin() as session:
        assert session.scalars(select(Artifact.version)).all() == [3]


def test_a_version_without_weights_can_be_neither_pointed_at_nor_rolled_back_to(
    database: Database, stream: Stream
) -> None:
    for number in (1, 2, 3):
        delete(database, stream, number)
    with pytest.raises(Conflict, match="weights_deleted and cannot be pointed at"):
        point(database, stream, "mine", 3)
    point(database, stream, aliases.CHAMPION, 4)
    reason = "no version older than 4 has been champion and can still be served; the last, 3, is"
    with database.begin() as session, pytest.raises(Conflict, match=f"{reason} weights_deleted"):
        aliases.rollback(session, stream, who="test", reason="")


def test_the_collector_takes_the_bytes_but_not_those_that_another_version_has(
    database: Database, blobs: Blobs, stream: Stream
) -> None:
    own, shared = (blobs.put_bytes(data, keep_s=0) for data in (b"own", b"shared"))
    with database.begin() as session:
        for number, digest in ((1, own), (2, shared), (5, shared)):
            versions.get(session, stream, number).digest = digest
    delete(database, stream, 1)
    delete(database, stream, 2)
    assert blobs.exists(own)
    garbage.collect(database, blobs)
    assert not blobs.exists(own)
    assert blobs.exists(shared)
    with database.begin() as session:
        assert len(session.scalars(select(Version)).all()) == 5
