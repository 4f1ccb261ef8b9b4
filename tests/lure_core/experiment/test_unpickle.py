from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lure_core.experiment import unpickle
from lure_core.experiment.unpickle import BadPickle

PIXELS = np.arange(48, dtype=np.uint8).reshape(2, 24)


class Call:
    """A pickle of this calls what it was given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Elsewhere(pickle.Pickler):
    def persistent_id(self, what: Any) -> str | None:
        return "elsewhere" if what == "away" else None


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "batch"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_lists_and_texts_come_back_whatever_the_protocol(
    tmp_path: Path, protocol: int
) -> None:
    content = {"data": PIXELS, "labels": [3, 1], "names": ["cat", "dög"], "deep": {"a": (1, 2.5)}}
    found = unpickle.read(written(tmp_path, pickle.dumps(content, protocol=protocol)))
    np.testing.assert_array_equal(found.pop("data"), PIXELS)
    assert found == {"labels": [3, 1], "names": ["cat", "dög"], "deep": {"a": (1, 2.5)}}


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_numpy_1_and_2_name_their_modules_otherwise(tmp_path: Path, core: bytes) -> None:
    dumped = pickle.dumps({"data": PIXELS}, protocol=2)
    assert b"numpy._core" in dumped or b"numpy.core" in dumped
    renamed = dumped.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", core)
    np.testing.assert_array_equal(unpickle.read(written(tmp_path, renamed))["data"], PIXELS)


def test_a_pickle_of_python_2_is_read_as_cifar_was_published(tmp_path: Path) -> None:
    raw = PIXELS.tobytes()
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x02K\x18\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<I", len(raw)) + raw)
        + b"tbU\x06labelsq\x09](K\x03K\x01eu."
    )
    found = unpickle.read(written(tmp_path, content))
    np.testing.assert_array_equal(found["data"], PIXELS)
    assert found["labels"] == [3, 1]


def test_an_array_in_fortran_order_keeps_its_rows(tmp_path: Path) -> None:
    path = written(tmp_path, pickle.dumps({"data": np.asfortranarray(PIXELS)}, protocol=2))
    np.testing.assert_array_equal(unpickle.read(path)["data"], PIXELS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_of_anything_else_is_refused_and_not_made(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    path = written(tmp_path, pickle.dumps({"data": Call(mark.__class__.touch, mark)}, protocol))
    with pytest.raises(BadPickle, match=r"batch: holds .*only plain data"):
        unpickle.read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (Call(eval, "1 + 1"), "eval"),
        (Call(getattr, PIXELS, "tofile"), "getattr"),
        (Call(np.load, "batch"), "numpy"),
        (np.array([1.5]), "'f8'"),
        (np.array(["text", None], dtype=object), "'O8'"),
        (np.zeros(2, dtype=[("a", "u1")]), "'V1'"),
        (np.ma.masked_array([1], dtype=np.uint8), "numpy.ma"),
        (Path("somewhere"), "Path"),
        ({1, 2}, "set"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(BadPickle, match=told):
        unpickle.read(written(tmp_path, pickle.dumps({"data": content}, protocol=2)))


def test_a_reference_to_something_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch"
    with path.open("wb") as file:
        Elsewhere(file, protocol=2).dump({"data": "away"})
    with pytest.raises(BadPickle, match="elsewhere"):
        unpickle.read(path)


@pytest.mark.parametrize("name", ["ndarray\n", "dtype\n"])
def test_a_pickle_cannot_change_what_stands_for_numpy(tmp_path: Path, name: str) -> None:
    """BUILD with a dict or with slots sets attributes on whatever it finds."""
    for state in (b"}U\x01aK\x01s", b"N}U\x01aK\x01s\x86"):
        content = b"\x80\x02}U\x04datacnumpy\n" + name.encode() + state + b"bs."
        with pytest.raises(BadPickle):
            unpickle.read(written(tmp_path, content))


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    with pytest.raises(BadPickle, match="batch is damaged"):
        unpickle.read(written(tmp_path, pickle.dumps({"data": PIXELS}, protocol=2)[:kept]))


def test_an_array_that_is_shorter_than_its_shape_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"data": PIXELS}, protocol=2).replace(
        b"K\x02K\x18\x86", b"K\x02K\x19\x86"
    )
    with pytest.raises(BadPickle, match="another length"):
        unpickle.read(written(tmp_path, content))


def test_a_list_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(BadPickle, match="no dict"):
        unpickle.read(written(tmp_path, pickle.dumps([1, 2])))
