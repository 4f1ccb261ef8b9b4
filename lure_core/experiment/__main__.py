"""`python -m lure_core.experiment`: read the words, run, show the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lure_core import models, precision
from lure_core.errors import CoreError
from lure_core.experiment import options
from lure_core.experiment.folder import RECORDS
from lure_core.experiment.perform import perform
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import open_stream


def main(arguments: Sequence[str]) -> int:
    """Do what the words say.

    Returns:
        0 where it ended well, 2 where something asked for cannot be done, 130 where it was stopped.
    """
    try:
        settings, notes = options.parse(arguments)
        for note in notes:
            sys.stderr.write(f"note: {note}\n")
        _look(settings)
        sys.stdout.write(perform(settings))
    except (CoreError, OSError) as fault:
        sys.stderr.write(f"lure_core.experiment: {fault}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 130
    return 0


def _look(settings: Experiment) -> None:
    """Before a folder is claimed for data, an architecture or a device that are not there."""
    if not (Path(settings.out) / RECORDS).exists():
        precision.device_of(settings.device)
        models.require(settings.architecture)  # a wrong name is told before images are read
        stream = open_stream(settings, seed=settings.seeds[0], noise=settings.label_noise[0])
        models.require(settings.architecture, input=stream.input)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
