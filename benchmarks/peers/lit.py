"""The same model behind LitServe, batching on.

    python -m benchmarks.peers.lit CASE PORT GRAPH DEVICE

Settings as its guide to speed has them (`fast_queue`), one worker, whose torch has all cores. How
large batches are and how long they wait is told by a request, because its loop reads both anew for
every batch: so `serving.py` tries several without a start for each. Its binary request is a
multipart form.
"""

from __future__ import annotations

import base64
import sys

import litserve
import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.peers.model import CASES, Case, Model, told


class Api(litserve.LitAPI):
    def __init__(self, case: Case, graph: str, device: str) -> None:
        super().__init__(max_batch_size=max(case.batches(device)))
        self._case, self._graph, self._device = case, graph, device

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe's signature)
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
    name, port, graph, device = sys.argv[1:]
    api = Api(CASES[name], graph, device)
    server = litserve.LitServer(api, accelerator=device, devices=1, fast_queue=True)
    server.run(port=int(port), log_level="warning", generate_client_file=False)
