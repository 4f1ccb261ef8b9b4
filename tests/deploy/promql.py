"""Which series PromQL expressions name, and by which labels: a tokenizer, for the tests alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>\d[\w.]*)
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},@])
      | (?P<space>\s+)""",
    re.VERBOSE,
)
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _LISTS | {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass
class Named:
    """What an expression names.

    Attributes:
        series: Each with the labels that its matchers ask for; one named twice has both's.
        lists: The labels of `by`, `on` and their like.
        kept: Those of `by` alone: what the result still has.
    """

    series: dict[str, set[str]] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)


def named(expression: str) -> Named:
    """The series and labels of an expression; ValueError where it cannot be read."""
    found = Named()
    tokens = list(_tokens(expression))
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _LISTS and following == "(":
            end = _close(tokens, at + 1, ")")
            listed = {word for what, word in tokens[at + 2 : end] if what == "name"}
            found.lists |= listed
            found.kept |= listed if text == "by" else set()
            at = end
        elif kind == "name" and text == "offset":
            at += 1
        elif kind == "name" and text not in _WORDS and following not in ("(", "by", "without"):
            labels = found.series.setdefault(text, set())
            if following == "{":
                end = _close(tokens, at + 1, "}")
                inside = tokens[at + 2 : end]
                labels |= {word for what, word in inside if what == "name"}
                at = end
        at += 1
    return found


def _close(tokens: list[tuple[str, str]], start: int, sign: str) -> int:
    return next(at for at in range(start, len(tokens)) if tokens[at] == ("sign", sign))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"cannot be read from here: {expression[at : at + 40]!r}")
        at = match.end()
        if match.lastgroup not in ("space", "comment", "range"):
            yield str(match.lastgroup), match.group()
