"""The interface of retention: what is stored, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from store.artifact import Artifact


@dataclass(frozen=True)
class ArtifactPage:
    """Some artifacts, newest first, and the token that asks for the next ones; empty after the last."""

    artifacts: tuple[Artifact, ...]
    next_token: str = ""


class Retention(Protocol):
    """Lists what is stored, and decides how long it stays.

    A malformed name raises `InvalidRequest`, an unknown one `NotFound`.
    """

    async def list(self, *, size: int, token: str = "", pinned: bool = False) -> ArtifactPage:
        """A page of all artifacts, or only of those that are pinned."""

    async def describe(self, name: str) -> Artifact:
        """An artifact, with whether it is pinned and when it expires. Notes that it was named just now."""

    async def pin(self, name: str) -> Artifact:
        """Keeps an artifact until it is unpinned, and returns it."""

    async def unpin(self, name: str) -> Artifact:
        """Lets an artifact expire again, and returns it."""

    async def delete(self, name: str) -> None:
        """Removes an artifact now. `NotReady` if it is pinned, or if an unfinished job refers to it."""
