"""Logs: events with fields, JSON for machines or plain lines for people.

What a line tells, and by which names, is listed in docs/observability.md.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType

import structlog

from store.redact import Redactor
from store.settings import StoreSettings

# they tell each address that is called, and a webhook's is often a secret itself
_DISCREET = ("httpx", "httpcore", "urllib3")
_LONGEST = 16_384  # characters of one value; a traceback through torch has a few thousand

log = logging.getLogger(__name__)


def configure_logging(settings: StoreSettings, process: str = "worker") -> None:
    """Send structlog's and the standard library's records the same way, to standard error.

    Args:
        settings: Their form and their least level.
        process: What this process is: `api`, `admit`, `learn`, `beat`, `admin`, ….
    """
    shared = _fields(process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_writers(settings),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _DISCREET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        # what is not shown is not prepared: every request has a line for debugging
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _fields(process: str) -> list[structlog.typing.Processor]:
    """What every line tells, whoever wrote it."""

    def add_process(
        _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event.setdefault("process", process)
        event.setdefault("pid", os.getpid())
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]


def _writers(settings: StoreSettings) -> list[structlog.typing.Processor]:
    """From fields to a line without secrets."""
    redact = Redactor.of(settings)

    def without_secrets(
        _logger: structlog.typing.WrappedLogger, _method: str, line: structlog.typing.EventDict
    ) -> str:
        return redact(str(line))  # the renderer before has made a text of it

    if settings.log_json:
        return [
            structlog.processors.format_exc_info,
            _bounded,
            structlog.processors.JSONRenderer(),
            without_secrets,
        ]
    # plain: rich's tracebacks take seconds where torch is among the frames
    renderer = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [_bounded, renderer, without_secrets]


def _bounded(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """No bytes, such as an image's, and no endless texts; nor uvicorn's text in colours."""
    event.pop("color_message", None)
    for name, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"<{len(value)} bytes>"
        elif isinstance(value, str) and len(value) > _LONGEST:
            event[name] = f"{value[: _LONGEST // 2]} … {value[-_LONGEST // 2 :]}"
    return event


def _uncaught(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, trace)
        return
    log.critical("the process ends with an exception", exc_info=(kind, fault, trace))


def _uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is None or issubclass(told.exc_type, SystemExit):
        return
    name = told.thread.name if told.thread else ""
    log.error(
        "a thread ended with an exception",
        exc_info=(told.exc_type, told.exc_value, told.exc_traceback),
        extra={"thread_name": name},
    )
