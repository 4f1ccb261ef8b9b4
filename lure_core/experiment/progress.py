"""How far an experiment is, and how long it will take: a bar on a terminal, or a line a run."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

from lure_core.experiment.plan import Run
from lure_core.experiment.record import Record


class Listener(Protocol):
    """Hears of an experiment as it goes."""

    def begin(self, todo: Sequence[Run]) -> None:
        """These runs are not finished yet, and now worked on."""
        ...

    def tell(self, record: Record) -> None:
        """A chunk of one of them is learned; those of an earlier life are told of again."""
        ...


class Meter:
    """How much of the work is done, and from its pace how many seconds are left.

    The work of a run grows with its budget, and with full replay that of a chunk with its number.
    """

    def __init__(self, todo: Sequence[Run], *, now: float) -> None:
        self._left = {run: float(Fraction(run.budget)) for run in todo}
        self._whole = sum(self._left.values())
        self._at, self._began = 0.0, now
        self.runs, self.finished = len(todo), 0

    def add(self, record: Record) -> None:
        t, last = record.chunk, record.chunks
        whole = float(Fraction(record.budget))
        left = whole * (1 - t * (t + 1) / (last * (last + 1)))
        self._at += max(0.0, self._left.get(record.run, left) - left)
        self._left[record.run] = left
        self.finished += record.last

    @property
    def share(self) -> float:
        return self._at / self._whole if self._whole else 1.0

    def seconds_left(self, now: float) -> float | None:
        """None as long as nothing is done."""
        if not self._at:
            return None
        return (now - self._began) * (1 - self.share) / self.share


class Lines:
    """A line for every finished run."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._meter = Meter([], now=0)

    def begin(self, todo: Sequence[Run]) -> None:
        self._meter = Meter(todo, now=time.monotonic())
        if todo:
            self._write(f"{len(todo)} run{'s' if len(todo) > 1 else ''} to do")

    def tell(self, record: Record) -> None:
        self._meter.add(record)
        if record.last:
            left = told_seconds(self._meter.seconds_left(time.monotonic()))
            done = f"[{self._meter.finished}/{self._meter.runs}]"
            self._write(f"{done} {told(record)}; {left} left")

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class Bar:
    """One bar for everything, by rich."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._meter = Meter([], now=0)
        self._task: Any = None

    def begin(self, todo: Sequence[Run]) -> None:
        self._meter = Meter(todo, now=time.monotonic())
        if todo:
            self._task = self._bar.add_task("", total=1.0, left="", runs=f"0/{len(todo)}")

    def tell(self, record: Record) -> None:
        self._meter.add(record)
        left = told_seconds(self._meter.seconds_left(time.monotonic()))
        self._bar.update(
            self._task,
            completed=self._meter.share,
            description=told(record),
            runs=f"{self._meter.finished}/{self._meter.runs}",
            left=f"{left} left",
        )


@contextmanager
def shown(out: TextIO) -> Iterator[Listener]:
    """What fits the stream: a bar on a terminal where rich is installed, or else lines."""
    if not out.isatty() or find_spec("rich") is None:
        yield Lines(out)
        return
    rich = importlib.import_module("rich.progress")
    columns = (
        rich.BarColumn(),
        "{task.percentage:>3.0f} %",
        "{task.fields[runs]} runs",
        "{task.fields[left]}",
        "{task.description}",
    )
    console = importlib.import_module("rich.console").Console(file=out)
    with rich.Progress(*columns, console=console) as bar:
        yield Bar(bar)


def told(record: Record) -> str:
    """Where a run is, in a few words."""
    noise = f", {100 * record.noise:g} % wrong labels" if record.noise else ""
    budget = "" if record.budget == "1" else f" at {record.budget}"
    at = "" if record.last else f", chunk {record.chunk} of {record.chunks}"
    return f"{record.method}{budget}, seed {record.seed}{noise}{at}: {100 * record.accuracy:.2f} %"


def told_seconds(seconds: float | None) -> str:
    """In the two largest units."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
