"""What a stream came to: its figures, its lineage, what its versions unlearned."""

from __future__ import annotations

from typing import Any, Literal, cast

import httpx

from lure.calls.base import Calls, of_stream

Drawing = Literal["mermaid", "dot"]


class FiguresCalls(Calls):
    """What can be read of how a stream is doing; the documents are as the service gives them."""

    def metrics(self, stream: str, *, limit: int = 100) -> dict[str, Any]:
        """Accuracy after every chunk, what it cost, live accuracy, counterfactuals."""
        path = of_stream(stream, "metrics")
        return cast(dict[str, Any], self.http.json("GET", path, params={"limit": limit}))

    def lineage(self, stream: str, *, limit: int = 200) -> dict[str, Any]:
        """The newest versions as nodes and edges."""
        path = of_stream(stream, "lineage")
        return cast(dict[str, Any], self.http.json("GET", path, params={"limit": limit}))

    def drawn_lineage(self, stream: str, *, drawing: Drawing, limit: int = 200) -> str:
        """The same as text for Mermaid or Graphviz."""
        params = {"format": drawing, "limit": limit}
        return self._read(of_stream(stream, "lineage"), params).text

    def unlearning(self, stream: str, version: int) -> dict[str, Any]:
        """How much of each layer was kept, and the overlap with what was reset before."""
        path = of_stream(stream, "versions", version, "unlearning")
        return cast(dict[str, Any], self.http.json("GET", path))

    def unlearning_mask(self, stream: str, version: int) -> bytes:
        """Which weights were reset, a bit each, in the order of the report's layers."""
        return self._read(of_stream(stream, "versions", version, "unlearning", "mask")).content

    def unlearning_picture(self, stream: str, version: int) -> bytes:
        """The report as SVG."""
        return self._read(of_stream(stream, "versions", version, "unlearning.svg")).content

    def _read(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return self.http.answer(lambda: self.http.client.build_request("GET", path, params=params))
