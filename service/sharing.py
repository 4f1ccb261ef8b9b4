"""How several processes behind one socket show their counts as one.

`service.processes` gives each a place, whose number stays when a new process takes it over, and one
folder for all. There prometheus_client keeps a file for each place (its multiprocess mode, which it
chooses by the environment when it is imported), and whoever is asked for `/metrics` adds them up.
A single process shares nothing and has no such folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import prometheus_client.values
from prometheus_client.values import MultiProcessValue

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PLACE = "LURE_PLACE"


@dataclass(frozen=True)
class Shared:
    """The folder of all processes, and this one's place among them."""

    folder: Path
    place: str


def shared() -> Shared | None:
    """What this process shares with others, if there are others."""
    folder, place = os.environ.get(FOLDER), os.environ.get(PLACE)
    return Shared(Path(folder), place) if folder and place else None


def install() -> None:
    """Count for the place instead of the process: a count goes on where a dead one's stopped.

    To be called before the first metric is made.
    """
    if (found := shared()) is not None:
        prometheus_client.values.ValueClass = MultiProcessValue(  # type: ignore[no-untyped-call]
            lambda: found.place
        )
