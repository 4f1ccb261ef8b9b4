"""Settings out of files, one a setting: how passwords reach a container without being seen.

A folder holds `lure_database_url`, `lure_redis_url`, …: files named like the variables, in lower
case. `LURE_SECRETS_DIR` names it. A variable of the same name comes before its file.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "lure_"
FOLDER = "secrets_dir"  # the setting that names the folder


class SecretFiles(PydanticBaseSettingsSource):
    """What the files of the folder say, wherever a folder is named and can be read.

    What is wrong with it is told by `checked`, among the other faults of the settings.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """A file's text without the white space around it, or None; see the base class."""
        folder = self.current_state.get(FOLDER)
        if not folder:
            return None, field_name, False
        try:
            text = (Path(folder) / f"{PREFIX}{field_name}").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None, field_name, False
        return text, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The settings that have a file, by name."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: text for name, text in found.items() if text is not None}


def checked(folder: Path) -> Path:
    """The folder itself, if it can be read with all that is in it.

    Raises:
        ValueError: It is not there or no folder, or one of its files cannot be read.
    """
    try:
        names = sorted(path for path in folder.iterdir() if path.name.startswith(PREFIX))
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be read: {error.strerror}") from error
    for path in names:
        try:
            path.read_text("utf-8")
        except OSError as error:
            raise ValueError(f"the file {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"the file {path} cannot be read: it is no UTF-8 text") from error
    return folder


def keep(path: Path, make: Callable[[], str], *, mode: int) -> str:
    """The line in a file; where there is no file yet, `make` says what is written into it.

    It is written whole or not at all, and never over another one, whoever else does so at once.

    Args:
        path: The file; its folder must be there.
        make: Called only if there is no file.
        mode: The new file's permissions.

    Raises:
        ValueError: There is a file, and nothing in it.
        OSError: It cannot be read or written.
    """
    if not path.exists():
        _link(path, make(), mode)
    line = path.read_text("utf-8").strip()
    if not line:
        raise ValueError(f"{path} is empty; delete it and it is made anew")
    return line


def _link(path: Path, line: str, mode: int) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        path.hardlink_to(new)
    except FileExistsError:
        pass  # another one was quicker: theirs counts
    finally:
        new.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
