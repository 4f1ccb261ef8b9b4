"""Which stream a wake-up is for: the one that has waited longest, whichever the message names.

A stream with a hundred chunks has sent a hundred wake-ups, and one after each of its cycles. Were
each followed to its own stream, a stream that comes later would wait for all of them.
"""

from __future__ import annotations

from store import cycles
from worker.context import Context
from worker.pipeline import process_next

_AT_MOST = 200  # streams that are asked for something to do


def take_turn(context: Context, stream_id: int) -> cycles.Claim | None:
    """Do the next cycle of the stream that has waited longest.

    Args:
        context: The store and the clocks.
        stream_id: Of the message: asked last, in case that it is not known to wait.

    Returns:
        The claim under which something was done, or None.
    """
    with context.database.begin() as session:
        waiting = cycles.unattended(session, stale_s=context.settings.stale_s)
    for one in dict.fromkeys([*waiting[:_AT_MOST], stream_id]):
        if (claim := process_next(context, one)) is not None:
            return claim
    return None
