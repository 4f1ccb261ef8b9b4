"""A bar chart as SVG: readable in a page, in a tab of its own, in light and in dark.

The tree is built by `xml.etree`, which escapes; what XML cannot hold at all is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

MEDIA_TYPE = "image/svg+xml"

_WIDTH, _ROW, _TOP, _BOTTOM = 760, 18, 74, 14
_BAR_X, _BAR_WIDTH, _BAR_HEIGHT = 330, 350, 11
_LONGEST = 44  # characters of a name beside its bar
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
    .paper { fill: #ffffff } .track { fill: #e6e9ee } .bar { fill: #2f6fb3 }
    .line { stroke: #c3c9d2 } text { fill: #1c2430; font: 12px system-ui, sans-serif }
    .title { font-size: 16px; font-weight: 600 } .quiet { fill: #5a6472 }
    .name { font: 11px ui-monospace, monospace }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #14181f } .track { fill: #2a313c } .bar { fill: #6fa8dc }
      .line { stroke: #485261 } text { fill: #e8ecf2 } .quiet { fill: #a2adbb }
    }
"""


@dataclass(frozen=True)
class Bar:
    """A name and its share, 0…1."""

    name: str
    share: float


def bars(title: str, subtitle: str, rows: Sequence[Bar]) -> bytes:
    """One bar under the other, from 0 to 100 %, as a document of its own."""
    height = _TOP + _ROW * len(rows) + _BOTTOM
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "width": str(_WIDTH),
            "height": str(height),
            "role": "img",
        },
    )
    _add(svg, "title", text=f"{title}. {subtitle}")
    _add(svg, "style", text=_STYLE)
    _add(svg, "rect", {"class": "paper", "width": "100%", "height": "100%"})
    _words(svg, 16, 26, title, "title")
    _words(svg, 16, 46, subtitle, "quiet")
    if rows:
        _scale(svg, height)
    for place, row in enumerate(rows):
        _bar(svg, row, _TOP + place * _ROW)
    return bytes(tostring(svg, encoding="utf-8", xml_declaration=True))


def _scale(svg: Element, height: int) -> None:
    for percent in (0, 50, 100):
        x = _BAR_X + _BAR_WIDTH * percent / 100
        _words(svg, x, _TOP - 10, f"{percent} %", "quiet", anchor="middle")
        ends = {"x1": f"{x:g}", "x2": f"{x:g}", "y1": str(_TOP - 5), "y2": str(height - _BOTTOM)}
        _add(svg, "line", {"class": "line", **ends})


def _bar(svg: Element, row: Bar, top: int) -> None:
    group = _add(svg, "g")
    _add(group, "title", text=f"{row.name}: {row.share:.2%}")
    base = top + _BAR_HEIGHT - 1
    _words(group, _BAR_X - 10, base, _shortened(row.name), "name", anchor="end")
    share = min(max(row.share, 0.0), 1.0)
    for kind, width in (("track", _BAR_WIDTH), ("bar", _BAR_WIDTH * share)):
        size = {"width": f"{width:.1f}", "height": str(_BAR_HEIGHT), "rx": "2"}
        _add(group, "rect", {"class": kind, "x": str(_BAR_X), "y": str(top), **size})
    _words(group, _BAR_X + _BAR_WIDTH + 10, base, f"{row.share:.1%}", "quiet")


def _words(
    parent: Element, x: float, y: float, text: str, kind: str, *, anchor: str = "start"
) -> None:
    place = {"class": kind, "x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    _add(parent, "text", place, text)


def _add(
    parent: Element, tag: str, attributes: dict[str, str] | None = None, text: str | None = None
) -> Element:
    element = SubElement(parent, tag, attributes or {})
    element.text = None if text is None else _NO_XML.sub("\ufffd", text)
    return element


def _shortened(name: str) -> str:
    """A long name without its middle: layers differ at both ends."""
    half = (_LONGEST - 1) // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half:]}"
