from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lure_core import chunkfile
from lure_core.errors import ConfigError
from lure_core.experiment.datasets import chunkfiles
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import open_stream
from lure_core.types import Split
from tests.lure_core.experiment.writing import noise

ROLES = [Split.TRAIN] * 4 + [Split.SELECT] + [Split.JUDGE] * 2


def write_chunk(path: Path, labels: list[str], *, seed: int, side: int = 8) -> None:
    chunkfile.write(path, noise(len(ROLES), side, seed=seed), labels, ROLES)


def test_chunks_keep_their_order_and_their_roles(tmp_path: Path) -> None:
    write_chunk(tmp_path / "b", ["owl"] * 7, seed=1)
    write_chunk(tmp_path / "a", ["cat"] * 3 + ["dog"] * 4, seed=0)
    source = chunkfiles.load(str(tmp_path))
    assert (source.classes, source.parts) == (("cat", "dog", "owl"), (7, 7))
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1, 1] + [2] * 7
    rows = torch.tensor([13, 0, 7, 6])
    both = np.concatenate([noise(7, 8, seed=0), noise(7, 8, seed=1)])
    np.testing.assert_array_equal(source.read(rows).numpy(), both[rows.numpy()])


def test_the_stream_judges_by_their_judge_images_and_selects_by_theirs(tmp_path: Path) -> None:
    for number in range(3):
        write_chunk(
            tmp_path / f"{number}", ["cat", "dog", "cat", "dog", "cat", "dog", "cat"], seed=number
        )
    settings = Experiment(dataset="chunkfiles", data=str(tmp_path))
    stream = open_stream(settings, seed=0, noise=0.0)
    assert [torch.bincount(chunk.splits).tolist() for chunk in stream.chunks] == [[4, 1]] * 3
    assert stream.test.labels.tolist() == [1, 0] * 3
    assert set(stream.test.splits.tolist()) == {int(Split.JUDGE)}


def test_shapes_must_agree(tmp_path: Path) -> None:
    write_chunk(tmp_path / "a", ["cat"] * 7, seed=0)
    write_chunk(tmp_path / "b", ["cat"] * 7, seed=0, side=9)
    with pytest.raises(
        ConfigError, match=r"the images of b are \(3, 9, 9\), those of a \(3, 8, 8\)"
    ):
        chunkfiles.load(str(tmp_path))


def test_another_file_among_them_is_named(tmp_path: Path) -> None:
    write_chunk(tmp_path / "a", ["cat"] * 7, seed=0)
    (tmp_path / "b").write_text("no chunk file")
    with pytest.raises(ConfigError, match="this is not a chunk file"):
        chunkfiles.load(str(tmp_path))


def test_without_judge_images_there_is_nothing_to_test_on(tmp_path: Path) -> None:
    chunkfile.write(tmp_path / "a", noise(2, 8), ["cat", "dog"], [Split.TRAIN, Split.TRAIN])
    with pytest.raises(ConfigError, match="hold no image that judges"):
        chunkfiles.load(str(tmp_path))


@pytest.mark.parametrize("root", [None, "nowhere", ""])
def test_what_is_absent_is_told(tmp_path: Path, root: str | None) -> None:
    with pytest.raises(ConfigError, match=r"experiment\.data.*chunk files and nothing else"):
        chunkfiles.load(None if root is None else str(tmp_path / root))
