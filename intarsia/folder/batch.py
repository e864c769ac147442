"""A batch: every item of a folder, a few at a time, until all are done or somebody stops it.

However many items there are, at most `at_once` are under way, and of the others only the names are held:
pictures are streamed from and to their files, and what became of an item is in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict

from intarsia.client import SERVER, AsyncClient
from intarsia.editing import Request
from intarsia.folder.folder import Folder
from intarsia.folder.journal import Ledger
from intarsia.folder.listener import Listener
from intarsia.folder.pairs import Item
from intarsia.folder.report import FILE, Report
from intarsia.folder.template import template
from intarsia.folder.work import VERSION, Hopeless, Work
from intarsia.retry import Patience

# Makes the request for all pictures, and uploads for it what is the same for all.
Ask: TypeAlias = Callable[[AsyncClient], Awaitable[Request]]

# A server that is full, or being restarted, is given about five minutes.
PATIENCE = Patience(attempts=12, first=1.0, longest=60.0)


def run(
    folder: Folder,
    ask: Ask,
    *,
    server: str = SERVER,
    listener: Listener | None = None,
    patience: Patience = PATIENCE,
    **connection: Any,
) -> Report:
    """`work_through` in a blocking call. `connection` are further settings of `AsyncClient`."""

    async def work() -> Report:
        async with AsyncClient(server, **connection) as client:
            return await work_through(client, folder, ask, listener=listener, patience=patience)

    return asyncio.run(work())


async def work_through(
    client: AsyncClient,
    folder: Folder,
    ask: Ask,
    *,
    listener: Listener | None = None,
    patience: Patience = PATIENCE,
) -> Report:
    """Asks the same for every picture of a folder, and leaves results, ledger and report in its `out`.

    What goes wrong with one item is in the report. What would go wrong with all of them (a wrong option, a
    server that stays away) ends the batch and is raised, and so is a cancel, which also stops what is under
    way; then, too, the report is written first. A later run goes on from there.
    """
    listener = listener or Listener()
    folder.check()
    request, out = template(await ask(client), masked=folder.masks is not None), Path(folder.out)
    out.mkdir(parents=True, exist_ok=True)
    with Ledger(out) as ledger:
        pairs = await asyncio.to_thread(folder.pairs, request)
        listener.found(pairs)
        report = Report(_asked(folder, request), pairs, out / FILE)

        def ended(item: Item, line: Mapping[str, Any]) -> None:
            report.count(line)
            listener.ended(item, line)

        work = Work(client, folder, request, ledger, listener, ended, patience)
        try:
            await _together(work, pairs.items, folder.at_once)
        except BaseException as error:
            report.ended_by = error
            raise
        finally:
            report.close(ledger)
            listener.over(report)
    return report


async def _together(work: Work, items: list[Item], at_once: int) -> None:
    """Works on all items; ends early, and cancels those under way, with the first that raises."""
    waiting = iter(items)

    async def hand() -> None:
        for item in waiting:  # shared: whoever is free takes the next one
            await work.do(item)

    if not items:
        return
    hands = [asyncio.create_task(hand()) for _ in range(min(at_once, len(items)))]
    try:
        done, _ = await asyncio.wait(hands, return_when=asyncio.FIRST_EXCEPTION)
        for one in done:
            one.result()
    except Hopeless as error:
        raise error.why from None
    finally:
        for one in hands:  # once each: a second cancel would come between a hand and the job it cancels
            one.cancel()
        await asyncio.gather(*hands, return_exceptions=True)


def _asked(folder: Folder, request: Request) -> dict[str, object]:
    return {
        "intarsia": VERSION,
        "method": type(request).__name__.removesuffix("Request"),
        "request": MessageToDict(request, preserving_proto_field_name=True),
        "pictures": str(folder.pictures),
        "masks": None if folder.masks is None else str(folder.masks),
        "out": str(folder.out),
        "by": folder.by,
        "at_once": folder.at_once,
    }
