"""What of the past a cycle learns again, by the stream's policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from store import events, failpoint
from store.models import Chunk, Stream
from store.states import ChunkState
from tests.digits import labels
from tests.worker.conftest import RECIPE, Bench
from worker.pipeline import process_next

BUFFER = {"kind": "buffer", "capacity": 40, "keep": "class-balanced"}
EVERYTHING = {"epochs": 3, "ema": 0.9, "l2_init": 1e-3, "pruning": 0.5, "old_share": 0.7}


def stream_of(bench: Bench, name: str, chunks: int, **settings: Any) -> Stream:
    """A stream that has learned all but the last of its chunks."""
    stream = bench.stream(name, **settings)
    for start in range(chunks):
        bench.admitted(stream, range(60 * start, 60 * start + 60))
    for _ in range(chunks - 1):
        process_next(bench.context, stream.id)
    return stream


def growing(bench: Bench, name: str) -> Stream:
    """A stream with everything in it, and whose second chunk brings two classes."""
    stream = bench.stream(
        name, open_classes=True, recipe=RECIPE | EVERYTHING, policies={"replay": BUFFER}
    )
    few = [index for index in range(120) if labels[index] not in (3, 8)]
    bench.admitted(stream, few[:60])
    bench.admitted(stream, range(120, 180))
    process_next(bench.context, stream.id)
    return stream


def split(chunks: list[Chunk], *roles: str) -> int:
    return sum(chunk.report["splits"][role] for chunk in chunks if chunk.report for role in roles)


def test_whoever_goes_on_with_a_cycle_finds_the_same_rows_and_classes(
    bench: Bench, another: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, broken = growing(bench, "plain"), growing(bench, "broken")
    process_next(bench.context, plain.id)
    monkeypatch.setenv(failpoint.VARIABLE, "cycle.relearn.epoch:raise")
    process_next(bench.context, broken.id)
    monkeypatch.delenv(failpoint.VARIABLE)
    process_next(another().context, broken.id)

    assert [cycle.attempt for cycle in bench.cycles(broken)][-1] > 2
    assert bench.digests("broken") == bench.digests("plain")
    one, two = bench.version(plain, 1), bench.version(plain, 2)
    assert one.replayed is not None
    assert (one.replayed["images"], one.known_classes) == (0, 8)
    assert two.replayed is not None
    assert (two.replayed["kind"], two.replayed["images"]) == ("buffer", 40)
    assert (bench.version(broken, 2).replayed, two.known_classes) == (two.replayed, 10)
    # whatever is replayed, the judges are those of every chunk
    assert two.metrics["images"] == split(bench.chunks(plain), "judge")
    told = bench.read(events.after, 0, stream_id=broken.id)
    assert [event.name for event in told].count("stream.classes_grown") == 1


def test_a_chunk_that_is_taken_out_is_gone_from_the_replay(bench: Bench) -> None:
    stream = stream_of(bench, "digits", 3)
    first, second, third = bench.chunks(stream)
    with bench.database.begin() as session:
        taken_out = update(Chunk).where(Chunk.id == first.id)
        session.execute(taken_out.values(state=ChunkState.RETRACTED))
    process_next(bench.context, stream.id)

    before, after = bench.version(stream, 2), bench.version(stream, 3)
    assert bench.cycles(stream)[-1].replay == [second.id]
    assert after.replayed is not None
    assert after.replayed["images"] == split([second], "train", "select")
    assert after.metrics["images"] == split([second, third], "judge")
    assert before.replayed is not None
    assert before.replayed["sha256"] != after.replayed["sha256"]
