"""An experiment as its user meets it: progress while it runs, the table when it is done."""

from __future__ import annotations

import sys

from lure_core.experiment import progress, trackers
from lure_core.experiment.notices import say_once
from lure_core.experiment.report import report
from lure_core.experiment.run import run
from lure_core.experiment.settings import Experiment


def perform(settings: Experiment) -> str:
    """Run it, telling of the progress on stderr; give the closing table.

    Raises:
        ConfigError: A setting cannot be followed, or `settings.out` holds another experiment.
    """
    say_once()
    with trackers.opened(settings) as listeners, progress.shown(sys.stderr) as shown:
        records = run(settings, [shown, *listeners])
    return report(settings, records)
