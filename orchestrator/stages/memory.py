"""The memory of a job: what its stages have made, by key, so that no run of it makes it again.

What is remembered are references: the names of artifacts, seeds, small numbers; never pixels.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from intarsia.errors import DataLoss, InternalError, InvalidRequest, NotFound
from orchestrator.jobs.codec import from_plain, to_plain
from store.artifact import PREFIX, ArtifactStore, digest_of

log = logging.getLogger(__name__)

T = TypeVar("T")

LARGEST = 64 << 10  # bytes of a value


class Memory(Protocol):
    """The memory of one job, bound to the right to run it. Values are JSON."""

    async def recall(self, key: str) -> str | None:
        """The value that was remembered for this key last, by any run of the job."""

    async def remember(self, key: str, value: str, references: Sequence[str]) -> None:
        """Stores a value in place of the one before. Once this returns it outlives the process.

        `references` are the artifacts that it names, which must be kept as long as it is.
        """

    async def forget(self, key: str) -> None:
        """Drops the value, if there is one, and its references."""


class NoMemory:
    """The memory of a run that belongs to no job: it is empty."""

    async def recall(self, key: str) -> str | None:
        return None

    async def remember(self, key: str, value: str, references: Sequence[str]) -> None:
        return None

    async def forget(self, key: str) -> None:
        return None


class Recollection:
    """The values of a memory, as what recipes work with."""

    def __init__(self, memory: Memory, store: ArtifactStore) -> None:
        """`store` has the artifacts that values name."""
        self._memory, self._store = memory, store
        self.lasts = not isinstance(memory, NoMemory)
        self._keys: set[str] = set()  # that are known to have a value
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def once(self, key: str, make: Callable[[], Awaitable[T]], kind: type[T]) -> T:
        """What is remembered for the key, else what `make` returns, which is remembered then.

        Keys may be asked for in any order, and at the same time; one that is asked for twice is made once.
        """
        async with self._locks[key]:
            value = await self.recall(key, kind)
            if value is None:
                value = await make()
                await self.remember(key, value)
            return value

    async def recall(self, key: str, kind: type[T]) -> T | None:
        """The value of a key. One that cannot be read any more counts as never made, and so does one that
        names an artifact that is gone: it may be deleted after the job has ended, and before another try."""
        text = await self._memory.recall(key)
        if text is None:
            return None
        self._keys.add(key)
        try:
            plain = json.loads(text)
            value = from_plain(kind, plain)
            for name in artifacts_in(plain):
                await self._store.describe(name)
        except (ValueError, NotFound, DataLoss) as problem:
            log.warning("what was remembered as %r cannot be used and is made again: %s", key, problem)
            return None
        return value

    async def remember(self, key: str, value: Any) -> None:
        """Remembers a value, a frozen dataclass, and the artifacts that it names."""
        plain = to_plain(value)
        text = json.dumps(plain, separators=(",", ":"))
        if len(text.encode()) > LARGEST:
            raise InternalError(
                f"{key!r} has {len(text.encode())} bytes, and at most {LARGEST} are remembered; "
                "store it as an artifact and remember its name"
            )
        await self._memory.remember(key, text, artifacts_in(plain))
        self._keys.add(key)

    async def forget(self, key: str) -> None:
        """Forgets a value that this run has remembered or recalled; others stay until the job is over."""
        if key in self._keys:
            await self._memory.forget(key)
            self._keys.discard(key)

    async def forget_below(self, prefix: str) -> None:
        """Forgets all such values whose keys begin so."""
        for key in sorted(key for key in self._keys if key.startswith(prefix)):
            await self.forget(key)


def artifacts_in(plain: Any) -> tuple[str, ...]:
    """The artifacts that a value of JSON names anywhere, each once, sorted."""
    return tuple(sorted(set(_names(plain))))


def _names(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        if _is_name(plain):
            yield plain
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield from _names(key)
            yield from _names(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _names(value)


def _is_name(text: str) -> bool:
    if not text.startswith(PREFIX):
        return False
    try:
        digest_of(text)
    except InvalidRequest:
        return False
    return True
