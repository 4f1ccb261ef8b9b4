"""Whether a champion that was moved by hand stays where it was put."""

from __future__ import annotations

from lure_core.policies import Gate, policy
from service.errors import Fault, Invalid
from store import aliases
from store.models import Stream


def wanted(stream: Stream, alias: str, said: bool | None) -> bool:
    """What was said of it; if nothing was, `champion` stays where cycles would move it again.

    Raises:
        Invalid: Another alias is to be held, which cycles do not move.
    """
    if said and alias != aliases.CHAMPION:
        words = f"only {aliases.CHAMPION} is held: cycles move it, and not {alias}"
        raise Invalid(f"/hold: {words}", [Fault("/hold", words)])
    if said is not None:
        return said
    return alias == aliases.CHAMPION and policy(Gate, stream.policies).mode == "auto"
