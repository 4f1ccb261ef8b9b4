"""FastAPI and torch and nothing else: one request is one forward pass, in FastAPI's own threads.

python -m benchmarks.peers.bare CASE PORT DEVICE
"""

from __future__ import annotations

import base64
import sys

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from benchmarks.peers.model import CASES, Model, told


def create_app(model: Model) -> FastAPI:
    app = FastAPI()

    def answer(encoded: bytes) -> dict[str, object]:
        return told(model.predict([model.decode(encoded)])[0])

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        if request.headers["content-type"] == "application/json":
            encoded = base64.b64decode((await request.json())["image"])
        else:
            encoded = await request.body()
        return await run_in_threadpool(answer, encoded)

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    case, port, device = sys.argv[1:]
    app = create_app(Model(CASES[case], "plain", device))
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False)
