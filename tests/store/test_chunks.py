"""Chunks keep their order, their fence and their identity."""

from __future__ import annotations

import threading

import pytest

from store import chunks, cycles, streams
from store.engine import Database
from store.errors import BlobMissing, Conflict, FenceLost, NotFound
from store.states import ChunkState
from tests.factories import admit_chunk, create_chunk, create_stream, create_version, digest_of


def claim(database: Database, chunk_id: str, stale_s: float = 10) -> chunks.Admission | None:
    with database.begin() as session:
        return chunks.claim_admission(session, chunk_id, stale_s=stale_s)


def test_positions_have_no_gap_and_no_double_under_concurrent_uploads(database: Database) -> None:
    stream = create_stream(database)
    uploads = [
        threading.Thread(target=create_chunk, args=(database, stream, str(n))) for n in range(12)
    ]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    with database.begin() as session:
        page = chunks.page(session, stream, size=50)
    assert [chunk.position for chunk in page.items] == list(range(12, 0, -1))


def test_the_same_bytes_are_the_same_chunk(database: Database) -> None:
    stream = create_stream(database)
    first = create_chunk(database, stream, "x")
    payload = chunks.Payload(digest_of("x"), "application/zip", 1)
    with database.begin() as session:
        again, duplicate = chunks.add(session, stream, payload)
    assert duplicate
    assert again.id == first.id


def test_the_bytes_of_a_rejected_chunk_are_a_new_chunk(database: Database) -> None:
    stream = create_stream(database)
    first = create_chunk(database, stream, "x")
    claimed = claim(database, first.id)
    assert claimed is not None
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        chunks.reject(session, locked, chunks.fenced(session, claimed), "no image", report=None)
    second = create_chunk(database, stream, "x")
    assert second.id != first.id
    assert second.position == 2


def test_only_the_oldest_chunk_is_admitted_while_the_shape_is_open(database: Database) -> None:
    stream = create_stream(database)
    first, second = create_chunk(database, stream, "1"), create_chunk(database, stream, "2")
    assert claim(database, second.id) is None
    admit_chunk(database, stream, first)
    assert claim(database, second.id) is not None


def test_a_chunk_in_good_hands_is_not_claimed_again(database: Database) -> None:
    chunk = create_chunk(database, create_stream(database))
    assert claim(database, chunk.id) is not None
    assert claim(database, chunk.id) is None


def test_a_stale_claim_is_taken_over_and_its_holder_writes_nothing(database: Database) -> None:
    chunk = create_chunk(database, create_stream(database))
    old = claim(database, chunk.id)
    new = claim(database, chunk.id, stale_s=0)
    assert old is not None
    assert new is not None
    with database.begin() as session:
        assert not chunks.beat(session, old)
        assert chunks.beat(session, new)
        with pytest.raises(FenceLost):
            chunks.fenced(session, old)


def test_a_chunk_that_kills_its_workers_is_rejected(database: Database) -> None:
    stream = create_stream(database)
    chunk = create_chunk(database, stream)
    claims = [claim(database, chunk.id, stale_s=0) for _ in range(chunks.MAX_DEATHS + 1)]
    assert all(claims[:-1])
    assert claims[-1] is None
    with database.begin() as session:
        dead = chunks.get(session, stream, chunk.id)
    assert dead.state is ChunkState.REJECTED
    assert dead.error == "decoding it killed 5 workers"


def test_a_chunk_handed_back_is_free_at_once(database: Database) -> None:
    chunk = create_chunk(database, create_stream(database))
    claimed = claim(database, chunk.id)
    assert claimed is not None
    with database.begin() as session:
        chunks.hand_back(session, claimed)
        assert chunks.unattended(session, stale_s=10) == [chunk.id]
    assert claim(database, chunk.id) is not None


def test_a_failed_chunk_that_is_released_joins_at_the_end(database: Database) -> None:
    stream = create_stream(database)
    first = admit_chunk(database, stream, create_chunk(database, stream, "1"))
    create_chunk(database, stream, "2")
    with database.begin() as session:
        claimed = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
        assert claimed is not None
        locked = streams.lock(session, stream.id)
        cycles.fail(session, locked, cycles.fenced(session, claimed), "Traceback\nValueError: no")
    with database.begin() as session:
        released = chunks.release(session, stream, first.id)
    assert released.position == 3
    assert released.state is ChunkState.ADMITTED


def test_a_failed_chunk_is_not_released_beside_its_twin(database: Database) -> None:
    stream = create_stream(database)
    first = admit_chunk(database, stream, create_chunk(database, stream, "1"))
    with database.begin() as session:
        claimed = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
        assert claimed is not None
        locked = streams.lock(session, stream.id)
        cycles.fail(session, locked, cycles.fenced(session, claimed), "ValueError: no")
    twin = create_chunk(database, stream, "1")
    with (
        database.begin() as session,
        pytest.raises(Conflict, match=f"{twin.id} has the same bytes"),
    ):
        chunks.release(session, stream, first.id)


def test_a_learned_chunk_cannot_be_released(database: Database) -> None:
    stream = create_stream(database)
    version = create_version(database, stream)
    with database.begin() as session, pytest.raises(Conflict, match="learned cannot become"):
        chunks.release(session, stream, version.chunks[0])


def test_a_chunk_of_another_stream_is_not_found(database: Database) -> None:
    chunk = create_chunk(database, create_stream(database, "a"))
    other = create_stream(database, "b")
    with database.begin() as session, pytest.raises(NotFound):
        chunks.get(session, other, chunk.id)


def test_an_admission_that_failed_twice_over_a_lost_answer_counts_once(database: Database) -> None:
    stream = create_stream(database)
    chunk = create_chunk(database, stream)
    claimed = claim(database, chunk.id)
    assert claimed is not None
    for _ in range(2):
        with database.begin() as session:
            chunks.hand_back(session, claimed, error="ValueError()")
    with database.begin() as session:
        found = chunks.get(session, stream, chunk.id)
    assert (found.deaths, found.error) == (1, "ValueError()")


def test_a_chunk_whose_admission_keeps_failing_is_rejected_with_the_fault(
    database: Database,
) -> None:
    stream = create_stream(database)
    chunk = create_chunk(database, stream)
    while claimed := claim(database, chunk.id):
        with database.begin() as session:
            chunks.hand_back(session, claimed, error="ValueError('no')")
    with database.begin() as session:
        rejected = chunks.get(session, stream, chunk.id)
    assert rejected.state is ChunkState.REJECTED
    assert rejected.error == "admitting it failed 5 times, the last time with: ValueError('no')"


def test_a_row_never_names_bytes_that_were_collected(database: Database) -> None:
    stream = create_stream(database)
    payload = chunks.Payload(digest_of("collected meanwhile"), "application/zip", 1)
    with database.begin() as session, pytest.raises(BlobMissing):
        chunks.add(session, stream, payload)
