"""A memory in a dictionary, which outlives the runs of a test."""

from __future__ import annotations

from collections.abc import Sequence


class DictMemory:
    """The memory of one job. Counts what is written, as each is a durable commit."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.references: dict[str, tuple[str, ...]] = {}
        self.commits = 0

    async def recall(self, key: str) -> str | None:
        return self.values.get(key)

    async def remember(self, key: str, value: str, references: Sequence[str]) -> None:
        self.commits += 1
        self.values[key], self.references[key] = value, tuple(references)

    async def forget(self, key: str) -> None:
        self.commits += key in self.values
        self.values.pop(key, None)
        self.references.pop(key, None)
