"""One item of a folder, from its input files to the files of its result.

Everything that an item's result depends on has a *digest*. An item is done if its last entry in the journal
has the same digest and was a success, and its files still exist. The request id of a job is derived from the
journal's id, that digest and the number of failures before: a run after a killed one sends the same request
ids, and finds the jobs that the server has started already.
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
from intarsia.async_client import AsyncClient
from intarsia.editing import PictureRequest
from intarsia.files import AsyncResultFile
from intarsia.folder.folder import Folder
from intarsia.folder.journal import CANCELLED, FAILED, SUCCEEDED, Journal
from intarsia.folder.listener import Listener
from intarsia.folder.pairs import Item
from intarsia.folder.products import products, suffix
from intarsia.folder.report import SKIPPED, error_fields, now
from intarsia.folder.scan import within
from intarsia.folder.template import copy_of, fill_template
from intarsia.jobs import AsyncJob, result_of
from intarsia.results import JobState, JobStatus, PictureResult
from intarsia.retry import RetryPolicy

T = TypeVar("T")

try:
    VERSION = version("intarsia")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "unknown"

TRANSIENT = (errors.Busy, errors.ModelDown)  # a job that fails so is started again
SHARED_FIELDS = ("sampling.", "adapters")  # wrong for one picture, wrong for all
MOST_RESTARTS = 3  # jobs of one item that may fail so in one run
CANCEL_TIMEOUT = 3.0  # seconds


class BatchError(Exception):
    """An error that every other item would meet as well; it ends the batch."""

    def __init__(self, error: errors.IntarsiaError) -> None:
        super().__init__(str(error))
        self.error = error


class ItemWorker:
    """Processes the items of one folder; several calls may run at the same time."""

    def __init__(
        self,
        client: AsyncClient,
        folder: Folder,
        request: PictureRequest,
        journal: Journal,
        listener: Listener,
        ended: Callable[[Item, Mapping[str, Any]], None],
        retry: RetryPolicy,
    ) -> None:
        """`request` is a template. `ended` is called with an item's journal entry once it is on the disk."""
        self._client, self._folder, self._out, self._request = client, folder, Path(folder.out), request
        self._journal, self._listener, self._ended, self._policy = journal, listener, ended, retry
        pictured = copy_of(request)
        for field in ("time_limit", "priority", "labels", "kind"):  # they do not change a result
            pictured.job.ClearField(field)
        self._request_facts = [VERSION, type(request).__name__, MessageToDict(pictured)]

    async def process(self, item: Item) -> None:
        """Processes an item unless it is done already. A failure goes to the journal; a `BatchError` is
        raised for one that every other item would meet as well."""
        line = {"item": item.name, "state": FAILED, "digest": "", "picture": item.picture, "mask": item.mask}
        began, batch_error = time.monotonic(), None
        self._listener.on_item_start(item)
        try:
            inputs = [await asyncio.to_thread(_file_digest, path) for path in self._folder.paths(item)]
            digest = line["digest"] = self._digest(item, inputs)
            last = self._journal.last(item.name)
            if last is not None and self._is_done(last, digest):
                self._ended(item, {**last, "state": SKIPPED})
                return
            line |= {"state": SUCCEEDED, **await self._result(item, digest, inputs)}
        except (errors.IntarsiaError, OSError) as error:
            line |= error_fields(error)
            batch_error = _as_batch_error(error)
        except asyncio.CancelledError as stop:
            if line["digest"]:
                line |= {"state": CANCELLED, **error_fields(stop)}
                self._record(item, line, began)
            raise
        self._record(item, line, began)
        if batch_error is not None:
            raise batch_error

    async def _result(self, item: Item, digest: str, inputs: list[str]) -> dict[str, Any]:
        """Runs the item's job and downloads what it made; the fields of the journal entry about that."""
        names = []
        for path, sha256 in zip(self._folder.paths(item), inputs, strict=True):
            stored = await self._retried(item, partial(self._client.upload, path))
            if stored.name != f"artifacts/{sha256}":
                raise errors.DataLoss(f"{path} changed while it was being read; run this again")
            names.append(stored.name)
        job = await self._job(item, digest, fill_template(self._request, *names))
        result = result_of(job)
        return {
            "files": await self._files(item, result),
            "job": job.name,
            "seed": str(
                result.manifest.seed
            ),  # as in proto3 JSON: too large for the numbers of many JSON readers
            "notes": list(result.manifest.notes),
        }

    async def _job(self, item: Item, digest: str, request: PictureRequest) -> JobStatus[AsyncResultFile]:
        """The finished job of an item, which may be one that an earlier run has started.

        Another job is started, with another request id, if the job was cancelled by an earlier run or
        failed for a transient reason.
        """
        limit = request.job.time_limit.ToJsonString() if request.job.HasField("time_limit") else ""
        number, restarts = self._journal.failures(digest), 0
        while True:
            request.job.request_id = str(uuid.uuid5(self._journal.id, f"{digest} {number} {limit}"))
            job, stale = await self._retried(item, partial(self._follow, item, request))
            number += 1
            if stale and job.state == JobState.CANCELLED:
                continue
            if not isinstance(job.error, TRANSIENT) or (restarts := restarts + 1) >= MOST_RESTARTS:
                return job

    async def _follow(self, item: Item, request: PictureRequest) -> tuple[JobStatus[AsyncResultFile], bool]:
        """Starts or finds a job and waits for its end; the job, and whether it had ended before.

        If this call is cancelled, so is the job.
        """
        starting = asyncio.ensure_future(self._start(request))
        try:
            return await self._watch(item, await asyncio.shield(starting))
        except asyncio.CancelledError:
            with suppress(errors.IntarsiaError, asyncio.TimeoutError, BatchError):
                await asyncio.wait_for(_cancel(starting), CANCEL_TIMEOUT)
            raise

    async def _start(self, request: PictureRequest) -> AsyncJob:
        """Sends a request. `BatchError` for what is wrong with it before the picture is read."""
        try:
            return await self._client.start(request)
        except (errors.InvalidRequest, errors.NotReady) as error:
            if getattr(error, "field", "").startswith(("picture", "region.mask.artifact")):
                raise
            raise BatchError(error) from error

    async def _watch(self, item: Item, handle: AsyncJob) -> tuple[JobStatus[AsyncResultFile], bool]:
        job, messages = None, 0
        try:
            async with aclosing(handle.watch()) as states:
                async for job in states:
                    messages += 1
                    self._listener.on_progress(item, job)
        except errors.NotFound as error:
            raise errors.ModelDown(f"the server was restarted and has forgotten a job: {error}") from error
        if job is None:
            raise errors.ModelDown(f"the stream of {handle.name} ended early; try again")
        return job, messages == 1

    async def _files(self, item: Item, result: PictureResult[AsyncResultFile]) -> list[str]:
        """Downloads the result; its files, relative to the folder of results."""
        files = []
        for ending, name in products(result, with_mask=self._folder.with_mask).items():
            stored = await self._retried(item, partial(self._client.get_artifact, name))
            file = item.name + ending + suffix(stored.media_type, item.picture)
            target = self._out / file
            if not within(target, self._out):
                raise errors.InvalidRequest(
                    f"a link leads from {target} out of the folder of results; remove it", field="out"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            await self._retried(item, partial(self._client.download, name, to=target))
            files.append(file)
        return files

    async def _retried(self, item: Item, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, which is repeated while the server is busy or out of reach."""
        failures = 0
        while True:
            try:
                return await call()
            except (errors.Unauthenticated, errors.PermissionDenied) as error:
                raise BatchError(error) from error
            except (errors.Busy, errors.QuotaExceeded, errors.ModelDown) as error:
                failures += 1
                unknown = isinstance(error, errors.Unreachable) and error.is_unknown_host
                if failures >= self._policy.attempts or unknown:
                    if isinstance(error, errors.Busy):
                        raise
                    raise BatchError(error) from error
                pause = self._policy.pause(failures)
                self._listener.on_retry(item, error, pause)
                await asyncio.sleep(pause)

    def _digest(self, item: Item, inputs: list[str]) -> str:
        facts = json.dumps([*self._request_facts, item.name, inputs], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def _is_done(self, last: dict[str, Any], digest: str) -> bool:
        """True if an earlier run has done it, for the same request and inputs, and the files still exist."""
        if (last["state"], last["digest"]) != (SUCCEEDED, digest):
            return False
        files = [self._out / file for file in last["files"]]
        return all(file.is_file() and file.stat().st_size > 0 for file in files)

    def _record(self, item: Item, line: dict[str, Any], began: float) -> None:
        line |= {"finished": now(), "seconds": round(time.monotonic() - began, 3)}
        self._journal.add(line)
        self._ended(item, line)


def _as_batch_error(error: Exception) -> BatchError | None:
    """The `BatchError` for an error that every other item would meet as well, else None."""
    if isinstance(error, errors.NotReady):
        return BatchError(error)
    if isinstance(error, errors.InvalidRequest) and error.field.startswith(SHARED_FIELDS):
        return BatchError(error)
    return None


async def _cancel(starting: asyncio.Future[AsyncJob]) -> None:
    """Cancels a job, even if its name is still on its way here."""
    await (await starting).cancel()


def _file_digest(path: Path) -> str:
    return measure(path).sha256
