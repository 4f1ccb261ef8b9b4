"""The same model behind LitServe, batching on.

    python -m benchmarks.peers.lit CASE PORT GRAPH DEVICE WORKERS

Settings as its guide to speed has them (`fast_queue`); the workers share the cores. How large
batches are and how long they wait is told by a request, because its loop reads both anew for every
batch: so `serving.py` tries several without a start for each. Its binary request is a multipart
form.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import sys

import litserve
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.peers.model import CASES, Case, Model, told


class Api(litserve.LitAPI):
    def __init__(self, case: Case, graph: str, device: str, *, workers: int = 1) -> None:
        # of all workers, whichever of them is told; set by LitServe first
        self._settings = multiprocessing.get_context("spawn").RawArray("d", 2)
        super().__init__(max_batch_size=max(case.batches(device)))
        self._case, self._graph, self._device = case, graph, device
        self._threads = max(1, (os.cpu_count() or 1) // workers)

    @property
    def max_batch_size(self) -> int:
        return int(self._settings[0])

    @max_batch_size.setter
    def max_batch_size(self, size: int) -> None:
        self._settings[0] = size

    @property
    def batch_timeout(self) -> float:
        return float(self._settings[1])

    @batch_timeout.setter
    def batch_timeout(self, seconds: float) -> None:
        self._settings[1] = seconds

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe's signature)
        torch.set_num_threads(self._threads)
        self._model = Model(self._case, self._graph, self._device)

    def decode_request(self, request) -> npt.NDArray[np.uint8]:  # type: ignore[no-untyped-def]
        # without a type: LitServe would have FastAPI read one from the query
        if "settings" in request:
            self.max_batch_size, self.batch_timeout = request["settings"]
            return np.zeros((self._case.pixels, self._case.pixels, 3), np.uint8)
        image = request["image"]
        encoded = base64.b64decode(image) if isinstance(image, str) else image.file.read()
        return self._model.decode(encoded)

    def batch(self, inputs: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
        return inputs

    def predict(self, x: list[npt.NDArray[np.uint8]]) -> Tensor:
        return self._model.predict(x)

    def unbatch(self, output: Tensor) -> list[Tensor]:
        return list(output)

    def encode_response(self, output: Tensor) -> dict[str, object]:
        return told(output)


if __name__ == "__main__":
    name, port, graph, device, workers = sys.argv[1:]
    api = Api(CASES[name], graph, device, workers=int(workers))
    server = litserve.LitServer(
        api, accelerator=device, devices=1, workers_per_device=int(workers), fast_queue=True
    )
    server.run(port=int(port), log_level="warning", generate_client_file=False)
