from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lure_core.errors import ConfigError
from lure_core.experiment.cuts import Wanted, cut

LABELS = torch.arange(120) % 4
ALL = [torch.arange(120)]
PARTS = list(torch.arange(120).tensor_split(3))


@given(
    total=st.integers(8, 200),
    chunks=st.integers(1, 8),
    seed=st.integers(0, 99),
    first=st.integers(0, 1000),
)
def test_chunks_share_all_rows_evenly_and_none_twice(
    total: int, chunks: int, seed: int, first: int
) -> None:
    rows = torch.arange(first, first + total)
    found = cut(torch.zeros(2000, dtype=torch.int64), [rows], Wanted(chunks), seed=seed)
    assert len(found) == chunks
    assert sorted(torch.cat(found).tolist()) == rows.tolist()
    sizes = [len(chunk) for chunk in found]
    assert max(sizes) - min(sizes) <= 1


def test_a_size_takes_that_many_and_leaves_the_rest() -> None:
    found = cut(LABELS, ALL, Wanted(3, 30), seed=0)
    assert [len(chunk) for chunk in found] == [30, 30, 30]
    assert len(set(torch.cat(found).tolist())) == 90


def test_the_seed_alone_fixes_the_cut() -> None:
    first, again, other = (cut(LABELS, ALL, Wanted(4), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_eight_chunks_unless_told_otherwise() -> None:
    assert len(cut(LABELS, ALL, Wanted(), seed=0)) == 8


def test_parts_stay_chunks_in_their_order() -> None:
    found = cut(LABELS, PARTS, Wanted(), seed=0)
    assert [sorted(chunk.tolist()) for chunk in found] == [part.tolist() for part in PARTS]
    assert found[0].tolist() != PARTS[0].tolist()  # shuffled: some strategies look at the front


def test_parts_are_thinned_class_by_class() -> None:
    found = cut(LABELS, PARTS, Wanted(size=12), seed=0)
    for chunk, part in zip(found, PARTS, strict=True):
        assert set(chunk.tolist()) <= set(part.tolist())
        assert torch.bincount(LABELS[chunk]).tolist() == [3, 3, 3, 3]
    other = cut(LABELS, PARTS, Wanted(size=12), seed=1)
    assert set(found[0].tolist()) != set(other[0].tolist())


def test_a_number_of_chunks_cuts_parts_anew() -> None:
    found = cut(LABELS, PARTS, Wanted(chunks=2), seed=0)
    assert [len(chunk) for chunk in found] == [60, 60]
    assert not set(found[0].tolist()) <= set(range(60))


@pytest.mark.parametrize("chunks", [1, 5, 10, 30])
def test_few_shots_are_so_many_of_each_class_in_each_chunk(chunks: int) -> None:
    found = cut(LABELS, ALL, Wanted(chunks=chunks, shots=1), seed=0)
    assert len(found) == chunks
    for chunk in found:
        assert torch.bincount(LABELS[chunk]).tolist() == [1, 1, 1, 1]
    assert len(set(torch.cat(found).tolist())) == 4 * chunks


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(5, 30), "5 chunks of 30 images are wanted, but there are 120"),
        (Wanted(200), "200 chunks of 0 images"),
        (Wanted(31, shots=1), "31 chunks of 1 images a class .* the smallest class has 30"),
    ],
)
def test_too_few_images_are_told(wanted: Wanted, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        cut(LABELS, ALL, wanted, seed=0)


def test_a_part_too_small_to_thin_is_told() -> None:
    with pytest.raises(ConfigError, match="41 images are wanted, but a chunk has 40"):
        cut(LABELS, PARTS, Wanted(size=41), seed=0)
