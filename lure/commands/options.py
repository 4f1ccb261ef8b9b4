"""What the commands share: options, arguments, and the client that they name."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lure import voice
from lure.client import DEFAULT_URL, Client

UrlOption = typer.Option("--url", help=f"The service (or LURE_URL; else {DEFAULT_URL}).")
Url = Annotated[str | None, UrlOption]
AsJson = Annotated[bool, typer.Option("--json", help="The service's answer as one JSON document.")]
Stream = Annotated[str, typer.Argument(help="The stream's name.")]
Version = Annotated[int, typer.Argument(min=1, help="The version's number.")]
Reason = Annotated[str, typer.Option(help="Why, for the alias's history.")]


def connect(url: str | None) -> Client:
    """A client of the service that was named on the command line or by LURE_URL."""
    return Client(url or os.environ.get("LURE_URL") or DEFAULT_URL, retries=2)


def say(line: str) -> None:
    """A line for the person, beside the answer: to stderr."""
    voice.tell(f"lure: {line}", sys.stderr)


def folder(text: str) -> Path:
    """A folder of this machine, which no URL is the path of."""
    if "://" in text:
        raise typer.BadParameter(f"{text!r} should be a folder; mount it, or copy it from there")
    return Path(text)


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is JSON or else a text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} should be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
