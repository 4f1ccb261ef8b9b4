"""The bare loop: batches of pixels that are there already, one after the other.

    python -m benchmarks.peers.raw CASE SECONDS

Prints images a second: what torch gives, and no server can.
"""

from __future__ import annotations

import sys
import time

from benchmarks.peers.model import CASES, Model


def main() -> None:
    case, seconds = CASES[sys.argv[1]], float(sys.argv[2])
    model = Model(case)
    images = [model.decode(case.image())] * case.batch
    model.predict(images)
    began, batches = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model.predict(images)
        batches += 1
    print(batches * case.batch / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
