"""Whether a champion that was moved by hand stays where it was put."""

from __future__ import annotations

from lure_core.policies import Gate, policy
from store import aliases
from store.models import Stream


def wanted(stream: Stream, alias: str, said: bool | None) -> bool:
    """What was said of it; if nothing was, `champion` stays where cycles would move it again."""
    if said is not None:
        return said
    return alias == aliases.CHAMPION and policy(Gate, stream.policies).mode == "auto"
