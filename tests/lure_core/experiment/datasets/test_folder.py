from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import folder
from tests.lure_core.experiment.writing import encoded, noise, write_folder


def test_class_folders_alone_have_no_test_images(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog"], each=3, side=8)
    source = folder.load(str(tmp_path), None)
    assert (source.classes, source.labels.tolist()) == (("cat", "dog"), [0, 0, 0, 1, 1, 1])
    assert source.read_test is None
    assert source.input.to_dict() == {"channels": 3, "height": 8, "width": 8}
    wanted = np.asarray(Image.open(tmp_path / "dog" / "001.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(source.read(torch.tensor([4]))[0].numpy(), wanted)


@pytest.mark.parametrize(
    ("halves", "tested"), [(("val",), 2), (("test",), 2), (("val", "test"), 4)]
)
def test_test_images_come_from_test_or_else_val(
    tmp_path: Path, halves: tuple[str, ...], tested: int
) -> None:
    write_folder(tmp_path / "train", ["cat", "dog"], each=3, side=8)
    for at, half in enumerate(halves, 1):
        write_folder(tmp_path / half, ["cat", "dog"], each=at, side=8)
    source = folder.load(str(tmp_path), None)
    assert len(source.labels) == 6
    assert source.test_labels is not None
    assert len(source.test_labels) == tested


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "test"], each=3, side=8)
    assert folder.load(str(tmp_path), None).classes == ("cat", "test")


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog", ".hidden"], each=2, side=8)
    (tmp_path / "cat" / "notes.txt").write_text("about cats")
    (tmp_path / "cat" / "._000.png").write_bytes(b"what a Mac adds")
    (tmp_path / "empty").mkdir()
    source = folder.load(str(tmp_path), None)
    assert (source.classes, len(source.labels)) == (("cat", "dog"), 4)


def test_grey_images_stay_grey_unless_one_is_in_colour(tmp_path: Path) -> None:
    for number, channels in enumerate((1, 1)):
        (tmp_path / f"class{number}").mkdir()
        image = noise(1, 8, channels=channels)[0]
        (tmp_path / f"class{number}" / "0.png").write_bytes(encoded(image))
    assert folder.load(str(tmp_path), None).input.channels == 1
    write_folder(tmp_path, ["colour"], each=1, side=8)
    source = folder.load(str(tmp_path), None)
    assert source.input.channels == 3
    assert source.read(torch.arange(3)).shape == (3, 3, 8, 8)


def test_differing_sizes_need_a_side(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat"], each=1, side=8)
    write_folder(tmp_path, ["dog"], each=1, side=12)
    with pytest.raises(ConfigError, match=r"experiment.side: .*8 x 8, 12 x 12.*such as 224"):
        folder.load(str(tmp_path), None)
    assert folder.load(str(tmp_path), 10).read(torch.arange(2)).shape == (2, 3, 10, 10)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog"], each=2, side=8)
    (tmp_path / "dog" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    source = folder.load(str(tmp_path), None)
    with pytest.raises(ConfigError, match=r"dog/001\.png: the PNG is damaged"):
        source.read(torch.arange(4))


def test_a_test_class_never_learned_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["cat"], each=2, side=8)
    write_folder(tmp_path / "val", ["cat", "owl"], each=2, side=8)
    with pytest.raises(ConfigError, match="test class 'owl' has no training images"):
        folder.load(str(tmp_path), None)


def test_many_images_keep_their_order_over_threads_and_batches(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog"], each=100, side=8)
    source = folder.load(str(tmp_path), None)
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    whole = source.read(torch.arange(200))
    assert torch.equal(source.read(rows), whole[rows])


@pytest.mark.parametrize("root", [None, "nowhere", ""])
def test_what_is_absent_is_told(tmp_path: Path, root: str | None) -> None:
    with pytest.raises(ConfigError, match=r"experiment.data.*class folders with images"):
        folder.load(None if root is None else str(tmp_path / root), None)
