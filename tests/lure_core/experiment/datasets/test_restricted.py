from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import restricted
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import open_stream
from tests.lure_core.experiment.writing import write_folder

CLASSES = [f"class {number:02d}" for number in range(14)]


def generated(root: Path, *, train: int, val: int) -> Path:
    write_folder(root / "train", CLASSES, each=train, side=240, suffix=".JPEG")
    write_folder(root / "val", CLASSES, each=val, side=240, suffix=".JPEG")
    return root


def test_fourteen_folders_are_its_classes_at_224_pixels(tmp_path: Path) -> None:
    source = restricted.load(str(generated(tmp_path, train=2, val=1)), None)
    assert (source.classes, len(source.labels)) == (tuple(CLASSES), 28)
    assert source.input.to_dict() == {"channels": 3, "height": 224, "width": 224}
    assert source.read(torch.tensor([27])).shape == (1, 3, 224, 224)
    assert source.test_labels is not None
    assert source.test_labels.tolist() == list(range(14))
    assert restricted.load(str(tmp_path), 32).input.height == 32


def test_few_shot_has_so_many_of_each_class_in_each_chunk(tmp_path: Path) -> None:
    settings = Experiment(
        dataset="restricted-imagenet",
        data=str(generated(tmp_path, train=3, val=1)),
        shots=1,
        chunks=3,
    )
    stream = open_stream(settings, seed=0, noise=0.0)
    assert len(stream.chunks) == 3
    for chunk in stream.chunks:
        assert torch.bincount(chunk.labels).tolist() == [1] * 14
        assert chunk.images.shape == (14, 3, 224, 224)
    assert len(stream.test) == 14


def test_a_thousand_synsets_are_grouped_by_their_place(tmp_path: Path) -> None:
    synsets = [f"n{7 * number + 1000000:08d}" for number in range(1000)]
    for half in ("train", "val"):
        for name in synsets:
            (tmp_path / half / name).mkdir(parents=True)
            (tmp_path / half / name / "0.JPEG").touch()
    train = restricted._grouped(restricted.folder.scan(tmp_path / "train"), tmp_path)
    assert list(train) == list(restricted.GROUPS)
    assert [path.parent.name for path in train["bird"]] == synsets[10:15]
    assert [path.parent.name for path in train["monkey"]] == synsets[371:375]
    sizes = [len(files) for files in train.values()]
    assert sizes == [5] * 10 + [4] + [5] * 3
    assert sum(sizes) == 69


def test_groups_do_not_overlap() -> None:
    places = [at for first, last in restricted.GROUPS.values() for at in range(first, last + 1)]
    assert len(set(places)) == len(places) == 69
    assert max(places) < 1000


@pytest.mark.parametrize("count", [13, 15])
def test_another_number_of_classes_is_refused(tmp_path: Path, count: int) -> None:
    write_folder(tmp_path / "train", [f"c{n}" for n in range(count)], each=1, side=8)
    write_folder(tmp_path / "val", [f"c{n}" for n in range(count)], each=1, side=8)
    with pytest.raises(ConfigError, match=rf"has {count} class folders; .*1000 synset folders"):
        restricted.load(str(tmp_path), None)


def test_what_is_absent_is_told_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"restricted-imagenet: train/ and val/.*image-net\.org"):
        restricted.load(str(tmp_path), None)
