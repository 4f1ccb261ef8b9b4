"""What becomes of a claim, however its work ends: the same for cycles and for reruns.

Every write is behind the claim's fence. Whatever kills the worker leaves a heartbeat that goes
stale, and the next worker goes on from the last resume state.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from store.engine import Session
from store.errors import Away, FenceLost
from worker.context import Context
from worker.errors import Interrupted, is_of_the_machine
from worker.heartbeat import Heartbeat

_MAX_TRACEBACK = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """A claim, and what can be done with it.

    Attributes:
        kind: "cycle" or "rerun", for the log.
        key: The row's id.
        beat: Renews the claim; False when it was handed to another.
        hand_back: Gives it up on purpose.
        record_exception: Notes what the work raised, and frees the row to be tried again.
    """

    kind: str
    key: str
    beat: Callable[[Session], bool]
    hand_back: Callable[[Session], None]
    record_exception: Callable[[Session, str], None]


def attend(context: Context, hold: Hold, work: Callable[[Heartbeat], None]) -> bool:
    """Do the work under a heartbeat.

    Returns:
        Whether the worker is ready for the next: False after a fault, which a sweep tries again.
    """
    told = {hold.kind: hold.key}
    heartbeat = Heartbeat(context, beat=hold.beat, hand_back=hold.hand_back)
    try:
        with heartbeat:
            work(heartbeat)
    except FenceLost as lost:
        log.warning("nothing more to write: %s", lost, extra=told)
    except Interrupted:
        heartbeat.hand_back()
        log.info("%s handed back", hold.kind, extra=told)
    except Away as away:
        log.warning("left to be resumed: %s", away, extra=told)
        return False
    except Exception as error:
        log.exception("the %s raised", hold.kind, extra=told)
        if is_of_the_machine(error):
            heartbeat.hand_back()
        else:
            _record(context, hold, error)
        return False
    return True


def _record(context: Context, hold: Hold, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    try:
        context.transact(lambda session: hold.record_exception(session, text))
    except (FenceLost, Away) as lost:
        log.warning("the exception could not be recorded: %s", lost)
