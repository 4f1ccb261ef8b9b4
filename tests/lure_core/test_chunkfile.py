"""The canonical chunk file: the same content gives the same bytes, and only sound files open."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

from lure_core import chunkfile
from lure_core.errors import BadChunkFile
from lure_core.types import Split

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 9), dtype=np.uint8)
LABELS = ["dog", "cat", "dog", "caf\xe9"]
SPLITS = [Split.TRAIN, Split.JUDGE, Split.SELECT, Split.TRAIN]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chunk.safetensors"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunks")


def test_what_is_written_is_read(path: Path) -> None:
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    chunk = chunkfile.open_chunk(path)
    np.testing.assert_array_equal(chunk.images, IMAGES)
    assert chunk.labels == LABELS
    assert chunk.names == ("caf\xe9", "cat", "dog")
    assert chunk.index.tolist() == [2, 1, 2, 0]
    assert chunk.splits.tolist() == [0, 2, 1, 0]
    assert len(chunk) == 4


def test_the_counts_cover_every_class_and_split(path: Path) -> None:
    chunkfile.write(path, IMAGES[:3], LABELS[:3], [0, 0, 2])
    chunk = chunkfile.open_chunk(path)
    assert chunk.class_counts == {"cat": 1, "dog": 2}
    assert chunk.split_counts == {Split.TRAIN: 2, Split.SELECT: 0, Split.JUDGE: 1}


def test_the_map_is_read_only(path: Path) -> None:
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    chunk = chunkfile.open_chunk(path)
    assert isinstance(chunk.images, np.memmap)
    for array in (chunk.images, chunk.index, chunk.splits):
        assert not array.flags.writeable


def test_any_safetensors_reader_can_read_it(path: Path) -> None:
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    with safe_open(path, "numpy") as file:
        assert file.metadata()["version"] == "1"
        assert json.loads(file.metadata()["names"]) == ["caf\xe9", "cat", "dog"]
        np.testing.assert_array_equal(file.get_tensor("images"), IMAGES)
        assert file.get_tensor("labels").dtype == np.uint32


def test_one_image_at_a_time_gives_the_same_bytes(tmp_path: Path) -> None:
    chunkfile.write(tmp_path / "whole", IMAGES, LABELS, SPLITS)
    with chunkfile.Writer(tmp_path / "single") as writer:
        for image, label, split in zip(IMAGES, LABELS, SPLITS, strict=True):
            writer.append(np.asfortranarray(image), label, split)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "single").read_bytes()


def test_writing_needs_no_memory_for_the_pixels(path: Path) -> None:
    image = np.zeros((3, 256, 256), dtype=np.uint8)
    tracemalloc.start()
    with chunkfile.Writer(path) as writer:
        for number in range(100):
            writer.append(image, str(number % 10), Split.TRAIN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 100 * image.nbytes
    assert peak < 20 * image.nbytes


def test_an_existing_file_is_left_alone(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        chunkfile.write(path, IMAGES, LABELS, SPLITS)
    assert path.read_bytes() == b"mine"


def test_an_interrupted_writer_leaves_no_file(path: Path) -> None:
    def interrupted() -> None:
        with chunkfile.Writer(path) as writer:
            writer.append(IMAGES[0], "cat", Split.TRAIN)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("image", "label", "what"),
    [
        (IMAGES[0].astype(np.float32), "cat", "must be uint8"),
        (IMAGES, "cat", "must be uint8"),
        (IMAGES[0, :, :4], "cat", "among images of"),
        (IMAGES[0], "", "class name"),
        (IMAGES[0], "x" * 256, "class name"),
        (IMAGES[0], "a\udc80", "class name"),
    ],
)
def test_what_does_not_fit_is_not_written(
    path: Path, image: np.ndarray, label: str, what: str
) -> None:
    with chunkfile.Writer(path) as writer:
        writer.append(IMAGES[0], "cat", Split.TRAIN)
        with pytest.raises(BadChunkFile, match=what):
            writer.append(image, label, Split.TRAIN)
    assert len(chunkfile.open_chunk(path)) == 1  # and the writer goes on


def test_an_empty_chunk_is_not_written(path: Path) -> None:
    with pytest.raises(BadChunkFile, match="at least one"):
        chunkfile.write(path, IMAGES[:0], [], [])
    assert not path.exists()


def altered(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write a sound file whose header was changed afterwards."""
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def set_meta(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["__metadata__"].__setitem__(key, value)


def set_images(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["images"].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (set_meta("format", "pt"), "not a chunk file"),
        (lambda header: header.pop("__metadata__"), "not a chunk file"),
        (set_meta("version", "2"), "version '2' is not known"),
        (set_meta("names", "[1]"), "no list of names"),
        (set_meta("names", "["), "no list of names"),
        (set_meta("names", None), "no list of names"),
        (set_meta("names", '["b","a","c"]'), "not sorted"),
        (set_meta("names", '["a","a","c"]'), "not sorted"),
        (set_meta("names", '["a","b"]'), "no name"),
        (set_images("dtype", "I8"), "not labels, images and splits"),
        (set_images("shape", [4, 3, 72]), "not labels, images and splits"),
        (set_images("shape", [4, 3, -8, -9]), "not labels, images and splits"),
        (set_images("shape", [2**70, 3, 8, 9]), "not labels, images and splits"),
        (set_images("data_offsets", [0, 864]), "not labels, images and splits"),
        (lambda header: header.pop("splits"), "not labels, images and splits"),
        (lambda header: header.update(images=None), "not labels, images and splits"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(
    path: Path, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    altered(path, change)
    with pytest.raises(BadChunkFile, match=what):
        chunkfile.open_chunk(path)


def test_an_unknown_split_is_refused(path: Path) -> None:
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    path.write_bytes(path.read_bytes()[:-1] + b"\3")
    with pytest.raises(BadChunkFile, match="unknown split"):
        chunkfile.open_chunk(path)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_of_another_length_is_refused(path: Path, change: Callable[[bytes], bytes]) -> None:
    chunkfile.write(path, IMAGES, LABELS, SPLITS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadChunkFile, match="bytes"):
        chunkfile.open_chunk(path)


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"\xff" * 40, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9)]
)
def test_what_is_no_safetensors_file_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(BadChunkFile, match="not a chunk file"):
        chunkfile.open_chunk(path)


@PROPERTY
@given(st.data())
def test_every_chunk_comes_back_and_is_written_alike(folder: Path, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, high) for high in (6, 3, 9, 9)]))
    images = data.draw(hnp.arrays(np.uint8, shape))
    names = st.text(min_size=1, max_size=255).filter(str.isprintable)
    count = {"min_size": shape[0], "max_size": shape[0]}
    labels = data.draw(st.lists(names, **count))
    splits = data.draw(st.lists(st.sampled_from(Split), **count))
    first, second = folder / "first", folder / "second"
    for path in (first, second):
        path.unlink(missing_ok=True)
        chunkfile.write(path, images, labels, splits)
    assert first.read_bytes() == second.read_bytes()
    chunk = chunkfile.open_chunk(first)
    np.testing.assert_array_equal(chunk.images, images)
    assert chunk.labels == labels
    assert chunk.splits.tolist() == splits


@PROPERTY
@given(st.data())
def test_a_damaged_file_opens_or_is_refused(folder: Path, data: st.DataObject) -> None:
    path = folder / "damaged"
    path.unlink(missing_ok=True)
    chunkfile.write(path, IMAGES[:, :1, :2, :2], LABELS, SPLITS)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        chunk = chunkfile.open_chunk(path)
    except BadChunkFile:
        return
    assert len(chunk.labels) == len(chunk)
