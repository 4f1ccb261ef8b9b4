"""Secrets in a line of the log become `***`, wherever in the line they stand."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from store.settings import StoreSettings

MASK = "***"
_SHORTEST = 8  # characters; what is shorter stands in too many other words
# no repetition without a bound before what must follow: a long line must not take long
_NAME = (
    r"(?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|token"
    r"|authorization|cookie|signature)[\w-]{0,32}"
)
_QUOTES = r"\\{0,9}[\"']?"  # within JSON a quote has a backslash, and more within more
_BETWEEN = rf"{_QUOTES}\s{{0,9}}[=:]\s{{0,9}}{_QUOTES}"
_NOTHING = r"(?!null\b|None\b|true\b|false\b)"
_NAMES = ("passw", "secret", "key", "token", "authorization", "cookie", "signature")


class _Pattern(NamedTuple):
    """What a secret looks like; most lines have none of the words without which there is none."""

    words: tuple[str, ...]  # in lower case
    looks: re.Pattern[str]
    instead: str


def _pattern(words: tuple[str, ...], looks: str, instead: str) -> _Pattern:
    return _Pattern(words, re.compile(looks, re.IGNORECASE), instead)


_PATTERNS = (
    # scheme://user:password@
    _pattern(
        ("://",),
        r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:\"']{0,200}:)[^\s/@\"']+(?=@)",
        rf"\1{MASK}",
    ),
    # name=value, name: value, "name": "value"
    _pattern(
        _NAMES,
        rf"({_NAME}{_BETWEEN}(?:(?:bearer|basic)\s+)?){_NOTHING}[^\s\"',;&}})\]\\]+",
        rf"\1{MASK}",
    ),
    _pattern(("bearer",), r"\b(Bearer\s+)[^\s\"',;\\]+", rf"\1{MASK}"),
    _pattern(("lure_",), r"\blure_[A-Za-z0-9_-]{40,}", f"lure_{MASK}"),
    _pattern(("whsec_",), r"\bwhsec_[A-Za-z0-9+/=_-]+", f"whsec_{MASK}"),
)
_SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|API_KEY|ACCESS_KEY", re.IGNORECASE)
_PLACE = re.compile(r"_(?:DIR|FILE|PATH|URL)$", re.IGNORECASE)


class Redactor:
    """Takes secrets out of texts: those that it was told, and what looks like one."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        spellings: set[str] = set()
        for secret in known:
            if len(secret) >= _SHORTEST:
                spellings |= {secret, json.dumps(secret)[1:-1]}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @classmethod
    def of(cls, settings: StoreSettings) -> Redactor:
        """One that knows the secrets of the settings and of the environment."""
        urls = (settings.database_url, settings.redis_url)
        told = {name: _plain(value) for name, value in settings}
        return cls([*_passwords(urls), *_named(os.environ), *_named(told)])

    def __call__(self, text: str) -> str:
        text = self._known.sub(MASK, text)
        lower = text.lower()
        for pattern in _PATTERNS:
            if any(word in lower for word in pattern.words):
                text = pattern.looks.sub(pattern.instead, text)
        return text


def _passwords(urls: Iterable[str]) -> list[str]:
    found = []
    for url in urls:
        password = urlsplit(url).password
        if password:
            found += [password, unquote(password)]
    return found


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else ""


def _named(values: Mapping[str, str]) -> list[str]:
    """The values that are named like secrets, and not like places where secrets lie."""
    return [
        value for name, value in values.items() if _SECRET.search(name) and not _PLACE.search(name)
    ]
