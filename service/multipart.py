"""The one file of a multipart form, piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import Invalid

_MAX_PARTS = 100
_MAX_HEADER_BYTES = 8 << 10  # of one part, which are in memory


class FileOfForm:
    """Feeds on a multipart body and gives back the bytes of its one file.

    Args:
        content_type: The request's, with its boundary.
        on_file: Told the file's content type and name before its first byte.
    """

    def __init__(self, content_type: str, on_file: Callable[[str, str], None]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Invalid("the multipart Content-Type has no boundary")
        self._on_file = on_file
        self._headers: dict[str, str] = {}
        self._field = self._value = b""
        self._parts = self._files = self._header_bytes = 0
        self._in_file = self._ended = False
        self._out: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise Invalid(f"the multipart body cannot be read: {error}") from error

    def feed(self, data: bytes) -> bytes:
        """The file's bytes among these."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Invalid(f"the multipart body cannot be read: {error}") from error
        found, self._out = b"".join(self._out), []
        return found

    def finish(self) -> None:
        """Refuse a form that broke off or has no file."""
        if not self._ended:
            raise Invalid("the multipart body breaks off before its closing boundary")
        if not self._files:
            raise Invalid("the multipart form holds no file; send one, with its file name")

    def _part_begin(self) -> None:
        self._parts += 1
        self._headers = {}
        self._header_bytes = 0
        if self._parts > _MAX_PARTS:
            raise Invalid(f"the multipart form has more than {_MAX_PARTS} parts")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._bound(end - start)
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._bound(end - start)
        self._value += data[start:end]

    def _bound(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise Invalid(f"a part of the multipart form has {_MAX_HEADER_BYTES} bytes of headers")

    def _header_end(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        options = parse_options_header(self._headers.get("content-disposition", ""))[1]
        self._in_file = b"filename" in options
        if not self._in_file:
            return
        self._files += 1
        if self._files > 1:
            raise Invalid("the multipart form holds more than one file; send one chunk at a time")
        name = options[b"filename"].decode("utf-8", "replace")
        self._on_file(self._headers.get("content-type", ""), name)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._out.append(data[start:end])

    def _part_end(self) -> None:
        self._in_file = False

    def _end(self) -> None:
        self._ended = True
