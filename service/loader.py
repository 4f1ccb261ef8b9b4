"""A version out of the blobs: read, verified, in weights that nobody uses, warmed up."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import torch

from lure_core import models
from lure_core.checkpoint import load_classifier, shape_of
from lure_core.errors import BadCheckpoint
from lure_core.precision import answering, answering_threads, device_of
from service.collecting import spare_what_stays
from service.pace import Pace
from service.slot import Served
from service.spare import Spares
from store.blobs import Blobs
from store.errors import StoreError
from store.models import Version


@dataclass(frozen=True)
class Manner:
    """How versions are loaded.

    Attributes:
        device: "auto", "cpu", "cuda", …: where they answer.
        precision: "auto", "fp32" or "bf16"; see `lure_core.precision.answering`.
        packages: Of the operator's own models, those that may be imported.
        threads: Most that a batch is computed with.
    """

    device: str = "auto"
    precision: str = "auto"
    packages: Collection[str] = ()
    threads: int = 1


class Loader:
    """Loads versions; from several threads at once, if need be."""

    def __init__(self, blobs: Blobs, manner: Manner | None = None) -> None:
        self._blobs = blobs
        self._manner = manner or Manner()
        self._device = device_of(self._manner.device)
        self._spares = Spares()

    def load(self, stream: str, version: Version, pace: Pace | None = None) -> Served:
        """Read, verify and warm up a version; takes a while, and belongs in a thread.

        Raises:
            ConfigError: Its model is of a package that is not among those.
            BlobMissing, OSError: Its bytes are not there.
            BlobDamaged, BadCheckpoint: They do not have their digest, or do not fit together.
        """
        pace = pace or Pace()
        torch.set_num_threads(1)  # this thread's: it gives way to those that answer
        sidecar = json.loads(self._blobs.read(version.sidecar_digest))
        if sidecar.get("weights_sha256") != version.digest:
            raise BadCheckpoint(
                f"the sidecar of version {version.version} is that of other weights"
            )
        models.require(str(sidecar.get("architecture")), allowed=self._manner.packages)
        weights = self._blobs.local(version.digest)  # checked by the digest that the sidecar has
        precision = answering(
            self._manner.precision, device=self._device, agreement=version.agreement
        )
        try:
            classifier = load_classifier(
                weights,
                sidecar,
                precision=precision,
                spare=self._spares.take(shape_of(sidecar, precision)),
                breathe=pace.breathe,
            )
        except BadCheckpoint:
            with suppress(StoreError):  # a damaged copy of a bucket's is fetched for the next time
                self._blobs.local(version.digest, check=True)
            raise
        pace.breathe()
        # what oneDNN prepares, it prepares for a number of threads
        torch.set_num_threads(answering_threads(classifier.runner.flops, most=self._manner.threads))
        classifier.warm_up()
        self._spares.follow(classifier)
        spare_what_stays()  # the first model has brought along what torch loads when needed
        return Served(
            stream=stream,
            version=version.version,
            digest=version.digest,
            classifier=classifier,
            classes=classifier.classes,
            input=classifier.input,
            size_bytes=classifier.runner.size_bytes,
            flops=classifier.runner.flops,
        )
