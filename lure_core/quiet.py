"""Keeps Pillow's warnings about odd files quiet, also while several threads decode at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_shared = ExitStack()
_users = 0


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Ignore warnings raised in Pillow's modules; nothing else is touched.

    `warnings.catch_warnings` swaps a list of the whole process, so threads that enter and leave it
    in another order would restore the wrong one. Here the first to enter sets it and the last to
    leave restores it, and those between decode in parallel.
    """
    global _users
    with _lock:
        if _users == 0:
            _shared.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _shared.close()
