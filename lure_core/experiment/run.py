"""An experiment from its settings to its records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from lure_core.experiment import lineage, plan
from lure_core.experiment.folder import RECORDS, claim
from lure_core.experiment.plan import Run
from lure_core.experiment.pool import spread
from lure_core.experiment.progress import Listener
from lure_core.experiment.record import Journal, Record
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import source_of


def run(settings: Experiment, listeners: Sequence[Listener] = ()) -> list[Record]:
    """Do what is not done yet of an experiment; give the records of all of it.

    It may be killed at any moment: run again, it goes on where it was, and ends with the same
    records (but for the seconds).

    Args:
        settings: What to do; the records are kept in `settings.out`.
        listeners: Told of the runs to do, and then of each of their records as it comes.

    Raises:
        ConfigError: A setting cannot be followed, the folder holds another experiment, or another
            process works in it.
    """
    runs = plan.runs(settings)
    names = dict.fromkeys(run.method for run in runs)
    with claim(settings, names, source_of(settings).fingerprint()) as folder:
        journal = Journal(folder / RECORDS)
        todo = [run for run in runs if not journal.has(run)]
        for listener in listeners:
            listener.begin(todo)
        _work_off(todo, settings, journal, listeners)
        _tidy(runs, settings, folder)
    return [record for run in runs for record in journal.of(run)]


def _work_off(
    todo: Sequence[Run], settings: Experiment, journal: Journal, listeners: Sequence[Listener]
) -> None:
    folder = Path(settings.out)
    # All first chunks before any run: by then, most likely, the ones wanted next are done.
    tasks = [*map(lineage.First, _one_of_each(todo, settings)), *todo]
    work = partial(lineage.work, settings=settings, folder=folder)
    records = spread(work, tasks, jobs=settings.jobs, threads=settings.threads)
    with closing(records):
        for record in records:
            _note(record, journal, settings, folder)
            for listener in listeners:
                listener.tell(record)


def _tidy(runs: Sequence[Run], settings: Experiment, folder: Path) -> None:
    """All runs are finished; what earlier lives were killed before clearing away goes too."""
    for run in runs:
        lineage.tidy(run, settings, folder)
    for run in _one_of_each(runs, settings):
        lineage.tidy_first(run, settings, folder)


def _one_of_each(runs: Sequence[Run], settings: Experiment) -> list[Run]:
    """For each first chunk that some of the runs share, one of them."""
    found: dict[str, Run] = {}
    for run in runs:
        found.setdefault(lineage.first_name(run, settings), run)
    return list(found.values())


def _note(record: Record, journal: Journal, settings: Experiment, folder: Path) -> None:
    journal.add(record)
    if record.last:
        lineage.tidy(record.run, settings, folder)
