"""An experiment as its user meets it: progress while it runs, the table when it is done."""

from __future__ import annotations

import io
import sys

from lure_core.experiment import progress, ranks, trackers
from lure_core.experiment.notices import say_once
from lure_core.experiment.report import report
from lure_core.experiment.run import run
from lure_core.experiment.settings import Experiment


def perform(settings: Experiment) -> str:
    """Run it, telling of the progress on stderr; give the closing table.

    Of several processes that `torchrun` started, only the first tells and gives anything.

    Raises:
        ConfigError: A setting cannot be followed, or `settings.out` holds another experiment.
    """
    say_once()
    with ranks.joined(settings) as part:
        out = sys.stderr if part.leads else io.StringIO()
        with trackers.opened(part.settings) as listeners, progress.shown(out) as shown:
            records = run(part.settings, [shown, *listeners])
        return report(part.settings, records) if part.leads else ""
