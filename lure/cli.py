"""The `lure` command.

Exit codes: 0 done, 1 refused or failed, 2 a mistake on the command line, 3 no answer from the
service, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from lure.commands import (
    access,
    aliases,
    data,
    feedback,
    figures,
    operating,
    registry,
    reproduce,
    running,
    storage,
    streams,
    webhooks,
)
from lure.commands.options import Url, say
from lure.errors import EmbeddedError, LureError, Unreachable

FAILED, UNREACHABLE = 1, 3

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS = (
    running,
    streams,
    data,
    feedback,
    registry,
    aliases,
    figures,
    reproduce,
    access,
    webhooks,
    operating,
    storage,
)
for commands in _COMMANDS:
    app.add_typer(commands.app)


@app.callback()
def root(*, url: Url = None) -> None:
    """Keeps image classifiers fresh while labelled data arrives in chunks.

    Exit codes: 0 done, 1 refused or failed, 2 a mistake on the command line, 3 no answer from the
    service, 130 interrupted.
    """
    if url is not None:
        os.environ["LURE_URL"] = url


def main() -> None:
    """Runs the command; errors go to stderr, in words."""
    try:
        app()
    except Unreachable as error:
        say(f"{error} (is `lure up` running? --url or LURE_URL names the service)")
        sys.exit(UNREACHABLE)
    except (LureError, EmbeddedError) as error:
        say(str(error))
        sys.exit(FAILED)
