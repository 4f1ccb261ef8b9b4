from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TELL = """
import os
from tests.worker.test_yielding import niceness_of_session
from worker.yielding import give_way
give_way({niceness})
give_way(0)
print(os.nice(0), niceness_of_session())
"""


def niceness_of_session() -> str:
    """Of this process's session; `none` where sessions are no groups, as that of a first process.

    Linux then has no such file, or leaves it empty.
    """
    group = Path("/proc/self/autogroup")
    return (group.read_text().split() or ["none"])[-1] if group.exists() else "none"


def told(niceness: int, *, own_session: bool) -> list[str]:
    """Niceness of a process that gave way, and of its session."""
    program = [sys.executable, "-c", _TELL.format(niceness=niceness)]
    run = subprocess.run(program, capture_output=True, check=True, start_new_session=own_session)
    return run.stdout.decode().split()


def test_a_process_gives_way_and_does_not_come_back() -> None:
    assert told(7, own_session=True)[0] == "7"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no groups by session here")
def test_so_does_its_session_if_that_is_its_own() -> None:
    assert told(7, own_session=True)[1] == "7"
    assert told(7, own_session=False)[1] == niceness_of_session()
