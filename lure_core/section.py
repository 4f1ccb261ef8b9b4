"""A group of settings that checks itself: its types as hinted, its ranges as it says.

Built from plain JSON by `from_dict`, which refuses unknown keys; given back by `to_dict`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from lure_core.errors import ConfigError

_resolved: Callable[[Any], dict[str, Any]] = cache(get_type_hints)
"""Kept: an experiment builds sections by the thousand, and resolving takes a millisecond."""


class Section:
    """A group of settings; subclasses are frozen dataclasses."""

    section: ClassVar[str]

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            if not _fits(getattr(self, name), hint):
                near = _near(getattr(self, name), hint)
                self._refuse(name, f"must be {_words(hint)}", near)
        self._validate()

    def _validate(self) -> None:
        """Ranges; the types hold already."""

    def _refuse(self, name: str, what: str, hint: str = "") -> None:
        raise ConfigError(f"{self.section}.{name} {what}, not {getattr(self, name)!r}{hint}")

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:  # false for NaN too
            self._refuse(name, f"must lie between {low:g} and {high:g}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the section from plain JSON.

        Raises:
            ConfigError: An unknown or missing key, a wrong type or a value out of its range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.section} must be an object, not {values!r}")
        hints = _hints(cls)
        if unknown := sorted(set(values) - set(hints)):
            near = get_close_matches(str(unknown[0]), hints, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(hints)}"
            raise ConfigError(f"{cls.section} knows no {unknown[0]!r}; {hint}")
        given = ((f.name, f.default, f.default_factory) for f in fields(cls))  # type: ignore[arg-type]
        needed = {name for name, *defaults in given if defaults == [MISSING, MISSING]}
        if missing := sorted(needed - set(values)):
            raise ConfigError(f"{cls.section}.{missing[0]} is missing")
        return cls(**{name: _plain(value, hints[name]) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]


def _hints(cls: type[Section]) -> dict[str, Any]:
    hints = _resolved(cls)
    return {f.name: hints[f.name] for f in fields(cls)}  # type: ignore[arg-type]


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    options = _options(hint)
    if len(options) > 1:
        return any(_fits(value, option) for option in options)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(v, get_args(hint)[0]) for v in value)
    if hint in (int, float):  # True is an int to Python, never to a reader of settings
        return not isinstance(value, bool) and isinstance(value, (int, hint))
    return isinstance(value, get_origin(hint) or hint)


def _near(value: Any, hint: Any) -> str:
    """A hint at the choices that are spelled like this one."""
    choices = [choice for choice in get_args(hint) if isinstance(choice, str)]
    near = get_close_matches(value, choices) if isinstance(value, str) else []
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _plain(value: Any, hint: Any) -> Any:
    """JSON's value as the hint's: arrays become tuples, objects sections."""
    if isinstance(hint, type) and issubclass(hint, Section) and isinstance(value, Mapping):
        return hint.from_dict(value)
    if get_origin(hint) is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        choices = [repr(choice) for choice in get_args(hint)]
        return " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
    if get_origin(hint) is tuple:
        return f"a list, each {_words(get_args(hint)[0])}"
    if len(_options(hint)) > 1:
        return " or ".join(map(_words, _options(hint)))
    words = {int: "a whole number", float: "a number", str: "a text", type(None): "null"}
    return words.get(hint, "an object")
