"""Streams are apart: a fault of one holds up no other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from store.errors import Away
from store.models import Stream

log = logging.getLogger(__name__)


@contextmanager
def apart(stream: Stream, fault: str) -> Iterator[None]:
    """What is raised within is logged as that fault of the stream, and goes no further.

    Raises:
        Away: That is no fault of the stream's.
    """
    try:
        yield
    except Away:
        raise
    except Exception:
        log.exception(fault, extra={"stream": stream.name})
