"""Cycles of versions, run once more."""

from __future__ import annotations

import uuid
from typing import cast

from lure import shapes
from lure.calls.base import Calls, of_stream

WAIT_S = 30  # in one request; a proxy may end one that takes longer
OVER = frozenset({"succeeded", "failed", "cancelled"})


class RerunCalls(Calls):
    """What can be asked of a version's making."""

    def reproduce(self, stream: str, version: int, *, method: str = "reproduce") -> shapes.Rerun:
        """Asks that a version's cycle is run once more; it waits its turn, see `wait_for_rerun`.

        Args:
            stream: the stream's name.
            version: the version.
            method: "reproduce" as it was; or the strategy to take in the place of its own.

        Raises:
            LureError: 409 where what it was made from is not there any more.
        """
        path = of_stream(stream, "versions", f"{version}:reproduce")
        key = {"Idempotency-Key": str(uuid.uuid4())}
        asked = self.http.json("POST", path, json={"method": method}, headers=key)
        return cast(shapes.Rerun, asked)

    def reruns(self, stream: str) -> shapes.Page:
        """The stream's reruns, newest first."""
        return self.pages(of_stream(stream, "reruns"))

    def rerun(self, stream: str, rerun: str, *, wait_s: int = 0) -> shapes.Rerun:
        """One rerun; as it is when it is over, or else after `wait_s` seconds, at most 60."""
        path = of_stream(stream, "reruns", rerun)
        found = self.http.json("GET", path, headers={"Prefer": f"wait={wait_s}"})
        return cast(shapes.Rerun, found)

    def wait_for_rerun(self, stream: str, rerun: str) -> shapes.Rerun:
        """Waits until a rerun has succeeded or failed, however long others keep it waiting."""
        while (found := self.rerun(stream, rerun, wait_s=WAIT_S))["state"] not in OVER:
            pass
        return found
