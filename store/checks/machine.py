"""This machine and this process: releases, user, disks, limits."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from store.checks.finding import Finding, failure, ok, warning

_PYTHON = (3, 11)
_GIB = 1 << 30
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (looked at, not written to)
_FEW_FILES, _TOO_FEW_FILES = 4096, 1024


def releases() -> list[Finding]:
    """Python and LURE."""
    version = platform.python_version()
    python = ok("python", f"{version}, {sys.executable}")
    if sys.version_info < _PYTHON:
        python = failure("python", version, "install Python 3.11 or newer")
    try:
        lure = ok("lure", metadata.version("lure"))
    except metadata.PackageNotFoundError:
        lure = warning("lure", "not installed, run from a checkout", "pip install -e .")
    return [python, lure]


def user() -> list[Finding]:
    """Who this is."""
    if os.geteuid() == 0:
        remedy = "run the processes as a user of their own; the image does"
        return [warning("user", "root: a mistake or a break-in can do everything", remedy)]
    return [ok("user", f"uid {os.geteuid()}, which is not root")]


def open_files() -> list[Finding]:
    """How many files and connections one process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FEW_FILES:
        return [ok("open files", f"at most {soft} a process")]
    found = f"at most {soft} a process; each client's connection takes one"
    remedy = "ulimit -n 65536, LimitNOFILE=65536 of systemd, or `ulimits` in Compose"
    make = failure if soft < _TOO_FEW_FILES else warning
    return [make("open files", found, remedy)]


def temporary_space() -> list[Finding]:
    """Room for temporary files and for shared memory."""
    temporary = Path(tempfile.gettempdir())  # exports, and what the processes share
    found = [space("disk, temporary", temporary, few=_GIB // 2, least=_GIB // 16)]
    if _SHARED_MEMORY.is_dir():
        few, least = _GIB // 32, _GIB // 1024
        found.append(space("shared memory", _SHARED_MEMORY, few=few, least=least))
    return found


def space(name: str, folder: Path, *, few: int, least: int) -> Finding:
    """Free bytes in a folder: below `few` a warning, below `least` a failure."""
    free = shutil.disk_usage(folder).free
    found = f"{_told(free)} free in {folder}"
    if free >= few:
        return ok(name, found)
    make = failure if free < least else warning
    return make(name, found, f"make room, or a larger disk: {_told(few)} at least")


def _told(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB // 2 else f"{size / (1 << 20):.0f} MiB"
