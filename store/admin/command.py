"""What a command of an operator is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from store.engine import Database
from store.settings import StoreSettings


@dataclass(frozen=True)
class Store:
    """What commands work with."""

    settings: StoreSettings
    database: Database


@dataclass(frozen=True)
class Command:
    """One of the words behind `python -m store.admin`.

    Attributes:
        name: The word.
        help: A line about it.
        run: Does it; the exit status, 0 when all is well.
        options: Adds its own options to its parser.
    """

    name: str
    help: str
    run: Callable[[Store, Namespace], int]
    options: Callable[[ArgumentParser], None] = lambda _: None


@dataclass(frozen=True)
class Plain:
    """A word that needs neither settings nor a database.

    Attributes:
        name: The word.
        help: A line about it.
        run: Does it; the exit status, 0 when all is well.
        options: Adds its own options to its parser.
    """

    name: str
    help: str
    run: Callable[[Namespace], int]
    options: Callable[[ArgumentParser], None] = lambda _: None
