"""Lines for whoever may be reading: a terminal, a pipe, or nobody any more."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO


def tell(line: str, to: TextIO) -> None:
    """Writes a line at once; that nobody reads it is no reason to fail.

    After a hang-up of the terminal, or with a pipe whose reader is gone, the stream is turned to
    /dev/null, so that neither later lines nor the flush at the end of the process fail.
    """
    try:
        to.write(f"{line}\n")
        to.flush()
    except OSError:
        _silence(to)
    except (ValueError, RuntimeError):  # it is closed; a signal came in the middle of a line
        return


def _silence(stream: TextIO) -> None:
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno(), inheritable=True)
        finally:
            os.close(nowhere)
