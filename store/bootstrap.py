"""Keys that a stack is made with: their texts lie in files beside the other secrets.

    lure_bootstrap_key   the first administrator's
    lure_metrics_key     what scrapes `/metrics`: it may do that alone

The API makes them known when it starts. Only the hashes are kept, and a key that was revoked stays
revoked while its file is still there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from store import audit, keys
from store.engine import Session
from store.keys import NewKey
from store.models import ApiKey
from store.schema import has

BOOTSTRAP, METRICS = "lure_bootstrap_key", "lure_metrics_key"
_FEWEST = 10  # different characters of a key's text: random ones have more
_MEANT = {
    BOOTSTRAP: NewKey("bootstrap", [keys.ADMIN]),
    METRICS: NewKey("metrics", [keys.METRICS]),
}

log = logging.getLogger(__name__)


def register(session: Session, folder: Path | None) -> list[str]:
    """Make the folder's keys known.

    Returns:
        The names of those that were not known before.
    """
    if folder is None or not has(session, ApiKey):
        return []
    made = []
    for wanted, text in _texts(folder):
        key_id = keys.ensure(session, text, wanted)
        if key_id is not None:
            audit.add_key_made(session, key_id, wanted)
            made.append(wanted.name)
    return made


def _texts(folder: Path) -> Iterator[tuple[NewKey, str]]:
    for name, wanted in _MEANT.items():
        path = folder / name
        if not path.is_file():
            continue
        text = path.read_text("utf-8").strip()
        if not keys.is_well_formed(text):
            log.error("%s holds no key: `lure_` and at least 40 characters behind it", path)
        elif len(set(text.removeprefix(keys.PREFIX))) < _FEWEST:
            log.error("%s holds no key: its characters are not random", path)
        else:
            yield wanted, text
