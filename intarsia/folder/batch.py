"""A batch: every item of a folder, a few at a time, until all are done or the batch is stopped.

However many items there are, at most `at_once` are in memory; of the others only the names are. Pictures are
streamed from and to their files, and the outcome of an item goes to the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict

from intarsia.async_client import SERVER, AsyncClient
from intarsia.editing import PictureRequest
from intarsia.folder.folder import Folder
from intarsia.folder.journal import Journal
from intarsia.folder.listener import Listener
from intarsia.folder.pairs import Item
from intarsia.folder.report import FILE, Report
from intarsia.folder.template import template
from intarsia.folder.work import VERSION, BatchError, ItemWorker
from intarsia.retry import RetryPolicy

# Makes the request for all pictures, and uploads what is the same for all.
RequestFactory: TypeAlias = Callable[[AsyncClient], Awaitable[PictureRequest]]

# Waits about five minutes for a server that is busy or restarting.
FOLDER_RETRY = RetryPolicy(attempts=12, first_pause=1.0, longest_pause=60.0)
_CALL_RETRY = RetryPolicy(attempts=6)  # of each call; the folder's own policy repeats it


def run(
    folder: Folder,
    make_request: RequestFactory,
    *,
    server: str = SERVER,
    listener: Listener | None = None,
    retry: RetryPolicy = FOLDER_RETRY,
    **connection: Any,
) -> Report:
    """`run_async` as a blocking call. `connection` are further settings of `AsyncClient`."""

    async def work() -> Report:
        async with AsyncClient(server, **{"retry": _CALL_RETRY, **connection}) as client:
            return await run_async(client, folder, make_request, listener=listener, retry=retry)

    return asyncio.run(work())


async def run_async(
    client: AsyncClient,
    folder: Folder,
    make_request: RequestFactory,
    *,
    listener: Listener | None = None,
    retry: RetryPolicy = FOLDER_RETRY,
) -> Report:
    """Sends the same request for every picture of a folder; writes results, journal and report to its `out`.

    The failure of one item goes to the report. What every item would fail with (a wrong option, a server
    that stays out of reach) ends the batch and is raised; so is a cancel, which also cancels the running
    jobs. The report is written in each case, and a later run goes on from there.
    """
    listener = listener or Listener()
    folder.check()
    request, out = template(await make_request(client), masked=folder.masks is not None), Path(folder.out)
    out.mkdir(parents=True, exist_ok=True)
    with Journal(out) as journal:
        pairs = await asyncio.to_thread(folder.pairs, request)
        listener.on_start(pairs)
        report = Report(_request_fields(folder, request), pairs, out / FILE)

        def ended(item: Item, line: Mapping[str, Any]) -> None:
            report.count(line)
            listener.on_item_end(item, line)

        worker = ItemWorker(client, folder, request, journal, listener, ended, retry)
        try:
            await _run_workers(worker, pairs.items, folder.at_once)
        except BaseException as error:
            report.ended_by = error
            raise
        finally:
            report.close(journal)
            listener.on_end(report)
    return report


async def _run_workers(worker: ItemWorker, items: list[Item], at_once: int) -> None:
    """Processes all items, `at_once` at a time; the first exception cancels the others and is raised."""
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:  # shared by all tasks: each takes the next item
            await worker.process(item)

    if not items:
        return
    tasks = [asyncio.create_task(run()) for _ in range(min(at_once, len(items)))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for one in done:
            one.result()
    except BatchError as error:
        raise error.error from None
    finally:
        for one in tasks:  # once each: a second cancel would interrupt the cancelling of a job
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _request_fields(folder: Folder, request: PictureRequest) -> dict[str, object]:
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
