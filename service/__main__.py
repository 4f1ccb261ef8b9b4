"""`python -m service`: the API, until SIGINT or SIGTERM; open requests may end first."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from service.main import create_app
from service.server import Server
from service.settings import ServiceSettings
from store.observe import configure_logging

_KEEP_ALIVE_S = 75  # far beyond the 5 s after which common clients drop an idle connection


def main() -> int:
    """Serve; 2 when the settings are missing or wrong."""
    try:
        settings = ServiceSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "LURE_" + "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        return 2
    configure_logging(settings)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _leave)  # uvicorn puts its own over it, and calls it when all is closed
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,  # one way for all logs, see store.observe
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_s,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = Server(config)
    server.run()
    return 0 if server.started else 1


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Everything is closed: end without waiting for threads that hang in a database that hangs.

    Nor for the interpreter to take PyTorch apart, which takes seconds on a busy machine.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
