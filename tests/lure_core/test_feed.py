"""Batches from the device or from mapped files: the same to the bit, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lure_core import chunkfile, data, feed
from lure_core.data import Samples
from lure_core.feed import AHEAD, Feed, Resident, Streamed, View, open_feed
from lure_core.rng import generator
from tests.lure_core.making import create_samples

CPU = torch.device("cpu")


def readers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("feed")]


def create_parts(lengths: Sequence[int]) -> list[Samples]:
    return [create_samples(length, seed=at) for at, length in enumerate(lengths)]


def both(parts: Sequence[Samples], rows: Sequence[torch.Tensor]) -> tuple[Feed, Feed]:
    resident = open_feed(parts, rows, device=CPU, resident_mib=1)
    streamed = open_feed(parts, rows, device=CPU, resident_mib=0)
    assert isinstance(resident, Resident)
    assert isinstance(streamed, Streamed)
    return resident, streamed


def equal(left: Samples, right: Samples) -> bool:
    names = ("images", "labels", "splits")
    return all(torch.equal(getattr(left, n), getattr(right, n)) for n in names)


@settings(deadline=None, max_examples=40)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), draw=st.integers(0, 99))
def test_streamed_batches_are_those_of_the_resident_feed(lengths: list[int], draw: int) -> None:
    draws = generator(draw)
    rows = [torch.randperm(n, generator=draws)[: n // 2 + draw % 2] for n in lengths]
    rows[0] = torch.arange(lengths[0])
    resident, streamed = both(create_parts(lengths), rows)
    wanted = [torch.randint(0, len(resident), (count,), generator=draws) for count in (1, 5, 5, 7)]
    batches = list(resident.batches(wanted))
    assert [len(batch) for batch in batches] == [1, 5, 5, 7]
    pairs = zip(batches, streamed.batches(wanted), strict=True)
    assert all(equal(left, right) for left, right in pairs)


def test_a_row_is_its_place_among_the_chosen_rows_of_all_parts() -> None:
    one, other = create_parts([4, 6])
    for opened in both([one, other], [torch.tensor([3, 1]), torch.tensor([5, 0])]):
        (batch,) = opened.batches([torch.tensor([2, 0, 3])])
        images = torch.stack([other.images[5], one.images[3], other.images[0]])
        assert torch.equal(batch.images, images)
        expected = torch.tensor([one.labels[3], one.labels[1], other.labels[5], other.labels[0]])
        assert torch.equal(opened.labels, expected)
        assert len(opened) == 4


def test_chunk_files_are_streamed_as_they_lie(tmp_path: Path) -> None:
    paths = []
    for at, samples in enumerate(create_parts([5, 7])):
        names = ["abc"[label] for label in samples.labels.tolist()]
        chunkfile.write(
            path := tmp_path / f"{at}.chunk", samples.images.numpy(), names, [0] * len(names)
        )
        paths.append(path)
    parts = data.load(paths, "abc")
    resident, streamed = both(parts, [torch.arange(len(part)) for part in parts])
    wanted = torch.randperm(12, generator=generator(1)).split(5)
    for left, right in zip(resident.batches(wanted), streamed.batches(wanted), strict=True):
        assert equal(left, right)


def test_a_view_counts_its_own_rows() -> None:
    (whole,) = both(create_parts([8]), [torch.arange(8)])[:1]
    view = View(whole, torch.tensor([6, 2, 4]))
    (batch,) = view.batches([torch.tensor([2, 0])])
    (expected,) = whole.batches([torch.tensor([4, 6])])
    assert equal(batch, expected)
    assert torch.equal(view.labels, whole.labels[[6, 2, 4]])
    assert len(view) == 3


def test_a_budget_decides_where_the_images_lie() -> None:
    """Of 8 x 8 pixels, 16,384 images are just one MiB."""
    samples = create_samples(1)
    fits = Samples(
        *(t.expand(16_385, *t.shape[1:]) for t in (samples.images, samples.labels, samples.splits))
    )
    whole, less = torch.arange(16_385), torch.arange(16_384)
    assert isinstance(open_feed([fits], [less], device=CPU, resident_mib=1), Resident)
    assert isinstance(open_feed([fits], [whole], device=CPU, resident_mib=1), Streamed)


def memory(monkeypatch: pytest.MonkeyPatch, at: Path, **files: str) -> None:
    for name, text in files.items():
        (at / name.replace("_", ".")).write_text(text)
    monkeypatch.setattr(feed, "_MEMINFO", at / "meminfo")
    monkeypatch.setattr(feed, "_CGROUP", at)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, Resident),
        ({"meminfo": "MemTotal: 9 kB\nMemAvailable:   8 kB\n"}, Resident),
        ({"meminfo": "MemTotal: 9 kB\nMemAvailable:   7 kB\n"}, Streamed),
        ({"memory_max": "max\n"}, Resident),
        ({"memory_max": "10000\n", "memory_stat": "anon 1000\nfile 9000\n"}, Resident),
        ({"memory_max": "10000\n", "memory_stat": "anon 2000\nfile 0\n"}, Streamed),
        ({"memory_max": "10000\n", "memory_stat": "anon 12000\nfile 0\n"}, Streamed),
    ],
)
def test_without_a_budget_half_of_the_free_memory_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], kind: type
) -> None:
    """64 images of 64 bytes; a container's bound counts, and what it has mapped is free to go."""
    memory(monkeypatch, tmp_path, **files)
    rows = [torch.arange(64)]
    assert isinstance(open_feed(create_parts([64]), rows, device=CPU, resident_mib=None), kind)


