"""Publishes drafts: from here on they are artifacts."""

from __future__ import annotations

from pathlib import Path

from store.artifact import Artifact
from store.description import Description
from store.draft import Draft, sync_all
from store.entries import Entries
from store.lock import one_at_a_time


def publish(draft: Draft, description: Description, entries: Entries, drafts: Path, lock: Path) -> Artifact:
    """The artifact that a draft becomes, or that it repairs. The caller has the lock on its name, shared with
    others who store the same. May be called again after `Busy`."""
    digest = draft.sha256
    # The description comes first: bytes without one cannot be seen.
    _note(draft, description, entries, drafts, lock)
    # Bytes that are there already are replaced by the same bytes: this repairs damaged ones.
    draft.publish(entries.bytes_of(digest))
    return entries.describe(digest)


def _note(draft: Draft, description: Description, entries: Entries, drafts: Path, lock: Path) -> None:
    """Writes the description of a draft that is published next, unless a lasting one is there."""
    digest = draft.sha256
    while (known := entries.known(digest)) is None or description.origin.outlasts(known.origin):
        note = Draft(drafts)
        try:
            note.write((known or description).of(description.origin).write())
            sync_all(note, draft)
            with one_at_a_time(lock):
                if draft.ended:  # the caller was cancelled, and nothing is kept
                    return
                if entries.known(digest) == known:
                    note.publish(entries.description_of(digest), durable=False)
                    return
        finally:
            note.discard()
    entries.touch(digest, durable=True)
