"""What all calls share: the connection, paths, and pages as one."""

from __future__ import annotations

from urllib.parse import quote

from lure import shapes
from lure.http import Http

PAGE_SIZE = 500


class Calls:
    """Calls to one service.

    Args:
        http: the connection.
    """

    def __init__(self, http: Http) -> None:
        self.http = http

    def pages(self, path: str) -> shapes.Page:
        """All pages as one."""
        query: dict[str, str | int] = {"page_size": PAGE_SIZE}
        whole: shapes.Page = self.http.json("GET", path, params=query)
        while token := whole.get("next_page_token"):
            page = self.http.json("GET", path, params={**query, "page_token": token})
            whole["items"] += page["items"]
            whole["next_page_token"] = page.get("next_page_token")
        return whole

    def etag(self, path: str) -> str:
        """The ETag of what lies there now, for `If-Match`."""
        known = self.http.answer(lambda: self.http.client.build_request("GET", path))
        return str(known.headers.get("ETag", "*"))


def of_stream(name: str, *parts: str | int) -> str:
    """The path of a stream, or of what lies below it."""
    return "/".join(["/v1/streams", *(quote(str(part), safe=":") for part in (name, *parts))])