class Broken:
    """An image tensor whose file is gone."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __getitem__(self, index: object) -> torch.Tensor:
        return self.images[index]  # type: ignore[index]

    def numpy(self) -> object:
        raise OSError("the disk is gone")

    @property
    def shape(self) -> torch.Size:
        return self.images.shape


def test_an_error_while_reading_reaches_who_asked() -> None:
    samples = create_samples(8)
    broken = Samples(Broken(samples.images), samples.labels, samples.splits)  # type: ignore[arg-type]
    opened = open_feed([broken], [torch.arange(8)], device=CPU, resident_mib=0)
    with pytest.raises(OSError, match="disk is gone"):
        list(opened.batches([torch.arange(4)]))
    assert readers() == []


def test_who_stops_early_leaves_no_thread() -> None:
    _, streamed = both(create_parts([32]), [torch.arange(32)])
    with closing(streamed.batches(torch.arange(32).split(2))) as batches:
        next(batches)
        assert len(readers()) == 1
    assert readers() == []


def test_who_fails_leaves_no_thread() -> None:
    def learn_from(streamed: Feed) -> None:
        with closing(streamed.batches(torch.arange(32).split(2))) as batches:
            for batch in batches:
                raise ValueError(len(batch))

    with pytest.raises(ValueError, match="2"):
        learn_from(both(create_parts([32]), [torch.arange(32)])[1])
    assert readers() == []


def test_only_a_few_batches_are_read_ahead() -> None:
    asked: list[int] = []

    def rows() -> object:
        for number in range(20):
            asked.append(number)
            yield torch.tensor([number])

    _, streamed = both(create_parts([32]), [torch.arange(32)])
    with closing(streamed.batches(rows())) as batches:  # type: ignore[arg-type]
        next(batches)
        assert len(asked) == AHEAD + 1
        next(batches)
        assert len(asked) == AHEAD + 2
    assert len(asked) == AHEAD + 2


def test_no_rows_no_batches() -> None:
    for opened in both(create_parts([4]), [torch.arange(4)]):
        assert list(opened.batches([])) == []


@pytest.mark.gpu
def test_on_a_gpu_streamed_batches_are_those_of_the_resident_feed() -> None:
    """Through pinned memory, which is used again while copies may still be under way."""
    cuda = torch.device("cuda")
    parts, rows = create_parts([200, 300]), [torch.arange(200), torch.arange(300)]
    wanted = torch.randperm(500, generator=generator(1)).split(7)
    resident = open_feed(parts, rows, device=cuda, resident_mib=1)
    streamed = open_feed(parts, rows, device=cuda, resident_mib=0)
    for left, right in zip(resident.batches(wanted), streamed.batches(wanted), strict=True):
        assert right.images.is_cuda
        assert equal(left, right)
