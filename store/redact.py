"""Secrets in a line of the log become `***`, wherever in the line they stand."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from store.settings import StoreSettings

MASK = "***"
_SHORTEST = 8  # characters; what is shorter stands in too many other words
_NAME = (
    r"[\w.-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|token"
    r"|authorization|cookie|signature)"
)
_QUOTES = r"\\*[\"']?"  # within JSON a quote has a backslash, and more within more
_PATTERNS = (
    # scheme://user:password@
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:\"']*:)[^\s/@\"']+(?=@)", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    # name=value, name: value, "name": "value"
    (
        re.compile(
            rf"({_NAME}{_QUOTES}\s*[=:]\s*{_QUOTES}(?:(?:bearer|basic)\s+)?)"
            r"(?!null\b|None\b|true\b|false\b)[^\s\"',;&})\]\\]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(Bearer\s+)[^\s\"',;\\]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\blure_[A-Za-z0-9_-]{40,}"), f"lure_{MASK}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), f"whsec_{MASK}"),
)
_OF_ENVIRONMENT = re.compile(r"(?:SECRET|PASSWORD|TOKEN|API_KEY|ACCESS_KEY)", re.IGNORECASE)


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
        return cls([*_passwords(urls), *_of_environment()])

    def __call__(self, text: str) -> str:
        text = self._known.sub(MASK, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def _passwords(urls: Iterable[str]) -> list[str]:
    found = []
    for url in urls:
        password = urlsplit(url).password
        if password:
            found += [password, unquote(password)]
    return found


def _of_environment() -> list[str]:
    return [value for name, value in os.environ.items() if _OF_ENVIRONMENT.search(name)]
