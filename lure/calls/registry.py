"""Versions, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import httpx

from lure import shapes
from lure.calls.base import Calls, of_stream
from lure.errors import LureError

NOT_FOUND = 404


class RegistryCalls(Calls):
    """What can be asked of a stream's registry."""

    def versions(self, stream: str) -> shapes.Page:
        """The stream's versions, newest first."""
        return self.pages(of_stream(stream, "versions"))

    def version(self, stream: str, version: int) -> shapes.Version:
        return cast(shapes.Version, self.http.json("GET", of_stream(stream, "versions", version)))

    def delete_weights(self, stream: str, version: int) -> None:
        """Deletes a version's weights; its record stays.

        Raises:
            LureError: 409 when a name points at it, or something that runs begins from it.
        """
        path = of_stream(stream, "versions", version, "weights")
        self.http.answer(lambda: self.http.client.build_request("DELETE", path))

    def aliases(self, stream: str) -> shapes.Page:
        """The stream's aliases, by name."""
        return self.pages(of_stream(stream, "aliases"))

    def alias(self, stream: str, alias: str = "champion") -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("GET", of_stream(stream, "aliases", alias)))

    def alias_history(self, stream: str, alias: str = "champion") -> shapes.Page:
        """The moves of an alias, newest first; each with who and why."""
        return self.pages(of_stream(stream, "aliases", alias, "history"))

    def move_alias(
        self,
        stream: str,
        version: int,
        *,
        alias: str = "champion",
        reason: str = "",
        hold: bool | None = None,
    ) -> shapes.Alias:
        """Points an alias at a version, and makes it where there is none of that name.

        Args:
            stream: the stream's name.
            version: where it is to point.
            alias: its name.
            reason: for its history.
            hold: whether automatic promotion is barred until released; None: of champion
                only, where the gate promotes.

        Raises:
            LureError: 412 when somebody else moved it at the same time.
        """
        path = of_stream(stream, "aliases", alias)
        body = {"version": version, "reason": reason} | ({} if hold is None else {"hold": hold})
        headers = self._seen(path)
        moved = self.http.json("PUT", path, headers=headers, json=body, idempotent=False)
        return cast(shapes.Alias, moved)

    def delete_alias(self, stream: str, alias: str, *, reason: str = "") -> None:
        """Deletes an alias of one's own; its history stays."""
        path = of_stream(stream, "aliases", alias)
        headers, params = {"If-Match": self.etag(path)}, {"reason": reason}

        def build() -> httpx.Request:
            return self.http.client.build_request("DELETE", path, headers=headers, params=params)

        self.http.answer(build, idempotent=False)

    def rollback(self, stream: str, *, reason: str = "") -> shapes.Alias:
        """Points the champion at the one before; holds automatic promotion until released."""
        return self._act(of_stream(stream, "aliases", "champion:rollback"), {"reason": reason})

    def release(self, stream: str) -> shapes.Alias:
        """Lets the gate move the champion again."""
        return self._act(of_stream(stream, "aliases", "champion:release"), {})

    def _seen(self, path: str) -> dict[str, str]:
        """The precondition that a write to that path needs: as it is now, or not there."""
        try:
            return {"If-Match": self.etag(path)}
        except LureError as error:
            if error.status != NOT_FOUND:
                raise
            return {"If-None-Match": "*"}

    def _act(self, path: str, body: Mapping[str, str]) -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("POST", path, json=body, idempotent=False))
