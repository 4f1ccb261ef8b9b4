"""Feedback chunks: when they close, what is in them, and that nothing is lost or comes twice."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import update

from lure_core import archive
from store import chunks, feedback, packfile, packs, predictions, streams
from store.failpoint import VARIABLE, FailpointError
from store.models import Feedback, Pack, Stream
from store.packfile import Record
from store.predictions import Place
from tests.digits import images, labels, png
from tests.worker.conftest import Bench, environment
from worker import admission, sweep
from worker import feedback as closing

CLASSES = [str(digit) for digit in range(10)]
RUN = """
from worker.context import Context
from worker.feedback import close_due
from worker.settings import WorkerSettings
from worker.stop import Stop

close_due(Context.of(WorkerSettings(), wake=lambda *_, **__: None, stop=Stop()))
"""


def digits(bench: Bench, **policy: object) -> Stream:
    wanted = {"close_images": 3, "close_s": 3600} | policy
    return bench.stream(
        classes=CLASSES,
        input={"channels": 1, "height": 8, "width": 8},
        policies={"feedback": wanted},
    )


def predicted(bench: Bench, stream: Stream, *contents: bytes) -> list[str]:
    """A pack of those images, each answered with a 3; the predictions' ids."""
    data = packfile.pack([Record(content, "3", 0.5, 1) for content in contents])
    pack = Pack(
        id=predictions.new_pack_id(),
        stream_id=stream.id,
        digest=bench.context.blobs.put_bytes(data, keep_s=packs.KEEP_S),
        size_bytes=len(data),
        predictions=len(contents),
    )
    with bench.database.begin() as session:
        packs.add(session, pack)
    return [Place(pack.id, index).prediction_id for index in range(len(contents))]


def label(bench: Bench, stream: Stream, ids: Sequence[str], given: Sequence[str]) -> None:
    with bench.database.begin() as session:
        for name, true in zip(ids, given, strict=True):
            place = predictions.place_of(name)
            assert place is not None
            session.add(
                Feedback(
                    stream_id=stream.id,
                    prediction_id=name,
                    pack_id=place.pack_id,
                    version=1,
                    answer="3",
                    label=true,
                )
            )


def labelled(bench: Bench, stream: Stream, first: int, count: int = 3) -> list[str]:
    """Digits that were predicted in one pack and then got their true labels."""
    chosen = range(first, first + count)
    ids = predicted(bench, stream, *(png(images[at]) for at in chosen))
    label(bench, stream, ids, [str(labels[at]) for at in chosen])
    return ids


def contents(bench: Bench, chunk_id: str) -> dict[str, str]:
    """The name and label of each item of a chunk."""
    with bench.database.begin() as session:
        (chunk,) = chunks.by_ids(session, [chunk_id])
    path = bench.context.blobs.local(chunk.digest)
    listing = archive.check(path, chunk.media_type)
    return {item.name: item.label for item in archive.items(path, listing)}


def open_labels(bench: Bench, stream: Stream) -> list[str]:
    rows = bench.read(feedback.oldest_open, stream, limit=100)
    return [row.prediction_id for row in rows]


def test_enough_labels_become_a_chunk_that_is_admitted_like_any_other(bench: Bench) -> None:
    stream = digits(bench)
    first = labelled(bench, stream, 0, 2)
    assert closing.close_due(bench.context) == []
    second = predicted(bench, stream, png(images[2]), b"no image")
    label(bench, stream, second, ["2", "2"])
    (chunk_id,) = closing.close_due(bench.context)
    assert bench.wakes.sent == [("lure.admit_chunk", chunk_id)]
    assert contents(bench, chunk_id) == dict(zip([*first, *second], "0122", strict=True))
    admission.admit(bench.context, chunk_id)
    (chunk,) = bench.chunks(stream)
    assert (chunk.id, chunk.state, chunk.images, chunk.refused) == (chunk_id, "admitted", 3, 1)
    assert chunk.report is not None
    assert chunk.report["items"][0]["name"] == second[1]
    assert closing.close_due(bench.context) == []
    assert open_labels(bench, stream) == []


def test_few_labels_become_a_chunk_when_the_first_is_old_enough(bench: Bench) -> None:
    stream = digits(bench, close_s=60)
    (old, young) = labelled(bench, stream, 0, 2)
    assert closing.close_due(bench.context) == []
    with bench.database.begin() as session:
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=61)
        session.execute(update(Feedback).where(Feedback.prediction_id == old).values(at=long_ago))
    (chunk_id,) = closing.close_due(bench.context)
    assert contents(bench, chunk_id).keys() == {old, young}


def test_each_stream_closes_by_its_own_policy(bench: Bench) -> None:
    stream = digits(bench)
    other = bench.stream("other", policies={"feedback": {"close_images": 9}})
    labelled(bench, stream, 0)
    labelled(bench, other, 3)
    assert len(closing.close_due(bench.context)) == 1
    assert (len(bench.chunks(stream)), len(bench.chunks(other))) == (1, 0)


