"""What is said where a data set is not to be found."""

from __future__ import annotations

from pathlib import Path

from lure_core.errors import ConfigError


def folder_of(root: str | None, *, dataset: str, holds: str, source: str) -> Path:
    """The data set's folder.

    Args:
        root: As it was given.
        dataset: Its name.
        holds: What is expected in the folder.
        source: Where the data set comes from.

    Raises:
        ConfigError: None was given, or there is none.
    """
    if root is None:
        raise ConfigError(
            f"experiment.data is needed for {dataset}: a folder that holds {holds}. {source}"
        )
    path = Path(root).expanduser()
    if not path.is_dir():
        raise missing(path, dataset=dataset, holds=holds, source=source)
    return path


def missing(path: Path, *, dataset: str, holds: str, source: str) -> ConfigError:
    """The error that says what was expected where."""
    what = "has no" if path.is_dir() else "is no folder; it should have"
    return ConfigError(f"experiment.data: {path} {what} {dataset}: {holds}. {source}")
