"""`lure adopt`, `gc` and `fsck` say to `python -m store.admin` what was said to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lure.cli import app
from lure.commands import storage


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (["adopt"], ["adopt"]),
        (["gc"], ["gc"]),
        (["gc", "--dry-run", "--json"], ["gc", "--dry-run", "--json"]),
        (["fsck"], ["fsck"]),
        (["fsck", "--quick", "--repair", "--json"], ["fsck", "--quick", "--repair", "--json"]),
        (["fsck", "--from", "/a/backup"], ["fsck", "--from", "/a/backup"]),
    ],
)
def test_the_words_are_passed_on(
    said: list[str], meant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[tuple[tuple[str, ...], Path | None]] = []
    monkeypatch.setattr(storage, "admin", lambda *words, data: passed.append((words, data)))
    assert CliRunner().invoke(app, said).exit_code == 0
    assert CliRunner().invoke(app, [*said, "--data", "stack"]).exit_code == 0
    assert passed == [(tuple(meant), None), (tuple(meant), Path("stack"))]


def test_json_without_a_dry_run_is_refused() -> None:
    refused = CliRunner().invoke(app, ["gc", "--json"])
    assert refused.exit_code == 2
    assert "--dry-run" in refused.stderr
