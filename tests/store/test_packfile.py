"""The bytes of a pack: what goes in comes out, and what is damaged is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from store.errors import BadPack
from store.packfile import Record, pack, read_answers, unpack

RECORDS = st.lists(
    st.builds(
        Record,
        image=st.binary(max_size=40),
        answer=st.text(st.characters(codec="utf-8"), max_size=5),
        probability=st.floats(0, 1, width=32),
        version=st.integers(1, 2**31 - 1),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packs") / "pack"


@given(RECORDS)
def test_what_goes_in_comes_out(file: Path, records: list[Record]) -> None:
    whole = pack(records)
    assert unpack(whole) == records
    file.write_bytes(whole)
    found = read_answers(file)
    assert found.labels == [one.answer for one in records]
    assert found.versions == [one.version for one in records]


@given(RECORDS, st.data())
def test_whatever_is_cut_off_is_refused(
    file: Path, records: list[Record], data: st.DataObject
) -> None:
    whole = pack(records)
    kept = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadPack):
        unpack(whole[:kept])
    file.write_bytes(whole[:kept])
    with pytest.raises(BadPack):
        read_answers(file)


@given(RECORDS, st.data())
def test_flipped_bits_give_records_or_a_refusal(
    file: Path, records: list[Record], data: st.DataObject
) -> None:
    spoilt = bytearray(pack(records))
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(spoilt)
    with suppress(BadPack):
        assert len(read_answers(file).labels) <= len(spoilt)
    with suppress(BadPack):
        assert sum(len(record.image) for record in unpack(bytes(spoilt))) <= len(spoilt)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(file: Path, data: bytes) -> None:
    with pytest.raises(BadPack):
        unpack(data)
    file.write_bytes(data)
    with pytest.raises(BadPack):
        read_answers(file)


def head(**told: Any) -> np.ndarray:
    usual = {"format": "lure-predictions", "version": 1, "labels": ["cat"]}
    return np.frombuffer(json.dumps(usual | told).encode(), np.uint8)


@pytest.mark.parametrize(
    "column",
    [
        {"offsets": np.array([0, 4, 2, 6])},
        {"offsets": np.array([0, 2, 4, 5])},
        {"offsets": np.array([1, 2, 4, 6])},
        {"offsets": np.array([0, 3, 6])},
        {"offsets": np.array([0.0, 2, 4, 6])},
        {"answers": np.array([0, 1, 0], np.int32)},
        {"answers": np.array([0, -1, 0], np.int32)},
        {"versions": np.array([1, 1], np.int32)},
        {"images": np.zeros((2, 3), np.uint8)},
        {"further": np.zeros(1)},
        {"head": np.frombuffer(b"[", np.uint8)},
        {"head": head(version=2)},
        {"head": head(labels=[1])},
    ],
)
def test_what_contradicts_itself_is_refused(file: Path, column: dict[str, np.ndarray]) -> None:
    columns = load(pack([Record(b"ab", "cat", 0.5, 1)] * 3))
    assert len(unpack(save(columns))) == 3
    with pytest.raises(BadPack):
        unpack(save(columns | column))
    if not column.keys() & {"offsets", "images"}:  # which lead to the images
        file.write_bytes(save(columns | column))
        with pytest.raises(BadPack):
            read_answers(file)
