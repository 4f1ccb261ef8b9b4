"""The main job as `make demo` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LAST_LINE = re.compile(
    r"demo: 6 chunks learned, 6 versions, (\d+) predictions, 0 failed, unseen accuracy (\d\.\d\d)"
)


@pytest.mark.slow  # it is `make demo`
@pytest.mark.timeout(300)
def test_the_demo_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lure.demo"],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    told = LAST_LINE.fullmatch(ended.stdout.splitlines()[-1])
    assert told is not None, ended.stdout
    assert int(told[1]) >= 300
    assert float(told[2]) >= 0.96
    assert not list(tmp_path.glob("lure-*"))
    assert not processes_of(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """Processes that were told of the folder, on their command line or in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = [(process / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue  # it has ended
        if process.name != str(os.getpid()) and any(bytes(folder) in text for text in told):
            found.append(f"{process.name}: {told[0]!r}")
    return found
