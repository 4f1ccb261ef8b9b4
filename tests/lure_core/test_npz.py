"""Arrays in an npz are judged by their headers and read row by row; nothing is unpickled."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lure_core import archive
from lure_core.archive import Item, Limits
from lure_core.errors import BadArchive

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5])


@pytest.fixture(scope="session")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads") / "upload.npz"


def npz(compressed: bool = False, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def read(upload: Path, data: bytes) -> list[Item]:
    upload.write_bytes(data)
    return list(archive.items(upload, archive.check(upload, archive.NPZ)))


def read_back(upload: Path, data: bytes) -> np.ndarray:
    items = read(upload, data)
    assert [item.error for item in items] == [None] * len(items)
    return np.stack([item.image for item in items])


def refused(upload: Path, data: bytes, limits: Limits = archive.DEFAULT_LIMITS) -> BadArchive:
    upload.write_bytes(data)
    with pytest.raises(BadArchive) as refusal:
        archive.check(upload, archive.NPZ, limits)
    assert refusal.value.remedy
    assert str(refusal.value).isprintable()
    return refusal.value


@pytest.mark.parametrize("compressed", [False, True])
def test_images_and_labels_come_row_by_row(upload: Path, compressed: bool) -> None:
    data = npz(compressed, images=IMAGES, labels=LABELS)
    items = read(upload, data)
    assert [item.label for item in items] == ["3", "1", "4", "1", "5"]
    assert items[3].name == "images[3]"
    np.testing.assert_array_equal(np.stack([item.image for item in items]), IMAGES)


def test_the_listing_counts_without_unpacking(upload: Path) -> None:
    upload.write_bytes(npz(images=IMAGES, labels=LABELS))
    listing = archive.check(upload, archive.NPZ)
    assert (listing.kind, listing.items, listing.classes) == ("npz", 5, None)
    assert listing.uncompressed_bytes > IMAGES.nbytes


def test_without_a_media_type_an_npz_is_known_by_its_members(upload: Path) -> None:
    upload.write_bytes(npz(images=IMAGES, labels=LABELS))
    assert archive.check(upload, "application/octet-stream").kind == "npz"


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_is_turned(upload: Path, channels: int) -> None:
    images = IMAGES[:, :, :, :channels]
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(read_back(upload, npz(images=first, labels=LABELS)), images)


def test_images_without_a_channel_axis_are_grey(upload: Path) -> None:
    found = read_back(upload, npz(images=IMAGES[:, :, :, 0], labels=LABELS))
    np.testing.assert_array_equal(found, IMAGES[:, :, :, :1])


def test_where_both_axes_could_be_channels_the_last_is(upload: Path) -> None:
    images = IMAGES[:, :3]
    np.testing.assert_array_equal(read_back(upload, npz(images=images, labels=LABELS)), images)


@pytest.mark.parametrize("compressed", [False, True])
def test_fortran_order_is_read(upload: Path, compressed: bool) -> None:
    data = npz(compressed, images=np.asfortranarray(IMAGES), labels=np.asfortranarray(LABELS))
    assert b"'fortran_order': True" in data or compressed
    np.testing.assert_array_equal(read_back(upload, data), IMAGES)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0, 200], np.uint8), ["0", "200"]),
        (np.array([-1, 7], np.int8), ["-1", "7"]),
        (np.array([1, 2**40], ">i8"), ["1", "1099511627776"]),
        (np.array([2**64 - 1, 0], np.uint64), ["18446744073709551615", "0"]),
        (np.array(["cat", "caf\xe9"]), ["cat", "caf\xe9"]),
        (np.array(["cat", "\U0001f431"], ">U3"), ["cat", "\U0001f431"]),
        (np.array(["cat", "cafe\u0301"]), ["cat", "caf\xe9"]),
        (np.array([b"cat", "caf\xe9".encode()]), ["cat", "caf\xe9"]),
    ],
)
def test_labels_become_strings(upload: Path, labels: np.ndarray, expected: list[str]) -> None:
    items = read(upload, npz(images=IMAGES[:2], labels=labels))
    assert [item.label for item in items] == expected


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "empty"),
        ("a\nb", "printed"),
        ("x" * 256, "longer than 255"),
        (b"\xff", "not valid text"),
    ],
)
def test_a_bad_label_refuses_its_item_alone(upload: Path, label: str, reason: str) -> None:
    fine = b"cat" if isinstance(label, bytes) else "cat"
    bad, good = read(upload, npz(images=IMAGES[:2], labels=np.array([label, fine])))
    assert reason in (bad.error or "")
    assert bad.image is None
    assert (good.label, good.error) == ("cat", None)


def test_code_points_that_do_not_exist_refuse_their_item(upload: Path) -> None:
    labels = np.array([0xFFFFFFFF, 0xDC80, ord("a")], "<u4").view("<U1")
    beyond, surrogate, good = read(upload, npz(images=IMAGES[:3], labels=labels))
    assert "not valid text" in (beyond.error or "")
    assert "not valid text" in (surrogate.error or "")
    assert (good.label, good.error) == ("a", None)


def records(count: int) -> np.ndarray:
    return np.zeros(count, dtype=[("a", "<i4"), ("b", "u1")])


@pytest.mark.parametrize(
    ("arrays", "where", "what"),
    [
        ({"images": IMAGES.astype(object), "labels": LABELS}, "images.npy", "pickled"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "labels.npy", "pickled"),
        ({"images": IMAGES, "labels": records(5)}, "labels.npy", "records"),
        ({"images": IMAGES}, None, "no array named 'labels'"),
        ({"labels": LABELS}, None, "no array named 'images'"),
        ({"images": IMAGES.astype(np.float32), "labels": LABELS}, "images", "<f4, not uint8"),
        ({"images": IMAGES > 9, "labels": LABELS}, "images", "not uint8"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, "images", "shape is [9, 3]"),
        ({"images": np.uint8(1), "labels": LABELS}, "images", "shape is []"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images", "shape is [0, 8, 9, 3]"),
        ({"images": IMAGES.repeat(2, 3), "labels": LABELS}, "images", "no axis of 1 or 3"),
        ({"images": IMAGES, "labels": LABELS[:4]}, "labels", "there are 4 for 5"),
        ({"images": IMAGES, "labels": LABELS[:, None]}, "labels", "shape is [5, 1]"),
        ({"images": IMAGES, "labels": LABELS[0]}, "labels", "shape is []"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels", "not integers or strings"),
        ({"images": IMAGES, "labels": LABELS > 2}, "labels", "not integers or strings"),
        ({"images": IMAGES, "labels": np.array(["x" * 20000] * 5)}, "labels", "not integers"),
    ],
)
def test_pickled_and_misshapen_arrays_are_refused(
    upload: Path, arrays: dict[str, object], where: str | None, what: str
) -> None:
    fault = refused(upload, npz(**arrays))
    assert what in fault.what
    assert fault.where == where


def with_header(header: bytes, data: bytes = bytes(8)) -> bytes:
    npy = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data
    return with_images(npy)


def with_images(npy: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("images.npy", npy)
        labels = io.BytesIO()
        np.save(labels, LABELS[:1])
        zipped.writestr("labels.npy", labels.getvalue())
    return buffer.getvalue()


def fields(descr: str = "'|u1'", order: str = "False", shape: str = "(1, 2, 4)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


def test_a_header_written_by_other_hands_is_read(upload: Path) -> None:
    header = b'{"shape":(1,2,4),"fortran_order":False,"descr":"|u1"}'
    assert read_back(upload, with_header(header)).shape == (1, 2, 4, 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (with_images(b""), "not an .npy file"),
        (with_images(b"\x93NUMPY\7\0"), "not an .npy file"),
        (with_images(b"\x93NUMPY\1\0\xff\0{"), "cut off"),
        (with_images(b"\x93NUMPY\2\0\xff\xff\xff\x7f{"), "header takes 2147483647 bytes"),
        (with_header(b"-" * 9000), "damaged"),
        (with_header(b"(" * 9000), "damaged"),
        (with_header(fields() + b"x"), "damaged"),
        (with_header(fields(shape="(1, 2)*9")), "damaged"),
        (with_header(fields(shape="(1 2, 4)")), "shape is damaged"),
        (with_header(fields(shape="(1,, 8)")), "shape is damaged"),
        (with_header(fields(shape=f"({'9' * 5000}, 2)")), "shape is damaged"),
        (with_header(fields(shape="(1, 2, 5)")), "does not fit"),
        (with_header(fields(shape="(999999999999999, 999999999999999, 3)")), "does not fit"),
        (with_header(fields(descr="'|Ooops'")), "pickled"),
        (with_header(fields(descr="'<M8[ns]'"), bytes(64)), "not uint8"),
        (with_header(fields(descr="'what'")), "not read"),
        (with_header(fields(), bytes(9)), "does not fit"),
    ],
)
def test_a_damaged_or_lying_header_is_refused(upload: Path, data: bytes, what: str) -> None:
    assert what in refused(upload, data).what


def test_the_limits_hold(upload: Path) -> None:
    data = npz(images=IMAGES, labels=LABELS)
    assert "5 are too many" in refused(upload, data, Limits(max_members=4)).what
    assert "one takes 216 bytes" in refused(upload, data, Limits(max_member_bytes=215)).what
    assert "bytes are too many" in refused(upload, data, Limits(max_total_bytes=1200)).what


def test_a_bomb_of_zeros_is_refused(upload: Path) -> None:
    images = np.zeros((100, 128, 128, 3), np.uint8)
    fault = refused(upload, npz(True, images=images, labels=np.zeros(100, int)))
    assert "200 times" in fault.what


def test_after_a_broken_stream_the_good_images_are_kept(upload: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    data = bytearray(npz(True, images=images, labels=np.arange(50)))
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        middle = zipped.getinfo("images.npy").compress_size // 2
    data[middle : middle + 2000] = bytes(2000)
    items = read(upload, bytes(data))
    assert len(items) == 50
    good = [item for item in items if item.error is None]
    assert 15 <= len(good) < 50
    np.testing.assert_array_equal(good[10].image, images[10])
    assert all("damaged from here on" in (item.error or "") for item in items[len(good) :])


def test_a_large_array_is_never_in_memory_at_once(upload: Path) -> None:
    images = np.random.default_rng(2).integers(0, 256, (400, 128, 128, 3), dtype=np.uint8)
    upload.write_bytes(npz(True, images=images, labels=np.arange(400)))
    tracemalloc.start()
    listing = archive.check(upload, archive.NPZ)
    count = sum(item.error is None for item in archive.items(upload, listing))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 400
    assert peak < images.nbytes / 20


SMALL = npz(True, images=IMAGES, labels=np.array(["a", "b", "c", "d", "e"]))


@PROPERTY
@given(st.binary(max_size=200))
@example(fields(order="True"))
@example(fields(descr="'|u1", shape="()"))
def test_any_header_gives_a_listing_or_a_refusal(upload: Path, header: bytes) -> None:
    _check_and_read(upload, with_header(header))


@PROPERTY
@given(
    st.lists(st.sampled_from([*"{}()',: \n", "1", "|u1", "descr", "shape", "True"]), max_size=40)
)
def test_any_words_in_a_header_give_a_listing_or_a_refusal(
    upload: Path, words: Sequence[str]
) -> None:
    _check_and_read(upload, with_header("".join(words).encode()))


@PROPERTY
@given(st.data())
def test_a_damaged_npz_gives_items_or_a_refusal(upload: Path, data: st.DataObject) -> None:
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _check_and_read(upload, bytes(damaged))


def _check_and_read(upload: Path, data: bytes) -> None:
    upload.write_bytes(data)
    try:
        listing = archive.check(upload, archive.NPZ)
    except BadArchive:
        return
    found = list(archive.items(upload, listing))
    assert len(found) == listing.items
    assert all((item.image is None) == (item.error is not None) for item in found)
