"""Waiting for a PostgreSQL or an object store that is away: that costs no work, and is no fault."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from time import sleep as rest
from typing import TypeVar

from store.errors import Away

_REST_S = 0.25

T = TypeVar("T")

log = logging.getLogger(__name__)


def patiently(
    work: Callable[[], T], *, patience_s: float, stopping: Callable[[], bool] = lambda: False
) -> T:
    """Do `work`, again and again while the database or the object store is away.

    A commit whose answer was lost may have happened, so `work` must bear to be done twice: it
    writes behind a fence, which a commit that ended the claim has closed.

    Raises:
        Away: It stayed away for `patience_s`, or the worker is told to stop.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            return work()
        except Away as error:
            if stopping() or monotonic() > deadline:
                raise
            log.warning("waiting: %s", error)
            rest(_REST_S)
