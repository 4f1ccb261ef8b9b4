"""Python's garbage collections, which hold everybody up while they last."""

from __future__ import annotations

import atexit
import gc
from functools import cache


@cache
def spare_what_stays() -> None:
    """Leave out of them whatever there is when this is first called: it lives as long as we do.

    Modules of torch, routes and models are some hundred thousand objects; to look through them
    takes up to a quarter of a second, in which nobody is answered. When Python ends they are let
    go again: libraries that count what is left would call it a leak.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)
