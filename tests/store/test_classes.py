"""Class lists that are fixed, and open ones that grow at their end."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from store import classes, cycles, events, streams
from store.engine import Database
from store.models import Chunk, Event, Stream, Version
from store.states import ChunkState
from tests.factories import admit_chunk, create_chunk, create_stream

SPEC = {"channels": 1, "height": 8, "width": 8}


def open_stream(database: Database, *known: str) -> Stream:
    return create_stream(database, open_classes=True, classes=list(known) or None, input=SPEC)


def admitted(database: Database, stream: Stream, *labels: str) -> Chunk:
    with database.begin() as session:
        number = streams.get(session, stream.name).next_position
    return admit_chunk(database, stream, create_chunk(database, stream, str(number)), labels)


def learn(database: Database, stream: Stream) -> str:
    """Claim the stream's next cycle, and end it at once."""
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
        assert claim is not None
        locked = streams.lock(session, stream.id)
        cycles.succeed(session, locked, cycles.fenced(session, claim), version=1, prequential=None)
    return claim.cycle_id


def listed(database: Database, stream: Stream) -> list[str] | None:
    with database.begin() as session:
        return streams.get(session, stream.name).classes


def grown(database: Database, stream: Stream) -> list[Event]:
    with database.begin() as session:
        found = events.after(session, 0, stream_id=stream.id)
    return [event for event in found if event.name == "stream.classes_grown"]


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["10", "9", "0"], ["0", "9", "10"]),
        (["10", "9", "a"], ["10", "9", "a"]),
        (["b", "B", "a"], ["B", "a", "b"]),
        (["²", "10", "9"], ["10", "9", "²"]),
        ([], []),
    ],
)
def test_numbers_are_ordered_by_size_and_names_by_spelling(
    labels: list[str], ordered: list[str]
) -> None:
    assert classes.in_order(labels) == ordered


def test_an_open_list_grows_at_its_end_with_the_cycle_that_learns(database: Database) -> None:
    stream = open_stream(database)
    admitted(database, stream, "m", "k")
    admitted(database, stream, "z", "m", "a")
    assert listed(database, stream) == ["k", "m"]  # the first admission begins the list
    learn(database, stream)
    assert listed(database, stream) == ["k", "m"]
    cycle = learn(database, stream)
    assert listed(database, stream) == ["k", "m", "a", "z"]
    (event,) = grown(database, stream)
    assert event.cycle_id == cycle
    assert {name: event.data[name] for name in ("added", "omitted", "classes")} == {
        "added": ["a", "z"],
        "omitted": 0,
        "classes": 4,
    }


def test_an_event_names_a_hundred_classes_and_counts_the_rest(database: Database) -> None:
    stream = open_stream(database, "-1")
    admitted(database, stream, *(str(number) for number in range(130)))
    learn(database, stream)
    (event,) = grown(database, stream)
    assert event.data["added"] == [str(number) for number in range(100)]
    assert (event.data["omitted"], event.data["classes"]) == (30, 131)


def test_a_fixed_list_does_not_grow(database: Database) -> None:
    stream = create_stream(database, classes=["a"], input=SPEC)
    admitted(database, stream, "a", "b")
    learn(database, stream)
    assert listed(database, stream) == ["a"]
    assert grown(database, stream) == []


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (ChunkState.ADMITTED, True),
        (ChunkState.LEARNING, True),
        (ChunkState.FAILED, True),  # it may be released and learned after all
        (ChunkState.QUARANTINED, True),
        (ChunkState.REJECTED, False),
        (ChunkState.RETRACTED, False),
    ],
)
def test_places_are_taken_by_what_may_still_be_learned(
    database: Database, state: ChunkState, counts: bool
) -> None:
    stream = open_stream(database, "a")
    chunk = admitted(database, stream, "a", "b")
    with database.begin() as session:
        session.execute(update(Chunk).where(Chunk.id == chunk.id).values(state=state))
        found = classes.taken(session, streams.get(session, stream.name))
    assert found == ({"a", "b"} if counts else {"a"})


def test_a_version_knows_the_first_classes_of_the_list() -> None:
    stream = Stream(classes=["k", "m", "a", "z"])
    assert classes.of_version(stream, Version(known_classes=2)) == ["k", "m"]
    assert classes.of_version(stream, Version(known_classes=None)) == ["k", "m", "a", "z"]
