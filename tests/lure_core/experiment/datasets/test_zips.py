from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import zips
from tests.lure_core.experiment.writing import noise, write_zip


def test_each_zip_is_a_part_in_the_order_of_its_name(tmp_path: Path) -> None:
    write_zip(tmp_path / "b.zip", ["owl", "cat"], seed=1)
    write_zip(tmp_path / "a.zip", ["dog", "cat", "cat"], seed=0)
    (tmp_path / "README.md").write_text("no zip")
    source = zips.load(str(tmp_path), None)
    assert source.classes == ("cat", "dog", "owl")
    assert (source.parts, source.labels.tolist()) == ((3, 2), [1, 0, 0, 2, 0])
    np.testing.assert_array_equal(source.read(torch.arange(3)).numpy(), noise(3, 8, seed=0))
    np.testing.assert_array_equal(source.read(torch.tensor([4]))[0].numpy(), noise(2, 8, seed=1)[1])


def test_an_npz_is_read_beside_zips(tmp_path: Path) -> None:
    images = noise(4, 8).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array(["cat", "dog", "cat", "dog"]))
    write_zip(tmp_path / "b.zip", ["owl"])
    source = zips.load(str(tmp_path), None)
    assert (source.parts, source.labels.tolist()) == ((4, 1), [0, 1, 0, 1, 2])
    np.testing.assert_array_equal(source.read(torch.arange(4)).numpy(), noise(4, 8))


def test_images_are_brought_to_a_side(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", ["cat", "dog"], side=8)
    write_zip(tmp_path / "b.zip", ["cat", "dog"], side=20)
    with pytest.raises(ConfigError, match=r"experiment\.side"):
        zips.load(str(tmp_path), None)
    assert zips.load(str(tmp_path), 16).read(torch.arange(4)).shape == (4, 3, 16, 16)


def test_a_bad_member_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", ["cat", "dog"])
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("dog/bad.png", b"no image")
    with pytest.raises(ConfigError, match=r"dog/bad\.png: this is text, not an image"):
        zips.load(str(tmp_path), None)


def test_an_image_without_a_class_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", ["cat", "dog"])
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("stray.png", b"")
    with pytest.raises(ConfigError, match=r"a\.zip: stray\.png: not in a class folder"):
        zips.load(str(tmp_path), None)


def test_an_unsafe_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../cat/0.png", b"")
    with pytest.raises(ConfigError, match=r"a\.zip: \.\./cat/0\.png"):
        zips.load(str(tmp_path), None)


@pytest.mark.parametrize("root", [None, "nowhere", ""])
def test_what_is_absent_is_told(tmp_path: Path, root: str | None) -> None:
    with pytest.raises(ConfigError, match=r"one or more \.zip or \.npz files"):
        zips.load(None if root is None else str(tmp_path / root), None)
