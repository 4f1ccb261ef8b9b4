"""What is predicted is kept beside the serving: batched, bounded, best effort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lure_core.config import InputSpec
from service import recorder as module
from service.counters import Counters
from service.recorder import Recorder
from service.slot import Served
from store import packfile, packs
from store.blobs import Blobs
from store.engine import Database
from store.errors import DatabaseAway
from store.models import Pack
from store.packfile import Record
from store.predictions import place_of
from tests.factories import create_stream
from tests.service.serving import until

CLASSES = ("cat", "dog")
SPEC = InputSpec(channels=1, height=8, width=8)


def served(stream: str = "digits", version: int = 1) -> Served:
    """A version that only its name is asked of."""
    return Served(stream, version, "d" * 64, None, CLASSES, SPEC)  # type: ignore[arg-type]


def probabilities(*dog: float) -> np.ndarray:
    return np.array([[1 - p, p] for p in dog], np.float32)


@dataclass
class Bench:
    """A recorder, and what became of the predictions that it was told of."""

    recorder: Recorder
    database: Database
    blobs: Blobs
    counters: Counters

    def note(self, *images: bytes, stream: str = "digits") -> list[str]:
        dog = [0.25 if image == b"cat" else 0.75 for image in images]
        return self.recorder.note(served(stream), images, probabilities(*dog))

    def packs(self) -> list[Pack]:
        with self.database.begin() as session:
            return list(session.query(Pack).order_by(Pack.id))

    def record(self, prediction_id: str) -> Record | None:
        """What was written under that id, if anything was."""
        place = place_of(prediction_id)
        assert place is not None
        with self.database.begin() as session:
            pack = packs.by_ids(session, [place.pack_id]).get(place.pack_id)
        return packfile.unpack(self.blobs.read(pack.digest))[place.index] if pack else None

    def settle(self, *ids: str) -> None:
        places = [place_of(one) for one in ids]
        self.recorder.settle([place.pack_id for place in places if place], timeout_s=20)

    def counted(self, outcome: str) -> float:
        samples = [sample for metric in self.counters.collect() for sample in metric.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "lure_prediction_records_total"
            and sample.labels["outcome"] == outcome
        )


@pytest.fixture
def bench(database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "PACK_S", 3600)  # packs are written when a test says so
    counters = Counters()
    recorder = Recorder(database, blobs, counters=counters, held_bytes=10_000)
    recorder.start()
    yield Bench(recorder, database, blobs, counters)
    recorder.stop(timeout_s=20)


def test_each_id_leads_to_its_image_and_its_answer(bench: Bench) -> None:
    create_stream(bench.database)
    cat, dog = bench.note(b"cat", b"dog")
    assert bench.record(cat) is None
    bench.settle(cat)
    assert bench.record(cat) == Record(b"cat", "cat", 0.75, 1)
    assert bench.record(dog) == Record(b"dog", "dog", 0.75, 1)
    assert bench.counted("kept") == 2


def test_predictions_of_a_moment_share_a_pack_and_streams_do_not(bench: Bench) -> None:
    for name in ("digits", "other"):
        create_stream(bench.database, name)
    ids = [*bench.note(b"cat"), *bench.note(b"dog", b"cat"), *bench.note(b"a", stream="other")]
    assert len({place.pack_id for one in ids if (place := place_of(one))}) == 2
    bench.settle(*ids)
    assert sorted(pack.predictions for pack in bench.packs()) == [1, 3]


def test_a_pack_is_closed_by_count_and_by_bytes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_stream(bench.database)
    monkeypatch.setattr(module, "PACK_IMAGES", 2)
    ids = bench.note(*[b"cat"] * 5)
    assert [place.index for one in ids if (place := place_of(one))] == [0, 1, 0, 1, 0]
    monkeypatch.setattr(module, "PACK_BYTES", 1000)
    last, first = bench.note(bytes(2000), b"cat")
    packs_of = [place.pack_id for one in (ids[4], last, first) if (place := place_of(one))]
    assert packs_of[0] == packs_of[1] != packs_of[2]


def test_a_pack_is_closed_by_age(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    create_stream(bench.database)
    monkeypatch.setattr(module, "PACK_S", 0.01)
    bench.note(b"cat")
    until(lambda: bench.counted("kept") == 1)


def test_stopping_writes_what_is_open_and_takes_no_more(bench: Bench) -> None:
    create_stream(bench.database)
    (kept,) = bench.note(b"cat")
    bench.recorder.stop(timeout_s=20)
    (late,) = bench.note(b"cat")
    assert bench.record(kept) is not None
    assert bench.record(late) is None
    assert (bench.counted("kept"), bench.counted("dropped")) == (1, 1)


def test_of_a_stream_that_opted_out_nothing_is_kept(bench: Bench) -> None:
    create_stream(bench.database, policies={"feedback": {"enabled": False}})
    for _ in range(2):  # not known yet, then known
        ids = bench.note(b"cat")
        assert all(place_of(one) for one in ids)
        bench.settle(*ids)
    assert bench.packs() == []
    assert list(bench.blobs.root.glob("sha256/*/*")) == []
    assert (bench.counted("kept"), bench.counted("dropped")) == (0, 0)


def test_the_policy_is_read_anew_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = create_stream(bench.database, policies={"feedback": {"enabled": False}})
    monkeypatch.setattr(module, "_POLICY_S", 0)
    bench.settle(*bench.note(b"cat"))
    with bench.database.begin() as session:
        session.merge(stream).policies = {"feedback": {"enabled": True}}
    bench.settle(*bench.note(b"cat"))
    assert len(bench.packs()) == 1


def test_what_finds_no_room_is_dropped_and_counted_and_the_rest_is_kept(bench: Bench) -> None:
    create_stream(bench.database)
    first, huge, last = bench.note(b"cat", bytes(10_000), b"cat")
    bench.settle(first)
    assert bench.record(first) is not None
    assert bench.record(huge) is None
    assert bench.record(last) is not None
    assert (bench.counted("kept"), bench.counted("dropped")) == (2, 1)
    (again,) = bench.note(bytes(9_000))  # the room is free again
    bench.settle(again)
    assert bench.record(again) is not None


def test_while_the_database_is_away_packs_wait_as_many_as_have_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_stream(bench.database)
    monkeypatch.setattr(module, "_REST_S", 0.01)
    away = [True] * 3
    read = Recorder._read_keeping

    def absent(recorder: Recorder, stream: str) -> Any:
        if away:
            away.pop()
            raise DatabaseAway("it is away")
        return read(recorder, stream)

    monkeypatch.setattr(Recorder, "_read_keeping", absent)
    (waits,) = bench.note(bytes(9_000))
    (dropped,) = bench.note(bytes(9_000))
    bench.settle(waits)
    assert away == []
    assert bench.record(waits) is not None
    assert bench.record(dropped) is None
    assert (bench.counted("kept"), bench.counted("dropped")) == (1, 1)


def test_stopping_without_a_database_drops_what_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> None:
        raise DatabaseAway("it is away")

    monkeypatch.setattr(Recorder, "_read_keeping", absent)
    bench.note(b"cat", b"dog")
    bench.recorder.stop(timeout_s=20)
    assert (bench.counted("kept"), bench.counted("dropped")) == (0, 2)


def test_a_fault_of_one_pack_does_not_end_the_writing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_stream(bench.database)
    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "free_bytes", lambda _: 0)
        (lost,) = bench.note(b"cat")
        bench.settle(lost)
    (kept,) = bench.note(b"cat")
    bench.settle(kept)
    assert bench.record(lost) is None
    assert bench.record(kept) is not None
    assert (bench.counted("kept"), bench.counted("dropped")) == (1, 1)


def test_of_a_stream_that_is_gone_nothing_is_kept(bench: Bench) -> None:
    bench.settle(*bench.note(b"cat", stream="nobody"))
    assert bench.packs() == []
