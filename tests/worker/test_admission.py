"""Admission of real archives: what is kept, what is refused and why."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from lure_core.chunkfile import open_chunk
from lure_core.types import Split
from store import chunks, classes, failpoint, jobs
from store.states import ChunkState
from tests.digits import digits_npz, digits_zip, images, labels, png
from tests.worker.conftest import Bench
from worker import admission
from worker.admission import admit

NPZ = "application/x-npz"
SPEC = {"channels": 1, "height": 8, "width": 8}
TEN = [str(digit) for digit in range(10)]


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def reasons(report: dict) -> dict[str, str]:
    return {item["name"]: item["reason"] for item in report["items"]}


@pytest.mark.parametrize("media_type", ["application/zip", NPZ])
def test_good_digits_become_a_chunk_file(bench: Bench, media_type: str) -> None:
    stream = bench.stream()
    make = digits_npz if media_type == NPZ else digits_zip
    chunk = bench.upload(stream, make(range(60)), media_type)
    admit(bench.context, chunk.id)

    admitted = bench.chunk(chunk)
    assert admitted.state is ChunkState.ADMITTED
    assert admitted.file_digest is not None
    file = open_chunk(bench.context.blobs.local(admitted.file_digest))
    assert file.labels == [str(label) for label in labels[:60]]
    assert np.array_equal(file.images[:, 0], images[:60])
    assert admitted.report == {
        "images": 60,
        "refused": 0,
        "classes": {digit: file.class_counts[digit] for digit in TEN},
        "unseen_classes": [],
        "splits": {split.name.lower(): file.split_counts[split] for split in Split},
        "items": [],
        "items_omitted": 0,
    }
    assert (jobs.PROCESS_NEXT, stream.id) in bench.wakes.sent


def test_zip_and_npz_of_the_same_digits_give_the_same_file(bench: Bench) -> None:
    stream = bench.stream()
    for payload, media_type in (
        (digits_zip(range(40)), "application/zip"),
        (digits_npz(range(40)), NPZ),
    ):
        admit(bench.context, bench.upload(stream, payload, media_type).id)
    one, two = bench.chunks(stream)
    assert one.file_digest == two.file_digest


def test_the_first_good_chunk_fixes_the_shape_and_wakes_who_waited(bench: Bench) -> None:
    stream = bench.stream()
    first, second = (bench.upload(stream, digits_zip(part)) for part in (range(40), range(40, 80)))
    assert admit(bench.context, second.id) is None
    assert admit(bench.context, first.id) is not None
    fixed = bench.read_stream(stream.name)
    assert (fixed.classes, fixed.input) == (TEN, SPEC)
    assert (jobs.ADMIT_CHUNK, second.id) in bench.wakes.sent
    assert admit(bench.context, second.id) is not None


def test_mixed_sizes_take_the_most_frequent(bench: Bench) -> None:
    stream = bench.stream()
    large = {f"0/large{i}.png": png(np.full((20, 16), i, np.uint8)) for i in range(3)}
    chunk = bench.upload(stream, digits_zip(range(40), large))
    admit(bench.context, chunk.id)
    assert bench.read_stream(stream.name).input == SPEC
    assert bench.chunk(chunk).images == 43


def test_sides_out_of_range_are_scaled_together(bench: Bench) -> None:
    stream = bench.stream()
    tiny = npz(
        images=np.arange(40 * 4 * 6, dtype=np.uint8).reshape(40, 4, 6, 1),
        labels=np.arange(40) % 2,
    )
    admit(bench.context, bench.upload(stream, tiny, NPZ).id)
    assert bench.read_stream(stream.name).input == {"channels": 1, "height": 8, "width": 12}


def test_bad_items_among_good_ones_are_listed(bench: Bench) -> None:
    stream = bench.stream()
    bad = {
        "3/text.png": b"I am a text file",
        "3/broken.png": png(images[0])[:40],
        "stray.png": png(images[0]),
        "3/deep/er/x.png": png(images[0]),
    }
    chunk = bench.upload(stream, digits_zip(range(30), bad))
    admit(bench.context, chunk.id)
    admitted = bench.chunk(chunk)
    assert (admitted.state, admitted.images, admitted.refused) == (ChunkState.ADMITTED, 30, 4)
    assert admitted.report is not None
    told = reasons(admitted.report)
    assert set(told) == set(bad)
    assert "text" in told["3/text.png"]
    assert "damaged" in told["3/broken.png"]
    assert "class folder" in told["stray.png"]


def test_a_label_outside_the_fixed_classes_refuses_the_item(bench: Bench) -> None:
    stream = bench.stream(classes=TEN[:9], input=SPEC)
    chunk = bench.upload(stream, digits_npz(range(40)), NPZ)
    admit(bench.context, chunk.id)
    report = bench.chunk(chunk).report
    assert report is not None
    nines = int((labels[:40] == 9).sum())
    assert (report["refused"], report["unseen_classes"]) == (nines, ["9"])
    assert {item["reason"] for item in report["items"]} == {
        "label '9' is not in the stream's fixed class list"
    }


def of(*digits: int) -> list[int]:
    """Thirty images of each of those digits."""
    return [int(i) for digit in digits for i in np.flatnonzero(labels == digit)[:30]]


def test_an_open_stream_takes_labels_that_it_never_saw(bench: Bench) -> None:
    stream = bench.stream(open_classes=True)
    first, second = bench.admitted(stream, of(0, 1)), bench.admitted(stream, of(1, 5, 3))
    assert bench.read_stream(stream.name).classes == ["0", "1"]
    assert first.report is not None
    assert first.report["unseen_classes"] == []
    assert second.report is not None
    assert second.report["classes"] == {"1": 30, "3": 30, "5": 30}
    assert (second.refused, second.report["unseen_classes"]) == (0, ["3", "5"])


def test_an_open_stream_may_begin_with_one_class(bench: Bench) -> None:
    stream = bench.stream(open_classes=True)
    bench.admitted(stream, of(4))
    assert bench.read_stream(stream.name).classes == ["4"]


def test_classes_beyond_the_most_are_refused_and_the_rest_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_classes(monkeypatch, 4)
    stream = bench.stream(open_classes=True)
    bench.admitted(stream, of(0, 1, 2))
    second = bench.admitted(stream, [*of(2), *of(7), *of(5)])
    third = bench.admitted(stream, [*of(1)[5:], *of(8)])  # the place of 7 is taken already
    assert second.report is not None
    assert (second.report["classes"], second.refused) == ({"2": 30, "7": 30}, 30)
    assert second.report["unseen_classes"] == ["5", "7"]
    told = {item["reason"] for item in second.report["items"]}
    assert told == {"label '5' would be one class more than the 4 allowed"}
    assert third.report is not None
    assert third.report["classes"] == {"1": 25}


def test_a_first_chunk_has_no_more_classes_than_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_classes(monkeypatch, 3)
    stream = bench.stream()
    chunk = bench.admitted(stream, [*of(6, 2), *of(9, 1)])
    assert chunk.refused == 30
    assert bench.read_stream(stream.name).classes == ["2", "6", "9"]


def test_two_chunks_that_race_for_the_last_place_get_it_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_classes(monkeypatch, 3)
    stream = bench.stream(open_classes=True)
    bench.admitted(stream, of(0, 1))
    racer = bench.upload(stream, digits_zip(of(0, 8)))
    decode = admission._write
    others = [lambda: bench.admitted(stream, of(1, 7))]

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        spec = decode(*args, **kwargs)
        if others:
            others.pop()()
        return spec

    monkeypatch.setattr(admission, "_write", overtaken)
    admit(bench.context, racer.id)
    assert [bench.chunk(chunk).refused for chunk in bench.chunks(stream)] == [0, 30, 0]
    assert bench.read(classes.taken, bench.read_stream(stream.name)) == {"0", "1", "7"}


def allow_classes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(classes, "MAX_CLASSES", most)


def test_arrays_of_another_channel_count_are_refused(bench: Bench) -> None:
    stream = bench.stream(classes=TEN, input=SPEC)
    colour = npz(images=np.zeros((5, 8, 8, 3), np.uint8), labels=np.arange(5))
    chunk = bench.upload(stream, colour, NPZ)
    admit(bench.context, chunk.id)
    rejected = bench.chunk(chunk)
    assert rejected.state is ChunkState.REJECTED
    assert rejected.report is not None
    assert rejected.report["refused"] == 5
    assert "channel" in reasons(rejected.report)["images[0]"]
    assert rejected.file_digest is None


def test_a_chunk_with_no_good_item_is_rejected_and_holds_up_nobody(bench: Bench) -> None:
    stream = bench.stream()
    bad = bench.upload(stream, digits_zip([], {"0/a.png": b"no", "1/b.png": b"nor this"}))
    good = bench.upload(stream, digits_zip(range(40)))
    admit(bench.context, bad.id)
    rejected = bench.chunk(bad)
    assert (rejected.state, rejected.images, rejected.refused) == (ChunkState.REJECTED, 0, 2)
    assert rejected.error is not None
    assert rejected.error.startswith("no item is a good image; the first: 0/a.png: this is text")
    assert set(reasons(rejected.report or {})) == {"0/a.png", "1/b.png"}
    assert (jobs.ADMIT_CHUNK, good.id) in bench.wakes.sent
    admit(bench.context, good.id)
    assert bench.read_stream(stream.name).classes == TEN


def test_one_class_alone_cannot_fix_the_class_list(bench: Bench) -> None:
    stream = bench.stream()
    zeros = np.flatnonzero(labels == 0)[:20].tolist()
    chunk = bench.upload(stream, digits_zip(zeros))
    admit(bench.context, chunk.id)
    assert bench.chunk(chunk).state is ChunkState.REJECTED
    assert "at least two classes" in (bench.chunk(chunk).error or "")
    assert bench.read_stream(stream.name).classes is None


def test_a_chunk_without_training_images_is_rejected(bench: Bench) -> None:
    stream = bench.stream(
        classes=TEN, input=SPEC, policies={"holdout": {"select": 0.0, "judge": 1.0}}
    )
    chunk = bench.upload(stream, digits_zip(range(10)))
    admit(bench.context, chunk.id)
    assert "none of the 10 images is for training" in (bench.chunk(chunk).error or "")


def test_an_exception_of_ours_frees_the_chunk_and_five_reject_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(failpoint.VARIABLE, "admit.decode:raise")
    stream = bench.stream()
    chunk = bench.upload(stream, digits_zip(range(20)))
    for _ in range(chunks.MAX_DEATHS):
        assert admit(bench.context, chunk.id) is not None
    assert admit(bench.context, chunk.id) is None
    assert bench.chunk(chunk).state is ChunkState.REJECTED


def test_an_admission_told_to_stop_is_free_at_once(bench: Bench) -> None:
    stream = bench.stream()
    chunk = bench.upload(stream, digits_zip(range(20)))
    bench.context.stop.tell()
    admit(bench.context, chunk.id)
    assert bench.read(chunks.unattended, stale_s=100) == [chunk.id]
    assert bench.chunk(chunk).deaths == 0
    assert list(bench.context.blobs.incoming()) == []
