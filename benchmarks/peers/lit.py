"""The same model behind LitServe, batching on.

    python -m benchmarks.peers.lit CASE PORT

Settings as its guide to speed has them (`fast_queue`), and the best of a few tried on two cores:
one worker, whose torch has both; a batch waits 5 ms. Its binary request is a multipart form.
"""

from __future__ import annotations

import base64
import sys

import litserve
import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.peers.model import CASES, Case, Model, told

BATCH_TIMEOUT_S = 0.005


class Api(litserve.LitAPI):
    def __init__(self, case: Case) -> None:
        super().__init__(max_batch_size=case.batch, batch_timeout=BATCH_TIMEOUT_S)
        self._case = case

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe's signature)
        self._model = Model(self._case)

    def decode_request(self, request) -> npt.NDArray[np.uint8]:  # type: ignore[no-untyped-def]
        # without a type: LitServe would have FastAPI read one from the query
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
    server = litserve.LitServer(Api(CASES[sys.argv[1]]), accelerator="cpu", fast_queue=True)
    server.run(port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
