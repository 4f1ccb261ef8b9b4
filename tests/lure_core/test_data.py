"""Loading, statistics, batches and stratified subsets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lure_core import chunkfile, data
from lure_core.config import Normalisation
from lure_core.data import Batches, Samples
from lure_core.errors import BadChunkFile
from lure_core.rng import generator
from lure_core.types import Split
from tests.lure_core.making import create_batches, create_samples, of_split

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)


def write_chunk(path: Path, labels: list[str]) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 3, 8, 8), dtype=np.uint8)
    splits = np.arange(len(labels), dtype=np.uint8) % 3
    chunkfile.write(path, images, labels, splits)
    return images


def test_chunks_are_loaded_in_order_and_gathered_one_after_the_other(tmp_path: Path) -> None:
    first = write_chunk(tmp_path / "a", ["dog", "cat"])
    second = write_chunk(tmp_path / "b", ["emu", "dog", "dog"])
    chunks = data.load([tmp_path / "a", tmp_path / "b"], ["cat", "dog", "emu"])
    samples = data.gather(chunks)
    assert np.array_equal(samples.images.numpy(), np.concatenate([first, second]))
    assert samples.labels.tolist() == [1, 0, 2, 1, 1]
    assert samples.splits.tolist() == [0, 1, 0, 1, 2]
    selects = data.gather(chunks, Split.SELECT)
    assert np.array_equal(selects.images.numpy(), np.stack([first[1], second[1]]))
    assert selects.labels.tolist() == [0, 1]


def test_loading_reads_no_pixels_and_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_chunk(path, ["dog"])
    before = path.read_bytes()
    (chunk,) = data.load([path], ["dog"])
    chunk.images.zero_()
    assert path.read_bytes() == before


def test_nothing_to_load_is_no_error() -> None:
    assert data.load([], ["dog"]) == []


def test_gathering_a_split_takes_the_memory_of_its_images_and_of_one_chunk(tmp_path: Path) -> None:
    """In a process of its own, so that its peak is known; 16 chunks of 6 MiB on the disk."""
    images = np.zeros((2048, 3, 32, 32), dtype=np.uint8)
    splits = np.zeros(2048, dtype=np.uint8)
    chunkfile.write(tmp_path / "a", images, ["dog"] * 2048, splits)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "a")], capture_output=True, check=True
    )
    assert int(done.stdout) < (16 + 2) * images.nbytes


PEAK = """
import sys
from pathlib import Path
from lure_core import data
from lure_core.types import Split

def private_bytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

chunks = data.load([Path(sys.argv[1])] * 16, ["dog"])
before, peak = private_bytes(), 0
put = data.Samples.put

def watched(whole, other, *, at):
    global peak
    put(whole, other, at=at)
    peak = max(peak, private_bytes())

data.Samples.put = watched
data.gather(chunks, Split.TRAIN)
print(peak - before)
"""


def test_a_label_outside_the_classes_is_refused_by_name(tmp_path: Path) -> None:
    write_chunk(tmp_path / "a", ["dog", "yak"])
    with pytest.raises(BadChunkFile, match="yak"):
        data.load([tmp_path / "a"], ["dog"])


def test_normalisation_counts_over_all_chunks() -> None:
    samples = create_samples(40)
    parts = [samples.take(torch.arange(17)), samples.take(torch.arange(17, 40))]
    assert data.normalisation(*parts) == data.normalisation(samples)


def test_normalisation_is_the_mean_and_deviation_of_the_training_images() -> None:
    samples = create_samples(40, channels=3)
    train = samples.of(Split.TRAIN).images.double() / 255
    found = data.normalisation(samples)
    assert found.mean == pytest.approx(train.mean(dim=(0, 2, 3)).tolist())
    assert found.std == pytest.approx(train.std(dim=(0, 2, 3), correction=0).tolist())


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    samples = of_split(create_samples(40), Split.TRAIN)
    x = data.normalise(samples.images, data.normalisation(samples))
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_black_images_can_be_normalised() -> None:
    samples = of_split(create_samples(4), Split.TRAIN)
    samples.images.zero_()
    assert data.normalise(samples.images, data.normalisation(samples)).isfinite().all()


def test_no_training_image_is_said_so() -> None:
    with pytest.raises(BadChunkFile, match="no training image"):
        data.normalisation(of_split(create_samples(4), Split.JUDGE))


def test_a_digest_depends_on_pixels_labels_and_roles() -> None:
    samples = create_samples(16)
    changed = create_samples(16)
    changed.images[3, 0, 1, 1] ^= 1
    digests = {samples.digest(), changed.digest(), of_split(samples, Split.TRAIN).digest()}
    assert len(digests) == 3
    assert create_samples(16).digest() == samples.digest()


@PROPERTY
@given(count=st.integers(0, 300), size=st.integers(2, 64))
def test_spans_cover_all_and_none_has_a_single_image(count: int, size: int) -> None:
    spans = data.spans(count, size)
    assert [i for s in spans for i in range(s.start, s.stop)] == list(range(count))
    lengths = [s.stop - s.start for s in spans]
    assert all(2 <= length <= size + 1 for length in lengths) or count == 1


def test_batches_can_be_read_twice() -> None:
    batches = create_batches(70, size=32)
    assert [len(y) for _, y in batches] == [len(y) for _, y in batches] == [32, 32, 6]
    assert len(batches) == 3


@PROPERTY
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=120),
    share=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_a_stratified_subset_has_each_class_in_proportion(
    labels: list[int], share: float, seed: int
) -> None:
    count = round(share * len(labels))
    index = data.stratified(torch.tensor(labels), count, generator(seed))
    assert len(set(index.tolist())) == len(index) == count
    assert index.tolist() == sorted(index.tolist())
    for label in set(labels):
        taken = sum(labels[i] == label for i in index.tolist())
        assert abs(taken - labels.count(label) * count / len(labels)) < 1


def test_a_stratified_draw_is_seeded() -> None:
    labels = torch.arange(90) % 3
    draw = data.stratified(labels, 30, generator(1))
    assert torch.equal(draw, data.stratified(labels, 30, generator(1)))
    assert not torch.equal(draw, data.stratified(labels, 30, generator(2)))


def test_normalise_leaves_the_pixels_alone() -> None:
    images = create_samples(3).images
    before = images.clone()
    assert data.normalise(images, Normalisation((0.5,), (0.5,))).dtype == torch.float32
    assert torch.equal(images, before)


def test_gradients_go_through_pixels_that_were_normalised_in_inference_mode_before() -> None:
    by = Normalisation((0.21,), (0.34,))
    images = torch.rand(2, 1, 8, 8, generator=generator(0)) * 255
    with torch.inference_mode():
        expected = data.normalise(images, by)
    images.requires_grad_()
    again = data.normalise(images, by)
    again.sum().backward()
    torch.testing.assert_close(again.detach(), expected)
    torch.testing.assert_close(images.grad, torch.full_like(images, 1 / (255 * 0.34)))


def test_batches_of_large_images_are_smaller() -> None:
    def first_of(side: int) -> int:
        blank = torch.zeros(300, 3, side, side, dtype=torch.uint8)
        zeros = torch.zeros(300, dtype=torch.long)
        samples = Samples(blank, zeros, zeros.to(torch.uint8))
        batches = Batches(samples, Normalisation((0.0,) * 3, (1.0,) * 3))
        return len(next(iter(batches))[1])

    assert [first_of(side) for side in (8, 64, 128)] == [256, 256, 64]
