"""Which code made a version."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from lure_core import release
from lure_core.precision import libraries


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the algorithm of one file."""
    (tmp_path / "snip.py").write_text("top = 0.2\n")
    monkeypatch.setattr(release, "_SOURCES", tmp_path)
    return tmp_path


def told() -> str:
    """Asked anew, as another process would."""
    return release.release.__wrapped__()


def test_a_record_names_the_version_and_the_sources() -> None:
    assert re.fullmatch(rf"{metadata.version('lure')}\+[0-9a-f]{{12}}", libraries()["lure"])


def test_a_change_of_the_sources_is_another_release_and_undone_it_is_the_same(
    sources: Path,
) -> None:
    before = told()
    (sources / "snip.py").write_text("top = 0.3\n")
    assert told() != before
    (sources / "snip.py").write_text("top = 0.2\n")
    assert told() == before
    (sources / "snip.py").rename(sources / "other.py")
    assert told() != before


def test_a_checkout_that_is_not_installed_has_an_unknown_version(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert told().startswith("unknown+")
