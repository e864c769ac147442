"""Work: one item from its files to the files that are made of it.

What an item's result depends on has a digest, its *mark*. An item whose last line has the same mark, was
a success, and whose files are still there is done. The request id of a job follows from the ledger, the
mark and the number of failures before: a run that follows a killed one asks for the same jobs, and finds
them where the server has started them already.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict

from intarsia import errors
from intarsia.artifacts import measure
from intarsia.client import AsyncClient
from intarsia.editing import Request
from intarsia.folder.folder import Folder
from intarsia.folder.journal import CANCELLED, FAILED, SUCCEEDED, Ledger
from intarsia.folder.listener import Listener
from intarsia.folder.pairs import Item
from intarsia.folder.products import products, suffix
from intarsia.folder.report import SKIPPED, explained, now
from intarsia.folder.scan import within
from intarsia.folder.template import copied, filled_in
from intarsia.jobs import AsyncJob, Result, result_of
from intarsia.retry import Patience
from intarsia.v1.jobs_pb2 import Job

T = TypeVar("T")

try:
    VERSION = version("intarsia")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "unknown"

PASSING = (errors.Busy.reason, errors.ModelDown.reason)  # no fault of the job that fails with it
FOR_ALL = ("sampling.", "adapters")  # fields that no picture has a part in
SETBACKS = 3  # jobs of one item that may end so in one run
LAST_WORDS = 3.0  # seconds that a cancel may take


class Hopeless(Exception):
    """What would happen to every item, and ends the batch."""

    def __init__(self, why: errors.IntarsiaError) -> None:
        super().__init__(str(why))
        self.why = why


class Work:
    """Works on items of one folder, several at a time."""

    def __init__(
        self,
        client: AsyncClient,
        folder: Folder,
        request: Request,
        ledger: Ledger,
        listener: Listener,
        ended: Callable[[Item, Mapping[str, Any]], None],
        patience: Patience,
    ) -> None:
        """`request` is a template; `ended` is told what became of an item, once that is on the disk."""
        self._client, self._folder, self._out, self._request = client, folder, Path(folder.out), request
        self._ledger, self._listener, self._ended, self._patience = ledger, listener, ended, patience
        timeless = copied(request)
        timeless.ClearField("time_limit")  # how long it may take changes nothing about a result
        self._asked = [VERSION, type(request).__name__, MessageToDict(timeless)]

    async def do(self, item: Item) -> None:
        """Works on an item unless it is done already. A failure is written down; raised is what would befall
        every other item as well."""
        line = {"item": item.name, "state": FAILED, "mark": "", "picture": item.picture, "mask": item.mask}
        began, hopeless = time.monotonic(), None
        self._listener.began(item)
        try:
            digests = [await asyncio.to_thread(_digest, path) for path in self._folder.paths(item)]
            mark = line["mark"] = self._mark(item, digests)
            last = self._ledger.last(item.name)
            if last is not None and self._is_done(last, mark):
                self._ended(item, {**last, "state": SKIPPED})
                return
            line |= {"state": SUCCEEDED, **await self._made(item, mark, digests)}
        except (errors.IntarsiaError, OSError) as error:
            line |= explained(error)
            hopeless = _hopeless(error)
        except asyncio.CancelledError as stop:
            if line["mark"]:
                line |= {"state": CANCELLED, **explained(stop)}
                self._write(item, line, began)
            raise
        self._write(item, line, began)
        if hopeless is not None:
            raise hopeless

    async def _made(self, item: Item, mark: str, digests: list[str]) -> dict[str, Any]:
        """Has the picture made and fetches it; what the line says about that."""
        names = []
        for path, digest in zip(self._folder.paths(item), digests, strict=True):
            stored = await self._through(item, partial(self._client.upload, path))
            if stored.name != f"artifacts/{digest}":
                raise errors.DataLoss(f"{path} changed while it was being read; run this again")
            names.append(stored.name)
        job = await self._job(item, mark, filled_in(self._request, *names))
        result = result_of(job)
        return {
            "files": await self._files(item, result),
            "job": job.name,
            "seed": str(result.manifest.seed),  # as in proto3 JSON: more than many readers' numbers can hold
            "notes": list(result.manifest.notes),
        }

    async def _job(self, item: Item, mark: str, request: Request) -> Job:
        """The finished job of an item, which may be one that an earlier run has started.

        A job that is found cancelled was stopped by an earlier run, and one may fail because a model was
        away: then another follows, under an id of its own.
        """
        limit = request.time_limit.ToJsonString() if request.HasField("time_limit") else ""
        number, setbacks = self._ledger.failures(mark), 0
        while True:
            request.request_id = str(uuid.uuid5(self._ledger.id, f"{mark} {number} {limit}"))
            job, stale = await self._through(item, partial(self._followed, item, request))
            number += 1
            if stale and job.state == Job.STATE_CANCELLED:
                continue
            if job.failure.reason not in PASSING or (setbacks := setbacks + 1) >= SETBACKS:
                return job

    async def _followed(self, item: Item, request: Request) -> tuple[Job, bool]:
        """Starts a job, or finds it, and follows it to its end; with whether it was over from the start.

        Cancelled in between, it cancels the job.
        """
        starting = asyncio.ensure_future(self._start(request))
        try:
            return await self._watched(item, await asyncio.shield(starting))
        except asyncio.CancelledError:
            with suppress(errors.IntarsiaError, asyncio.TimeoutError, Hopeless):
                await asyncio.wait_for(_stop(starting), LAST_WORDS)
            raise

    async def _start(self, request: Request) -> AsyncJob:
        """Sends a request. What is wrong before anybody looked at the picture is wrong with all of them."""
        try:
            return await self._client.start(request)
        except (errors.InvalidRequest, errors.NotReady) as error:
            if getattr(error, "field", "").startswith(("picture", "region.mask.artifact")):
                raise
            raise Hopeless(error) from error

    async def _watched(self, item: Item, handle: AsyncJob) -> tuple[Job, bool]:
        job, messages = Job(), 0
        try:
            async with aclosing(handle.watch()) as states:
                async for job in states:
                    messages += 1
                    self._listener.moved(item, job)
        except errors.NotFound as error:
            raise errors.ModelDown(f"the server was restarted and has forgotten a job: {error}") from error
        return job, messages == 1

    async def _files(self, item: Item, result: Result) -> list[str]:
        """Fetches what was made; the files, relative to the folder of results."""
        files = []
        for ending, name in products(result, with_mask=self._folder.with_mask).items():
            stored = await self._through(item, partial(self._client.get_artifact, name))
            file = item.name + ending + suffix(stored.media_type, item.picture)
            target = self._out / file
            if not within(target, self._out):
                raise errors.InvalidRequest(
                    f"a link leads from {target} out of the folder of results; remove it", field="out"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            await self._through(item, partial(self._client.download, name, to=target))
            files.append(file)
        return files

    async def _through(self, item: Item, call: Callable[[], Awaitable[T]]) -> T:
        """A call's answer, as soon as there is room for it and somebody there; it may be repeated."""
        failures = 0
        while True:
            try:
                return await call()
            except (errors.Unauthenticated, errors.PermissionDenied) as error:
                raise Hopeless(error) from error
            except (errors.Busy, errors.QuotaExceeded, errors.ModelDown) as error:
                failures += 1
                if failures >= self._patience.attempts:
                    if isinstance(error, errors.Busy):
                        raise
                    raise Hopeless(error) from error
                pause = self._patience.pause(failures)
                self._listener.waits(item, error, pause)
                await asyncio.sleep(pause)

    def _mark(self, item: Item, digests: list[str]) -> str:
        facts = json.dumps([*self._asked, item.name, digests], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def _is_done(self, last: dict[str, Any], mark: str) -> bool:
        """Whether an earlier run has done it, for the same request and inputs, and the files are there."""
        if (last["state"], last["mark"]) != (SUCCEEDED, mark):
            return False
        files = [self._out / file for file in last["files"]]
        return all(file.is_file() and file.stat().st_size > 0 for file in files)

    def _write(self, item: Item, line: dict[str, Any], began: float) -> None:
        line |= {"finished": now(), "seconds": round(time.monotonic() - began, 3)}
        self._ledger.add(line)
        self._ended(item, line)


def _hopeless(error: Exception) -> Hopeless | None:
    """What ends the batch because of an error that every other item would meet as well."""
    if isinstance(error, errors.NotReady):
        return Hopeless(error)
    if isinstance(error, errors.InvalidRequest) and error.field.startswith(FOR_ALL):
        return Hopeless(error)
    return None


async def _stop(starting: asyncio.Future[AsyncJob]) -> None:
    """Cancels a job, even if its name is still on its way here."""
    await (await starting).cancel()


def _digest(path: Path) -> str:
    return measure(path).sha256