def test_a_chunk_is_bounded_and_the_rest_joins_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = digits(bench)
    ids = [*labelled(bench, stream, 0), *labelled(bench, stream, 3)]
    monkeypatch.setattr(closing, "_MOST_IMAGES", 2)
    (first,) = closing.close_due(bench.context)
    assert len(contents(bench, first)) == 2
    monkeypatch.setattr(closing, "_MOST_IMAGES", 100)
    monkeypatch.setattr(closing, "_MOST_BYTES", 3 * len(png(images[3])))
    (second,) = closing.close_due(bench.context)
    assert 0 < len(contents(bench, second)) < 4
    joined = {*contents(bench, first), *contents(bench, second)}
    assert sorted([*joined, *open_labels(bench, stream)]) == sorted(ids)


@pytest.mark.parametrize("place", ["feedback.stored", "feedback.committed"])
def test_a_worker_killed_while_it_closes_loses_nothing_and_doubles_nothing(
    bench: Bench, place: str
) -> None:
    stream = digits(bench)
    ids = labelled(bench, stream, 0)
    env = environment(bench.context.settings) | {VARIABLE: f"{place}:kill"}
    done = subprocess.run([sys.executable, "-c", RUN], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    was_committed = place == "feedback.committed"
    assert (open_labels(bench, stream) == []) == was_committed
    assert len(closing.close_due(bench.context)) == (0 if was_committed else 1)
    (chunk,) = bench.chunks(stream)
    assert contents(bench, chunk.id).keys() == set(ids)
    sweep.sweep(bench.context, "admit")
    assert ("lure.admit_chunk", chunk.id) in bench.wakes.sent


def test_the_same_labels_give_the_same_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = digits(bench)
    labelled(bench, stream, 0)
    monkeypatch.setenv(VARIABLE, "feedback.stored:raise")
    assert closing.close_due(bench.context) == []  # the fault is in the log
    with pytest.raises(FailpointError):
        closing.close(bench.context, stream)
    monkeypatch.delenv(VARIABLE)
    before = {path.name for path in bench.context.blobs.root.glob("sha256/*/*")}
    closing.close_due(bench.context)
    (chunk,) = bench.chunks(stream)
    assert chunk.digest in before


def test_of_two_workers_at_once_one_closes(
    bench: Bench, another: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = digits(bench)
    ids = labelled(bench, stream, 0)
    both_stored = threading.Barrier(2, timeout=20)
    monkeypatch.setattr(
        closing, "failpoint", lambda name: name == "feedback.stored" and both_stored.wait()
    )
    closed: list[list[str]] = []
    workers = [
        threading.Thread(target=lambda one=one: closed.append(closing.close_due(one.context)))
        for one in (bench, another())
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(map(len, closed)) == [0, 1]
    (chunk,) = bench.chunks(stream)
    assert contents(bench, chunk.id).keys() == set(ids)


def test_a_label_corrected_while_the_chunk_is_made_is_learned_as_corrected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = digits(bench)
    ids = labelled(bench, stream, 0)

    def correct(_: str) -> None:
        with bench.database.begin() as session:
            feedback.by_ids(session, stream, ids)[ids[0]].label = "9"

    with monkeypatch.context() as patch:
        patch.setattr(closing, "failpoint", correct)
        assert closing.close_due(bench.context) == []
    (chunk_id,) = closing.close_due(bench.context)
    assert contents(bench, chunk_id)[ids[0]] == "9"


def test_a_pack_whose_bytes_are_lost_holds_up_no_other(bench: Bench) -> None:
    stream = digits(bench)
    lost, kept = labelled(bench, stream, 0), labelled(bench, stream, 3)
    place = predictions.place_of(lost[0])
    assert place is not None
    pack = bench.read(packs.by_ids, [place.pack_id])[place.pack_id]
    bench.context.blobs.local(pack.digest).write_bytes(b"rotten")
    (chunk_id,) = closing.close_due(bench.context)
    assert contents(bench, chunk_id).keys() == set(kept)
    assert open_labels(bench, stream) == []
    assert bench.read(feedback.live_accuracy, stream)[1][1] == 6


def test_collecting_forgets_what_no_policy_keeps_and_opting_out_forgets_all(
    bench: Bench,
) -> None:
    stream = digits(bench, keep_s=60)
    predicted(bench, stream, png(images[0]))
    place = predictions.place_of(predicted(bench, stream, png(images[1]))[0])
    assert place is not None
    with bench.database.begin() as session:
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=61)
        session.execute(update(Pack).where(Pack.id == place.pack_id).values(made_at=long_ago))
    labelled(bench, stream, 10)
    assert closing.expire(bench.context) == 1
    with bench.database.begin() as session:
        row = streams.lock(session, stream.id)
        row.policies = row.policies | {"feedback": {"enabled": False, "close_images": 3}}
    assert closing.expire(bench.context) == 1  # those with an open label are still needed
    assert len(closing.close_due(bench.context)) == 1
    assert closing.expire(bench.context) == 1
    with bench.database.begin() as session:
        assert session.query(Pack).count() == 0
