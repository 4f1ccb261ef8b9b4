"""Labels that come after their predictions, and the packs that hold the images meanwhile."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import update

from store import feedback, packs, predictions, streams
from store.engine import Database
from store.models import Feedback, Pack, Stream
from store.predictions import Place
from tests.factories import blob, create_chunk, create_stream


def add_pack(database: Database, stream: Stream, *, age_s: float = 0, size: int = 10) -> str:
    """A pack of 1000 predictions; its bytes are not stored."""
    pack = Pack(
        id=predictions.new_pack_id(),
        stream_id=stream.id,
        digest=blob(database, "pack"),
        size_bytes=size,
        predictions=1000,
    )
    with database.begin() as session:
        packs.add(session, pack)
        made_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
        session.execute(update(Pack).where(Pack.id == pack.id).values(made_at=made_at))
    return pack.id


def label(
    database: Database, stream: Stream, pack: str, index: int, label: str, **fields: Any
) -> str:
    """A label of a prediction that was "3"; version 1's unless told otherwise."""
    place = Place(pack, index)
    values = {"version": 1, "answer": "3", "label": label} | fields
    with database.begin() as session:
        session.add(
            Feedback(stream_id=stream.id, prediction_id=place.prediction_id, pack_id=pack, **values)
        )
    return place.prediction_id


def expire(database: Database, stream: Stream, max_bytes: int = 1 << 30) -> set[str]:
    """Expire the stream's packs; the ids of those that stay."""
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        until = packs.horizon(session, locked, keep_s=60, max_bytes=max_bytes)
        packs.expire(session, locked, until)
        return {pack.id for pack in session.query(Pack)}


def test_an_id_names_its_place_and_nothing_else_is_one() -> None:
    place = Place(predictions.new_pack_id(), 999)
    assert predictions.place_of(place.prediction_id) == place
    assert len(place.prediction_id) == 35
    assert 0 <= place.age_s() < 5
    whole = place.prediction_id
    for spoilt in ("", "prd_", whole[:-1], whole + "0", whole.upper(), whole + "\n", "x" + whole):
        assert predictions.place_of(spoilt) is None


def test_the_live_accuracy_of_each_version_follows_its_labels(database: Database) -> None:
    stream, other = create_stream(database), create_stream(database, "other")
    pack = add_pack(database, stream)
    for index, true in enumerate("3337"):
        label(database, stream, pack, index, true)
    label(database, stream, pack, 10, "4", version=2)
    with database.begin() as session:
        assert feedback.live_accuracy(session, stream) == {1: (3, 4), 2: (0, 1)}
        assert feedback.live_accuracy(session, other) == {}


def test_a_pack_goes_when_its_time_is_over_unless_an_open_label_names_it(
    database: Database,
) -> None:
    stream = create_stream(database)
    young, old, named, joined = (add_pack(database, stream, age_s=age) for age in (0, 99, 99, 99))
    label(database, stream, named, 0, "3")
    chunk = create_chunk(database, stream)
    done = label(database, stream, joined, 0, "3", chunk_id=chunk.id)
    assert expire(database, stream) == {young, named}
    with database.begin() as session:
        row = feedback.by_ids(session, stream, [done])[done]
        assert (row.pack_id, row.chunk_id) == (None, chunk.id)
        assert feedback.live_accuracy(session, stream) == {1: (2, 2)}
    assert old != joined


def test_the_oldest_packs_beyond_the_bytes_of_the_stream_go(database: Database) -> None:
    stream, other = create_stream(database), create_stream(database, "other")
    ages = [add_pack(database, stream, age_s=age, size=10_000) for age in (0, 10, 20, 30)]
    theirs = add_pack(database, other, age_s=50)
    label(database, stream, ages[3], 0, "3")
    assert expire(database, stream, max_bytes=20_000) == {*ages[:2], ages[3], theirs}
    assert expire(database, stream, max_bytes=0) == {ages[3], theirs}


def test_a_small_pack_counts_as_what_it_takes_of_the_disk(database: Database) -> None:
    stream = create_stream(database)
    small = [add_pack(database, stream, age_s=age, size=10) for age in (0, 10, 20)]
    assert expire(database, stream, max_bytes=2 * packs.LEAST_BYTES) == set(small[:2])


def test_packs_are_forgotten_some_at_a_time_the_oldest_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = create_stream(database)
    needed, *old = (add_pack(database, stream, age_s=age) for age in (99, 98, 97, 96))
    label(database, stream, needed, 0, "3")
    monkeypatch.setattr(packs, "AT_ONCE", 2)
    assert expire(database, stream) == {needed, old[2]}
    assert expire(database, stream) == {needed}


def test_a_pack_is_written_once_though_it_comes_twice(database: Database) -> None:
    stream = create_stream(database)
    pack = Pack(
        id=predictions.new_pack_id(),
        stream_id=stream.id,
        digest=blob(database, "pack"),
        size_bytes=1,
        predictions=1,
    )
    for _ in range(2):
        with database.begin() as session:
            packs.add(session, pack)
    with database.begin() as session:
        assert list(packs.by_ids(session, [pack.id, "pck_none"])) == [pack.id]
        assert [owner.id for owner in packs.owners(session)] == [stream.id]


def test_the_backlog_counts_open_labels_alone(database: Database) -> None:
    stream = create_stream(database)
    create_stream(database, "idle")
    pack = add_pack(database, stream)
    ids = [label(database, stream, pack, index, "3") for index in range(3)]
    label(database, stream, pack, 3, "3", chunk_id=create_chunk(database, stream).id)
    with database.begin() as session:
        (backlog,) = feedback.backlogs(session)
        assert (backlog.stream.id, backlog.images) == (stream.id, 3)
        assert 0 <= backlog.age_s < 60
        two = feedback.oldest_open(session, stream, limit=2)
        assert [row.prediction_id for row in two] == ids[:2]


@pytest.mark.parametrize("change", ["corrected", "joined", "unknown"])
def test_labels_that_changed_meanwhile_join_nothing(database: Database, change: str) -> None:
    stream = create_stream(database)
    pack = add_pack(database, stream)
    first, second = (label(database, stream, pack, index, "3") for index in range(2))
    taken = {first: "3", second: "3"}
    with database.begin() as session:
        if change == "corrected":
            taken[second] = "4"
        elif change == "joined":
            feedback.join(session, stream, [second], create_chunk(database, stream))
        else:
            taken[Place(pack, 7).prediction_id] = "3"
        assert not feedback.is_current(session, stream, taken)
        assert feedback.is_current(session, stream, {first: "3"})
