"""A prediction's id names its pack and its place within, so that no prediction needs a row.

`prd_`, then of the pack: the second of its first prediction (8 hex digits) and 80 random bits, then
the place (3 hex digits). To users it is opaque. The second tells an id that is not known yet from
one that is not known any more.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

MAX_PLACES = 0x1000

_ID = re.compile(r"prd_([0-9a-f]{28})([0-9a-f]{3})")


@dataclass(frozen=True)
class Place:
    """Where the record of a prediction is."""

    pack_id: str
    index: int

    @property
    def prediction_id(self) -> str:
        """The id that the prediction's owner is given."""
        return f"prd_{self.pack_id.removeprefix('pck_')}{self.index:03x}"

    def age_s(self) -> float:
        """Seconds since its pack was begun, by the clock of whoever began it."""
        return time.time() - int(self.pack_id[4:12], base=16)


def new_pack_id() -> str:
    """The id of a pack that begins now."""
    return f"pck_{int(time.time()):08x}{secrets.token_hex(10)}"


def place_of(prediction_id: str) -> Place | None:
    """What the id names; None where it cannot be one of ours."""
    match = _ID.fullmatch(prediction_id)
    if match is None:
        return None
    pack, index = match.groups()
    return Place(f"pck_{pack}", int(index, base=16))
