"""The identity of a store: a name that is drawn when the store is first opened, and stays."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from store.draft import Draft, sync_folder

_FILE = "identity"


def read_or_draw(folder: Path, drafts: Path) -> tuple[str, int]:
    """The identity in a store's folder, and when it was drawn, in nanoseconds since 1970.

    A store without one gets one; the first of several processes draws it.
    """
    path = folder / _FILE
    if not path.exists():
        draft = Draft(drafts)
        try:
            draft.write(f"{uuid4().hex}\n".encode())
            if draft.link(path):
                sync_folder(folder)
        finally:
            draft.discard()
    return path.read_text(encoding="ascii").strip(), path.stat().st_mtime_ns
