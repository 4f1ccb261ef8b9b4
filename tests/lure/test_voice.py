"""Saying things to whoever may be reading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lure import voice
from lure.embedded import Stack
from lure.errors import EmbeddedError

TO_NOBODY = """
import sys
from lure import voice
sys.stdin.read()
for stream in (sys.stdout, sys.stderr):
    voice.tell("first", stream)
    voice.tell("second", stream)
"""


def test_a_reader_that_is_gone_is_no_failure_not_even_at_the_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TO_NOBODY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_closed_stream_is_no_failure(tmp_path: Path) -> None:
    with (tmp_path / "closed").open("w") as stream:
        pass
    voice.tell("line", stream)


def test_what_nobody_foresaw_ends_the_stack_with_its_reason(tmp_path: Path) -> None:
    told: list[str] = []
    bad: dict[str, str] = {"LURE_TRIAL": 7}  # type: ignore[dict-item]
    stack = Stack(tmp_path / "data", env=bad, say=told.append)
    with pytest.raises(EmbeddedError, match="the stack failed: TypeError"):
        stack.start()
    assert any("Traceback" in line for line in told)
    assert not stack.left()


def test_a_listener_that_fails_does_not_take_the_stack_down(tmp_path: Path) -> None:
    asked: list[str] = []

    def broken_pipe(line: str) -> None:
        asked.append(line)
        raise BrokenPipeError

    env = {"LURE_DATABASE_URL": ""}
    stack = Stack(tmp_path / "data", env=env, say=broken_pipe)
    with pytest.raises(EmbeddedError, match="migrations did not end well"):
        stack.start()
    assert any("redis runs" in line for line in asked)
