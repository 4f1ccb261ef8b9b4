from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lure_core.errors import ConfigError
from lure_core.experiment import streams
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import ChunkStream, open_stream
from lure_core.types import Split
from tests.lure_core.experiment.writing import write_folder, write_zip

PILOT: dict[str, Any] = {"chunk_size": 179, "select": 0.095, "test_images": 360}


def opened(*, seed: int = 0, noise: float = 0.0, **settings: Any) -> ChunkStream:
    return open_stream(Experiment.from_dict(settings), seed=seed, noise=noise)


def pictures(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_the_pilots_digits_are_eight_chunks_with_their_hold_out() -> None:
    stream = opened(**PILOT)
    assert (stream.name, len(stream.classes), len(stream.chunks)) == ("digits", 10, 8)
    for chunk in stream.chunks:
        assert torch.bincount(chunk.splits).tolist() == [162, 17]
    assert set(stream.test.splits.tolist()) == {int(Split.JUDGE)}
    assert torch.bincount(stream.test.labels).tolist() == pytest.approx([36] * 10, abs=1)
    assert len({chunk.name for chunk in (*stream.chunks, stream.test)}) == 9


def test_no_image_comes_twice() -> None:
    stream = opened()
    everything = torch.cat([part.images for part in (*stream.chunks, stream.test)])
    assert len(everything) == 1797
    assert len(set(pictures(everything))) == 1797  # the digits have no duplicates


def test_the_test_images_are_the_same_for_every_seed_and_never_wrong() -> None:
    plain, other = opened(seed=0), opened(seed=5, noise=0.2)
    assert torch.equal(plain.test.images, other.test.images)
    assert torch.equal(plain.test.labels, other.test.labels)


def test_a_seed_gives_the_same_stream_again_and_another_seed_another() -> None:
    first, again, other = opened(seed=1), opened(seed=1), opened(seed=2)
    for one, two, three in zip(first.chunks, again.chunks, other.chunks, strict=True):
        assert one.digest() == two.digest()
        assert one.digest() != three.digest()
        assert one.name != three.name


def test_streams_do_not_depend_on_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(seed=1, noise=0.2)
    streams._chunks.cache_clear()
    streams._test.cache_clear()
    again = opened(seed=1, noise=0.2)
    assert [c.digest() for c in first.chunks] == [c.digest() for c in again.chunks]
    assert first.test.digest() == again.test.digest()


def test_noise_changes_labels_alone_and_by_its_share_of_every_chunk() -> None:
    clean, noisy = opened(seed=1, **PILOT), opened(seed=1, noise=0.2, **PILOT)
    for one, two in zip(clean.chunks, noisy.chunks, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.splits, two.splits)
        assert one.name == two.name
        wrong = one.labels != two.labels
        assert int(wrong[one.splits == int(Split.TRAIN)].sum()) == round(0.2 * 162)
        assert int(wrong[one.splits == int(Split.SELECT)].sum()) == round(0.2 * 17)


def test_the_hold_out_has_every_class_in_proportion() -> None:
    stream = opened(chunks=2, select=0.1)
    for chunk in stream.chunks:
        held = torch.bincount(chunk.labels[chunk.splits == int(Split.SELECT)], minlength=10)
        exact = torch.bincount(chunk.labels, minlength=10) * 0.1
        assert bool(((held - exact).abs() < 1).all())


def test_few_shot_chunks_have_so_many_of_each_class() -> None:
    stream = opened(chunks=10, shots=3)
    for chunk in stream.chunks:
        assert torch.bincount(chunk.labels).tolist() == [3] * 10
        assert int((chunk.splits == int(Split.SELECT)).sum()) == 3


def test_zips_give_a_fifth_of_each_to_testing_and_the_rest_is_thinned(tmp_path: Path) -> None:
    for number in range(3):
        write_zip(tmp_path / f"chunk-{number}.zip", ["cat", "dog"] * 20, seed=number)
    stream = opened(dataset="zips", data=str(tmp_path))
    assert [len(chunk) for chunk in stream.chunks] == [32, 32, 32]
    assert torch.bincount(stream.test.labels).tolist() == [12, 12]
    thinned = opened(dataset="zips", data=str(tmp_path), chunk_size=10, test_images=31)
    assert len(thinned.test) == 31
    assert [torch.bincount(chunk.labels).tolist() for chunk in thinned.chunks] == [[5, 5]] * 3
    tested = set(pictures(thinned.test.images))
    assert not any(tested & set(pictures(chunk.images)) for chunk in thinned.chunks)
    recut = opened(dataset="zips", data=str(tmp_path), chunks=2)
    assert [len(chunk) for chunk in recut.chunks] == [48, 48]


def test_a_test_set_of_its_own_may_be_thinned(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["cat", "dog"], each=10, side=8)
    write_folder(tmp_path / "val", ["cat", "dog"], each=6, side=8)
    settings = {"dataset": "folder", "data": str(tmp_path), "chunks": 2}
    assert len(opened(**settings).test) == 12
    assert torch.bincount(opened(**settings, test_images=4).test.labels).tolist() == [2, 2]
    with pytest.raises(ConfigError, match="there are 12 test images, not 13"):
        opened(**settings, test_images=13)


def test_large_images_are_mapped_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, ["cat", "dog"], each=20, side=8)
    settings = {"dataset": "folder", "data": str(tmp_path), "chunks": 2}
    in_memory = opened(**settings)
    streams._chunks.cache_clear()
    monkeypatch.setattr("lure_core.experiment.datasets.source.MAPPED_FROM_BYTES", 1)
    files: list[object] = []

    def spy() -> object:
        files.append(tempfile_of())
        return files[-1]

    tempfile_of = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", spy)
    mapped = opened(**settings)
    assert len(files) == 2  # a chunk each
    assert [c.digest() for c in mapped.chunks] == [c.digest() for c in in_memory.chunks]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"test_images": 1797}, "1797 of 1797 images cannot be set apart"),
        ({"chunk_size": 1000}, "8 chunks of 1000 images are wanted, but there are 1438"),
        ({"chunk_size": 1, "chunks": 3}, "chunk 1 of digits has fewer than 2 images"),
    ],
)
def test_impossible_cuts_are_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        opened(**settings)


def test_one_class_alone_has_no_wrong_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat"], each=20, side=8)
    with pytest.raises(ConfigError, match="one class alone"):
        opened(dataset="folder", data=str(tmp_path), chunks=2, noise=0.2)
