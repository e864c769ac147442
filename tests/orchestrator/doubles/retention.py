"""A retention that keeps its artifacts in a dictionary, and lets one of them be in use."""

from __future__ import annotations

from dataclasses import replace

from intarsia.errors import NotFound, NotReady
from orchestrator.jobs.retention.retention import ArtifactPage
from store.artifact import Artifact


class DictionaryRetention:
    """A `Retention` of these artifacts."""

    def __init__(self, *artifacts: Artifact) -> None:
        self.artifacts = {artifact.name: artifact for artifact in artifacts}
        self.referred: set[str] = set()  # names that an unfinished job refers to

    async def list(self, *, size: int, token: str = "", pinned: bool = False) -> ArtifactPage:
        found = [self.artifacts[name] for name in sorted(self.artifacts) if name > token]
        found = [artifact for artifact in found if artifact.pinned or not pinned]
        return ArtifactPage(tuple(found[:size]), found[size - 1].name if len(found) > size else "")

    async def describe(self, name: str) -> Artifact:
        if name not in self.artifacts:
            raise NotFound(f"there is no artifact {name}")
        return self.artifacts[name]

    async def pin(self, name: str) -> Artifact:
        self.artifacts[name] = replace(await self.describe(name), pinned=True, expires=None)
        return self.artifacts[name]

    async def unpin(self, name: str) -> Artifact:
        self.artifacts[name] = replace(await self.describe(name), pinned=False)
        return self.artifacts[name]

    async def delete(self, name: str) -> None:
        if (await self.describe(name)).pinned or name in self.referred:
            raise NotReady(f"{name} is pinned, or a job refers to it")
        del self.artifacts[name]
