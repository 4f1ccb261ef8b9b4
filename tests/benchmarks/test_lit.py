from __future__ import annotations

import copy

from benchmarks.peers.lit import Api
from benchmarks.peers.model import CASES


def test_settings_are_those_that_litserves_loop_reads() -> None:
    api = Api(CASES["small"], "plain", "cpu")
    assert (api.max_batch_size, api.batch_timeout) == (32, 0.0)
    api.decode_request({"settings": [6, 0.005]})
    assert (api.max_batch_size, api.batch_timeout) == (6, 0.005)


def test_settings_are_shared_by_the_workers() -> None:
    api = Api(CASES["small"], "plain", "cpu", workers=2)
    worker = copy.copy(api)  # what a worker gets has the same memory
    worker.decode_request({"settings": [6, 0.005]})
    assert (api.max_batch_size, api.batch_timeout) == (6, 0.005)
