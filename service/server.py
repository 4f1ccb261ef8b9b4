"""uvicorn, told how this application ends."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI


class Server(uvicorn.Server):
    """Ends the streams of events first: none ends by itself, and uvicorn waits for them all."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, let the open ones end, then close the application."""
        application = self.config.app
        assert isinstance(application, FastAPI)
        application.state.watch.end_streams()
        await super().shutdown(sockets)
