"""Whether a backup is whole."""

from __future__ import annotations

from store.backup.folder import Folder, digest_of
from store.backup.manifest import Manifest

_REMEDY = "the next backup copies it anew if the store has it still"


def faults(folder: Folder, made: Manifest) -> list[str]:
    """Read everything that belongs to a backup through; what is missing or damaged, in words."""
    found = faults_of_rows(folder, made)
    if not found:  # else the list of the blobs is not to be trusted
        for digest, size in folder.read_list(made.id).items():
            path, there = folder.blob(digest), folder.size(digest)
            if there is None:
                found.append(f"{path} is missing; {_REMEDY}")
            elif there != size or digest_of(path) != digest:
                found.append(f"{path} is damaged; delete it: {_REMEDY}")
    return found


def faults_of_rows(folder: Folder, made: Manifest) -> list[str]:
    """The same, of all but the blobs."""
    files = [(folder.table(made.id, table.name), table.sha256) for table in made.tables]
    files.append((folder.names(made.id), made.blobs.sha256))
    missing = [f"{path} is missing" for path, _ in files if not path.exists()]
    return missing or [f"{path} is damaged" for path, wanted in files if digest_of(path) != wanted]
