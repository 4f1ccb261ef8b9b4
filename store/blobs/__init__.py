"""Bytes under their sha256: written once, whole, deleted by garbage collection alone.

`Blobs` is what everybody works with; where the bytes lie is a `Place`: a folder, or a bucket of an
S3-compatible store with a cache of local files before it.
"""

from store.blobs.blobs import Blobs
from store.blobs.rows import KEEP_RESUME_S, KEEP_S, held, pin

__all__ = ["KEEP_RESUME_S", "KEEP_S", "Blobs", "held", "pin"]
