"""`python -m lure_core.experiment`: read the words, run, show the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lure_core.errors import CoreError
from lure_core.experiment import options
from lure_core.experiment.perform import perform


def main(arguments: Sequence[str]) -> int:
    """Do what the words say.

    Returns:
        0 where it ended well, 2 where something asked for cannot be done, 130 where it was stopped.
    """
    try:
        settings, notes = options.parse(arguments)
        for note in notes:
            sys.stderr.write(f"note: {note}\n")
        sys.stdout.write(perform(settings))
    except (CoreError, OSError) as fault:
        sys.stderr.write(f"lure_core.experiment: {fault}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
