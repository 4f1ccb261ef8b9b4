"""How a version does on each of its chunks: an entry a chunk, in a blob.

Beside its row, which every reader of versions loads: a stream that has learned ten thousand chunks
has as many entries for each further version.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence

from store.blobs import Blobs
from store.models import Json, Version


def packed(entries: Sequence[Json]) -> bytes:
    """As they are stored: the same entries are the same bytes."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode(), mtime=0)


def read(blobs: Blobs, version: Version) -> list[Json] | None:
    """The version's entries, oldest chunk first; None where it was made before they were kept.

    Raises:
        BlobMissing, BlobDamaged: They are lost.
    """
    if version.scores_digest is None:
        return None
    entries: list[Json] = json.loads(gzip.decompress(blobs.read(version.scores_digest)))
    return entries
