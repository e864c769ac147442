"""Watchers' leases: whoever asked for one and died before it watched its job leaves no job behind.

Time in which no orchestrator answered does not count: after a gap between two checks, and after a start,
every lease is granted anew. All orchestrators of a database check; who watches at one of them is not known to
the others, which see only that the lease was renewed.
"""

from __future__ import annotations

from intarsia.errors import Cancelled
from orchestrator.jobs.entries import failure_text
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.listeners import Listeners

CHECK_SECONDS = 1.0
_GAP_SECONDS = 5.0  # after so long without a check, watchers may have been kept from watching
_RENEWED_BELOW = 2 / 3  # of a lease: what is left when it is renewed
# In a check: each is a commit, and while they last nothing is renewed. The others follow in the next checks.
_MOST_CANCELLED = 100


class WatchLeases:
    """Renews the leases of what is watched here, and cancels jobs that nobody watches any more."""

    def __init__(self, ledger: Ledger, listeners: Listeners) -> None:
        self._ledger, self._listeners = ledger, listeners
        self._seen: set[str] = set()  # jobs that were watched at the last check, or since
        self._last: float | None = None

    def note(self, name: str) -> None:
        """Notes that somebody watches a job."""
        self._seen.add(name)

    async def check(self) -> None:
        """Looks at the leases that are low; to be called every `CHECK_SECONDS`."""
        watched = self._listeners.names
        left = self._seen - watched  # a full lease follows the last moment of watching
        now, low = await self._ledger.watch_leases(below=_RENEWED_BELOW)
        renewed = left | {lease.name for lease in low if lease.name in watched}
        if self._last is None or not -_GAP_SECONDS < now - self._last < _GAP_SECONDS:
            await self._ledger.renew_watch_leases(None)
            low = ()
        elif renewed:
            await self._ledger.renew_watch_leases(renewed)
        self._last, self._seen = now, (self._seen - left) | watched
        over = [lease for lease in low if lease.until < now and lease.name not in renewed]
        for lease in over[:_MOST_CANCELLED]:
            if lease.name not in self._seen:  # by now
                await self._ledger.cancel_unwatched(lease.name, failure_text(unwatched(lease.within)))


def unwatched(within: float | None) -> Cancelled:
    """The reason of a job that ends because nobody watches it."""
    return Cancelled(
        f"the job was cancelled because nobody had watched it for {within or 0:g} s, as its request asked "
        "(watched_within); watch it until it is done, or leave that field out (in the client: `detach`)"
    )
