"""Versions, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from lure import shapes
from lure.calls.base import Calls, of_stream


class RegistryCalls(Calls):
    """What can be asked of a stream's registry."""

    def versions(self, stream: str) -> shapes.Page:
        """The stream's versions, newest first."""
        return self.pages(of_stream(stream, "versions"))

    def version(self, stream: str, version: int) -> shapes.Version:
        return cast(shapes.Version, self.http.json("GET", of_stream(stream, "versions", version)))

    def alias(self, stream: str, alias: str = "champion") -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("GET", of_stream(stream, "aliases", alias)))

    def move_alias(
        self,
        stream: str,
        version: int,
        *,
        alias: str = "champion",
        reason: str = "",
    ) -> shapes.Alias:
        """Points an alias at a version; a champion moved so stays until it is released.

        Raises:
            LureError: 412 when somebody else moved it at the same time.
        """
        path = of_stream(stream, "aliases", alias)
        known = self.http.answer(lambda: self.http.client.build_request("GET", path))
        headers = {"If-Match": known.headers.get("ETag", "*")}
        body = {"version": version, "reason": reason}
        moved = self.http.json("PUT", path, headers=headers, json=body, idempotent=False)
        return cast(shapes.Alias, moved)

    def rollback(self, stream: str, *, reason: str = "") -> shapes.Alias:
        """Points the champion at the one before; holds automatic promotion until released."""
        return self._act(of_stream(stream, "aliases", "champion:rollback"), {"reason": reason})

    def release(self, stream: str) -> shapes.Alias:
        """Lets the gate move the champion again."""
        return self._act(of_stream(stream, "aliases", "champion:release"), {})

    def _act(self, path: str, body: Mapping[str, str]) -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("POST", path, json=body, idempotent=False))
