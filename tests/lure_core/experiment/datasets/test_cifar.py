from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import cifar
from lure_core.experiment.unpickle import BadPickle
from tests.lure_core.experiment.writing import (
    CIFAR10,
    noise,
    write_cifar10,
    write_cifar100,
    write_pickle,
)


def test_cifar10_comes_batch_after_batch(tmp_path: Path) -> None:
    pixels = write_cifar10(tmp_path, train=30, test=20)
    source = cifar.load("cifar10", str(tmp_path))
    assert (source.name, source.classes, source.parts) == ("cifar10", CIFAR10, ())
    assert (source.input.channels, source.input.height, source.input.width) == (3, 32, 32)
    assert source.labels.tolist() == [at % 10 for at in range(30)]
    rows = torch.tensor([29, 0, 7])
    np.testing.assert_array_equal(source.read(rows).numpy(), pixels[[29, 0, 7]])
    assert source.test_labels is not None
    assert source.read_test is not None
    assert source.test_labels.tolist() == [at % 10 for at in range(20)]
    np.testing.assert_array_equal(source.read_test(rows[2:]).numpy(), noise(20, 32, seed=1)[[7]])


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    pixels = write_cifar100(tmp_path, train=200, test=100)
    source = cifar.load("cifar100", str(tmp_path))
    assert source.classes[:2] == ("thing 00", "thing 01")
    assert len(source.classes) == 100
    assert source.labels.tolist() == [at % 100 for at in range(200)]
    np.testing.assert_array_equal(source.read(torch.tensor([150])).numpy(), pixels[[150]])


def test_the_batches_own_folder_will_do(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=10, test=10)
    assert len(cifar.load("cifar10", str(tmp_path / "cifar-10-batches-py")).labels) == 10


@pytest.mark.parametrize(
    ("dataset", "root", "told"),
    [
        ("cifar10", None, r"experiment.data is needed for cifar10: .*cifar-10-batches-py/.*data_b"),
        ("cifar10", "nowhere", r"nowhere is no folder; it should have cifar10: .*cs.toronto.edu"),
        ("cifar10", "", r"has no cifar10: cifar-10-batches-py/ with the files .*test_batch"),
        ("cifar100", "", r"has no cifar100: cifar-100-python/ with the files train, test, meta"),
    ],
)
def test_what_is_absent_is_told_with_where_to_get_it(
    tmp_path: Path, dataset: str, root: str | None, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        cifar.load(dataset, None if root is None else str(tmp_path / root))


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=10, test=10)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(ConfigError, match=r"lacks data_batch_4\."):
        cifar.load("cifar10", str(tmp_path))


DATA = noise(2, 32).reshape(2, -1)


@pytest.mark.parametrize(
    "batch",
    [
        {"data": DATA},
        {"labels": [1, 2]},
        {"data": DATA, "labels": [1]},
        {"data": DATA, "labels": [1, 10]},
        {"data": DATA, "labels": [1, -1]},
        {"data": DATA, "labels": [1, True]},
        {"data": DATA[:, :-1].copy(), "labels": [1, 2]},
        {"data": [[0] * 3072] * 2, "labels": [1, 2]},
    ],
)
def test_a_batch_of_another_kind_is_refused(tmp_path: Path, batch: dict[str, Any]) -> None:
    write_cifar10(tmp_path, train=10, test=10)
    write_pickle(tmp_path / "cifar-10-batches-py" / "data_batch_2", batch)
    with pytest.raises(ConfigError, match=r"data_batch_2 should have data, uint8 \[n, 3072\]"):
        cifar.load("cifar10", str(tmp_path))


def test_a_batch_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=10, test=10)
    bad = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    bad.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BadPickle, match=r"data_batch_1: holds os\.system"):
        cifar.load("cifar10", str(tmp_path))
