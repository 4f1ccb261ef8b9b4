"""An experiment in several processes that train together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lure_core.experiment import ranks, run
from lure_core.experiment.record import Record
from tests.lure_core.experiment.making import create_experiment

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from lure_core.experiment.perform import perform
from tests.lure_core.experiment.making import create_experiment
sys.stdout.write(perform(create_experiment(sys.argv[1], seeds=[0, 1], chunks=2)))
"""


def of_seed(records: list[Record], seed: int) -> list[Record]:
    return [record for record in records if record.seed == seed]


@pytest.mark.slow
def test_two_processes_go_on_from_one_and_have_its_records(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path / "alone", seeds=[0, 1], chunks=2)
    alone = run.run(settings)
    run.run(create_experiment(tmp_path / "both", chunks=2))

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, str(program), str(tmp_path / "both")]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=paths, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("digits, mlp, 2 chunks") == 1
    assert done.stderr.count("[1/1] lure, seed 1") == 1

    both = run.run(create_experiment(tmp_path / "both", seeds=[0, 1], chunks=2))
    assert all(a.same(b) for a, b in zip(of_seed(both, 0), of_seed(alone, 0), strict=True))
    for one, other in zip(of_seed(both, 1), of_seed(alone, 1), strict=True):
        assert (one.chunk, one.trained_images, one.price) == (
            other.chunk,
            other.trained_images,
            other.price,
        )
        # The order of summing differs: a close call or two may come out otherwise.
        assert one.errors == pytest.approx(other.errors, abs=3)
    assert list((tmp_path / "both" / "work").iterdir()) == []


def test_alone_it_is_as_it_was(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path)
    with ranks.joined(settings) as part:
        assert part.settings is settings
        assert part.leads
