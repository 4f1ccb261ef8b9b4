"""The launcher: who a child is, what it may do, and with whom it dies."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from lure.processes import Spec, launch

LOOK = """
import os, sys
print(os.getuid(), os.geteuid(), os.getgroups(), os.access(sys.argv[1], os.X_OK), flush=True)
os.execv(sys.argv[1], [sys.argv[1], "-c", "echo ran"])
"""


def output(spec: Spec) -> str:
    ended = subprocess.run(
        launch(spec), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return ended.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_another_user_still_reaches_programs_below_a_private_folder(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    program = private / "sh"
    program.write_bytes(Path("/bin/sh").read_bytes())
    program.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    spec = Spec(
        name="look",
        argv=(sys.executable, "-I", "-S", "-c", LOOK, str(program)),
        log=tmp_path / "log",
        owner=(nobody.pw_uid, nobody.pw_gid),
    )
    assert output(spec).splitlines() == [f"{nobody.pw_uid} {nobody.pw_uid} [] True", "ran"]


def test_a_child_whose_starter_is_gone_does_not_begin(tmp_path: Path) -> None:
    argv = launch(Spec(name="late", argv=("echo", "begun"), log=tmp_path / "log"))
    argv[argv.index("--parent") + 1] = "1"
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
    assert "the starting process is gone" in ended.stderr


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    spec = Spec(name="none", argv=("/no/such/program",), log=tmp_path / "log")
    assert "cannot run /no/such/program" in output(spec)
