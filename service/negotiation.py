"""Which of several kinds of answer a client would rather have (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that `Accept` weighs most; among equals, and for none, the first."""
    ranges = [_range(part) for part in (accept or "*/*").lower().split(",")]
    return max(offered, key=lambda kind: _weight(kind, ranges))


def _range(text: str) -> tuple[str, float]:
    """`text/*;q=0.5` as `("text/*", 0.5)`; a weight that is no number counts as 0."""
    name, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            digits = parameter[2:].replace(".", "", 1)
            return name, float(parameter[2:]) if digits.isdecimal() else 0.0
    return name, 1.0


def _weight(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the range that fits most closely."""
    weights = dict(reversed(ranges))
    family = kind.partition("/")[0]
    closest = (name for name in (kind, f"{family}/*", "*/*") if name in weights)
    return weights.get(next(closest, ""), 0.0)
