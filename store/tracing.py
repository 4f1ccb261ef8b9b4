"""Spans for an OpenTelemetry collector; nothing at all unless `LURE_OTLP_ENDPOINT` is set.

A span is named once and ends with its block. The way from one process to the next goes through
rows (`store.traces`), as W3C traceparents.

Install it after a fork, never before: what sends the spans is a thread.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import Protocol, Self, cast

from store.settings import StoreSettings

Attribute = str | int | float | bool | None

_RECORDER = "store.otel"
_FLUSH_S = 2.0  # for the last spans to be sent when a process ends
_SAMPLED = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]")

log = logging.getLogger(__name__)


class Span(Protocol):
    """What happens now."""

    @property
    def traceparent(self) -> str | None:
        """What others need to go on from here; None where nothing is recorded."""

    def set(self, **attributes: Attribute) -> None:
        """Say more of it; names without a dot are ours, such as `stream`."""

    def rename(self, name: str) -> None:
        """Say better what it is."""

    def fail(self, words: str) -> None:
        """It did not do what it should."""


class Tracer(Protocol):
    """What records; `store.otel` is one."""

    def span(
        self,
        name: str,
        *,
        parent: str | None,
        links: Sequence[str],
        serves: bool,
        attributes: dict[str, Attribute],
    ) -> AbstractContextManager[Span]:
        """A span around a block; without a parent it begins a trace unless one is going on."""

    def current(self) -> str | None:
        """The recorded span that is going on here."""

    def record(
        self,
        name: str,
        parent: str,
        *,
        began: float,
        ended: float,
        attributes: dict[str, Attribute],
    ) -> None:
        """A span that is over, by the monotonic clock."""

    def close(self, timeout_s: float) -> None:
        """Send what is left."""


class _Nothing:
    """The span where none is recorded."""

    traceparent = None

    def set(self, **attributes: Attribute) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, words: str) -> None:
        pass


_NOTHING = _Nothing()
_NO_SPAN = nullcontext(cast(Span, _NOTHING))
_tracer: Tracer | None = None


def prepare(settings: StoreSettings) -> None:
    """Load what recording needs, if the settings ask for it: before a fork, for all children."""
    if settings.otlp_endpoint is not None:
        with suppress(ImportError):
            importlib.import_module(_RECORDER)


def install(settings: StoreSettings, service: str) -> None:
    """Begin to record, if the settings ask for it, under that service's name."""
    global _tracer  # one for each process, like the loggers
    if settings.otlp_endpoint is None or _tracer is not None:
        return
    try:
        # only here: most operators have no collector, and its packages take their time to load
        otel = importlib.import_module(_RECORDER)
    except ImportError as error:
        log.warning(
            "LURE_OTLP_ENDPOINT is set, but no spans are recorded, since OpenTelemetry is not"
            " installed: pip install 'lure[tracing]' (%s)",
            error,
        )
        return
    _tracer = cast(Tracer, otel.Otel(settings.otlp_endpoint, service))


def close(timeout_s: float = _FLUSH_S) -> None:
    """Send what is left, for that long at most, and record nothing more."""
    global _tracer
    if _tracer is not None:
        tracer, _tracer = _tracer, None
        tracer.close(timeout_s)


def is_on() -> bool:
    """Whether spans are recorded in this process."""
    return _tracer is not None


def is_sampled(traceparent: str) -> bool:
    """Whether whoever sent it records this trace."""
    return _SAMPLED.fullmatch(traceparent) is not None


def span(
    name: str, *, parent: str | None = None, **attributes: Attribute
) -> AbstractContextManager[Span]:
    """A span around a block, within `parent` or the one that is going on; else none."""
    if _tracer is None or (parent is None and _tracer.current() is None):
        return _NO_SPAN
    return _tracer.span(name, parent=parent, links=(), serves=False, attributes=attributes)


def trace(
    name: str,
    *,
    parent: str | None = None,
    links: Sequence[str] = (),
    serves: bool = False,
    **attributes: Attribute,
) -> AbstractContextManager[Span]:
    """The same where a trace enters this process: it begins one where there is none.

    Other traces that lead here are linked; it is of the kind `server` if somebody waits for it.
    """
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, parent=parent, links=links, serves=serves, attributes=attributes)


def current() -> str | None:
    """The recorded span that is going on here, for what happens to it in other threads."""
    return None if _tracer is None else _tracer.current()


def record(name: str, parent: str, *, began: float, ended: float, **attributes: Attribute) -> None:
    """A span that is over, by the monotonic clock."""
    if _tracer is not None:
        _tracer.record(name, parent, began=began, ended=ended, attributes=attributes)


class Steps:
    """One span after the other within the one that is going on: each begins as the last ends."""

    def __init__(self) -> None:
        self._open: AbstractContextManager[Span] | None = None
        self._span: Span = _NOTHING

    @property
    def traceparent(self) -> str | None:
        """The step that is going on."""
        return self._span.traceparent

    def next(self, name: str, **attributes: Attribute) -> None:
        """End the step before, and begin this one."""
        self._end(None)
        self._open = span(name, parent=None, **attributes)
        self._span = self._open.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(fault)

    def _end(self, fault: BaseException | None) -> None:
        if self._open is None:
            return
        if fault is not None:
            self._span.fail(type(fault).__name__)
        opened, self._open, self._span = self._open, None, _NOTHING
        opened.__exit__(None, None, None)
