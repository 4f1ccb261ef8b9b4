"""What is left of an experiment when it is done: the table, its files and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lure_core.experiment import facts, plan, plots, table, verdict
from lure_core.experiment.folder import replace_with
from lure_core.experiment.record import Record, plain
from lure_core.experiment.settings import Experiment
from lure_core.experiment.summary import summarise

NO_PLOTS = "No figures: matplotlib is not installed (pip install matplotlib)."


def report(settings: Experiment, records: Sequence[Record]) -> str:
    """Write summary and figures beside the records; give the closing table, for a terminal."""
    folder = Path(settings.out)
    finished = {record.run for record in records if record.last}
    records = [record for record in records if record.run in finished]
    rows = summarise(records, plan.runs(settings))
    if not rows:
        return "No run is finished yet.\n"
    title = title_of(settings, records[0])
    said = verdict.lines(rows, margin=verdict.margin_of(settings.dataset))
    known = facts.facts(settings, records)
    markdown = table.markdown(rows, title=title, verdict=[*said, *facts.lines(known)])
    replace_with(folder / "summary.md", markdown.encode())
    content = {
        "title": title,
        "facts": known,
        "verdict": said,
        "rows": [row.to_dict() for row in rows],
        "per_chunk": facts.per_chunk(records),
    }
    summary = json.dumps(plain(content), indent=1, allow_nan=False) + "\n"
    replace_with(folder / "summary.json", summary.encode())
    if plots.available():
        drawn = plots.draw(folder, rows, records, title=title)
        last = f"In {folder}: records.jsonl, summary.md, summary.json, " + ", ".join(
            path.name for path in drawn
        )
    else:
        last = f"In {folder}: records.jsonl, summary.md, summary.json. {NO_PLOTS}"
    return f"{table.text(rows, title=title, verdict=said)}\n{last}\n"


def title_of(settings: Experiment, record: Record) -> str:
    return f"{settings.dataset}, {settings.architecture}, {record.chunks} chunks"
