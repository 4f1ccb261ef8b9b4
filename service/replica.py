"""One API process, until SIGINT or SIGTERM; open requests may end first.

    python -m service.replica SOCKET

is what `service.processes` starts: it serves at a socket that it inherits, and ends with the one
who started it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn

from service import sharing
from service.main import create_app
from service.protocol import bounded
from service.server import Server
from service.settings import ServiceSettings
from store import tracing
from store.observe import configure_logging

_KEEP_ALIVE_S = 75  # far beyond the 5 s after which common clients drop an idle connection


def serve(settings: ServiceSettings, listening: socket.socket | None = None) -> int:
    """Serve, at that socket or at one of its own; 1 if it could not be opened."""
    sharing.install()
    configure_logging(settings, "api")
    tracing.install(settings, "lure-api")
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _leave)  # uvicorn puts its own over it, and calls it when all is closed
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,  # one way for all logs, see store.observe
        access_log=False,
        server_header=False,
        http=bounded(settings),
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.shutdown_s,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = Server(config)
    server.run([listening] if listening else None)
    return 0 if server.started else 1


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Everything is closed: end without waiting for threads that hang in a database that hangs.

    Nor for the interpreter to take PyTorch apart, which takes seconds on a busy machine.
    """
    tracing.close()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    """The parent holds the other end of our standard input, and never writes to it."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(serve(ServiceSettings(), socket.socket(fileno=int(sys.argv[1]))))
