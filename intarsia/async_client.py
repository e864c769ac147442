"""The client for asyncio: every rpc as a coroutine or an asynchronous generator.

Methods raise the exceptions of `intarsia.errors`, the same classes as on the server. Calls to a server that
is out of reach are repeated with growing pauses; that is safe, since every edit carries a request id.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intarsia import artifacts, from_proto, jobs, requests, server_address
from intarsia.artifacts import Progress
from intarsia.editing import PictureRequest
from intarsia.files import AsyncResultFile
from intarsia.jobs import AsyncJob
from intarsia.requests import Further, Picture, Request, Stored, Where, artifact_name
from intarsia.results import (
    AdapterReport,
    ArtifactInfo,
    JobStatus,
    PictureResult,
    RequestPlan,
    SegmentResult,
    TrackResult,
)
from intarsia.retry import Calls, RetryPolicy
from intarsia.settings import JobSettings, Settings
from intarsia.transport import AsyncioTransport, BlockingTransport, credentials, metadata
from intarsia.v1.adapters_pb2 import InspectAdapterRequest
from intarsia.v1.editing_pb2 import EditRegionRequest, FillRegionRequest, RemoveRegionRequest
from intarsia.v1.segmentation_pb2 import TrackRegionRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

SERVER = "localhost:50051"


class AsyncClient:
    """A client for asyncio; use it within one event loop.

    `tls` is True for servers with a well-known certificate authority, or the root certificate to trust
    (a PEM file, or its bytes). `token` is sent with every call as a bearer token. `timeout` is the limit of
    one call in seconds, with its repeats; transfers get more, by their size.
    """

    def __init__(
        self,
        server: str = SERVER,
        *,
        tls: bool | str | Path | bytes = False,
        token: str | None = None,
        timeout: float = 120.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        transport: type[AsyncioTransport] | type[BlockingTransport] = AsyncioTransport,
    ) -> None:
        server_address.check(server)
        self.server = server
        headers = metadata(server, token, encrypted=tls is not False)
        self._calls = Calls(transport(server, credentials(tls), headers), timeout=timeout, retry=retry)

    async def edit_region(
        self,
        picture: Picture,
        region: Where,
        instruction: str,
        *,
        negative_instruction: str = "",
        further: Iterable[Further] = (),
        **settings: Unpack[Settings],
    ) -> AsyncJob[PictureResult[AsyncResultFile]]:
        """Starts an edit by instruction; every pixel outside the region keeps its exact value.

        `picture` is a path, bytes, a PIL image, a NumPy array (see `upload`), a file of an earlier result, or
        the name of an artifact. `region` is a region (`intarsia.click(120, 80)`), or short for one: a point,
        a box of four numbers, or a mask as an array. `further` edits are applied to the result in this
        order; each is a region, an instruction and, optionally, a negative instruction. For the settings see
        `intarsia.settings.SETTINGS`.
        """
        request = await self.edit_request(
            region, instruction, negative_instruction=negative_instruction, further=further, **settings
        )
        request.job.picture = await artifact_name(self._calls, picture)
        return await self.start(request)

    async def fill_region(
        self,
        picture: Picture,
        region: Where,
        prompt: str = "",
        *,
        negative_prompt: str = "",
        **settings: Unpack[Settings],
    ) -> AsyncJob[PictureResult[AsyncResultFile]]:
        """Starts filling a region with what fits its surroundings, or with what the prompt describes; every
        pixel outside the region keeps its exact value. For the settings see `intarsia.settings.SETTINGS`.
        """
        request = await self.fill_request(region, prompt, negative_prompt=negative_prompt, **settings)
        request.job.picture = await artifact_name(self._calls, picture)
        return await self.start(request)

    async def remove_region(
        self, picture: Picture, region: Where, **settings: Unpack[Settings]
    ) -> AsyncJob[PictureResult[AsyncResultFile]]:
        """Starts removing what a region shows, by the model whose weights are better at it: the manifest says
        which. Every pixel outside the region keeps its exact value. For the settings see
        `intarsia.settings.SETTINGS`.
        """
        request = await self.remove_request(region, **settings)
        request.job.picture = await artifact_name(self._calls, picture)
        return await self.start(request)

    async def plan_region(self, picture: Picture, request: PictureRequest) -> RequestPlan[AsyncResultFile]:
        """Plans an edit, a fill or a removal of a picture: its sheets and its cost, without doing it.

        The request comes from `edit_request`, `fill_request` or `remove_request`.
        """
        plan = await requests.plan_region(self._calls, picture, request)
        response = await self._calls.unary(self._calls.editing.PlanRegion, plan)
        return from_proto.request_plan(response, self._file)

    async def edit_request(
        self,
        region: Where,
        instruction: str,
        *,
        negative_instruction: str = "",
        further: Iterable[Further] = (),
        **settings: Unpack[Settings],
    ) -> EditRegionRequest:
        """The request of `edit_region`, for any picture. Masks and adapters are uploaded."""
        return await requests.edit_region(
            self._calls, region, instruction, negative_instruction, further, **settings
        )

    async def fill_request(
        self, region: Where, prompt: str = "", *, negative_prompt: str = "", **settings: Unpack[Settings]
    ) -> FillRegionRequest:
        """The request of `fill_region`, for any picture. Masks and adapters are uploaded."""
        return await requests.fill_region(self._calls, region, prompt, negative_prompt, **settings)

    async def remove_request(self, region: Where, **settings: Unpack[Settings]) -> RemoveRegionRequest:
        """The request of `remove_region`, for any picture. Masks and adapters are uploaded."""
        return await requests.remove_region(self._calls, region, **settings)

    async def start(self, request: Request) -> AsyncJob[Any]:
        """Sends a request as it is, without uploading anything; the job that it starts.

        A request id stands for one job: for another picture, set another `request_id`.
        """
        method = {
            EditRegionRequest: self._calls.editing.EditRegion,
            FillRegionRequest: self._calls.editing.FillRegion,
            RemoveRegionRequest: self._calls.editing.RemoveRegion,
            TrackRegionRequest: self._calls.segmentation.TrackRegion,
        }[type(request)]
        job = self.job((await self._calls.unary(method, request)).name)
        if (request if isinstance(request, TrackRegionRequest) else request.job).HasField("watched_within"):
            self._calls.started.add(job.name)
        return job

    async def inspect_adapter(self, adapter: Picture, model: str) -> AdapterReport:
        """Describes an adapter for `ip2p_unet` or `sd2_inpaint`; `InvalidRequest` if nothing in it fits."""
        request = InspectAdapterRequest(adapter=await artifact_name(self._calls, adapter), model=model)
        response = await self._calls.unary(self._calls.adapters.InspectAdapter, request)
        return from_proto.adapter_report(response)

    async def segment_region(
        self, picture: Picture, region: Where, *, strict: bool = False
    ) -> SegmentResult[AsyncResultFile]:
        """Finds a region: every candidate, and the one that was chosen and shaped.

        Edits and fills grow what a model found, unless the region says by how much. Doubts about the region
        are notes; a `strict` request refuses it.
        """
        request = await requests.segment_region(self._calls, picture, region, strict=strict)
        response = await self._calls.unary(self._calls.segmentation.SegmentRegion, request)
        return from_proto.segment_result(response, self._file)

    async def track_region(
        self,
        clip: Picture,
        seen: Where | Mapping[int, Where],
        *,
        frames: int | None = None,
        overlay: bool = False,
        **settings: Unpack[JobSettings],
    ) -> AsyncJob[TrackResult[AsyncResultFile]]:
        """Starts following a region through a clip, a file, its bytes, or an artifact's name.

        `seen` is the region in the first frame, or regions by the numbers of their frames. At most `frames`
        are followed, from the first sighting on. `overlay` also makes a clip with the region tinted. The
        settings are those of every job: `time_limit`, `request_id`, `priority`, `labels`, `kind`.
        """
        request = await self.track_request(seen, frames=frames, overlay=overlay, **settings)
        request.clip = await artifact_name(self._calls, clip)
        return await self.start(request)

    async def track_request(self, seen: Where | Mapping[int, Where], **settings: Any) -> TrackRegionRequest:
        """The request of `track_region`, for any clip. Masks are uploaded."""
        return await requests.track_region(self._calls, seen, **settings)

    async def upload(
        self, source: Picture, *, media_type: str = "", progress: Progress | None = None
    ) -> ArtifactInfo:
        """Stores a file, bytes, an open binary file or a picture, unless the server has those bytes already.

        A PIL image or a NumPy array is sent as PNG. An array is uint8 or uint16, (height, width, 3 or 4) in
        RGB order; for a mask also (height, width), and bool.

        `progress` is called after every chunk with the bytes sent so far and in all.
        """
        return await artifacts.upload(self._calls, source, media_type, progress)

    async def download(
        self, name: str | Stored, *, to: str | os.PathLike[str], progress: Progress | None = None
    ) -> Path:
        """Writes an artifact to a file, which appears only when it is whole and its digest right.

        An interrupted download continues where it stopped, even after the end of the process.
        """
        return await artifacts.download(self._calls, str(name), Path(to), progress)

    async def read(self, name: str | Stored) -> bytes:
        """An artifact's bytes, checked by its digest."""
        return await artifacts.read(self._calls, str(name))

    def stream(self, name: str | Stored) -> AsyncGenerator[bytes, None]:
        """An artifact's bytes in chunks, in constant memory; `DataLoss` at the end if the digest is wrong."""
        return artifacts.chunks(self._calls, str(name))

    async def get_artifact(self, name: str | Stored) -> ArtifactInfo:
        """Describes an artifact; `NotFound` if the server does not have it."""
        return await artifacts.get(self._calls, str(name))

    def list_artifacts(
        self, *, pinned: bool = False, page_size: int = 50
    ) -> AsyncGenerator[ArtifactInfo, None]:
        """What is stored, newest first: all, or only what is pinned."""
        return artifacts.listing(self._calls, pinned, page_size)

    async def pin(self, name: str | Stored) -> ArtifactInfo:
        """Keeps an artifact until it is unpinned."""
        return await artifacts.pin(self._calls, str(name))

    async def unpin(self, name: str | Stored) -> ArtifactInfo:
        """Lets an artifact expire again."""
        return await artifacts.unpin(self._calls, str(name))

    async def delete(self, name: str | Stored) -> None:
        """Removes an artifact now; `NotReady` if it is pinned, or if an unfinished job refers to it."""
        await artifacts.delete(self._calls, str(name))

    def job(self, name: str) -> AsyncJob[Any]:
        """The handle of a job, to wait for, watch, pause or cancel it; sends nothing to the server."""
        return AsyncJob(self._calls, name)

    async def get_job(self, name: str) -> JobStatus[AsyncResultFile]:
        """A job's current state."""
        return await jobs.get(self._calls, name)

    def list_jobs(
        self,
        *,
        states: Iterable[str] = (),
        methods: Iterable[str] = (),
        labels: Iterable[str] = (),
        page_size: int = 50,
    ) -> AsyncGenerator[JobStatus[AsyncResultFile], None]:
        """Jobs, newest first: all, or those in these states (`queued`, `running`, ...), of these methods
        (`EditRegion`, ...), with all of these labels. Jobs that come and go meanwhile change no page."""
        return jobs.listing(self._calls, states, methods, labels, page_size)

    def watch_job(
        self, name: str, *, timeout: float | None = None, cancel_on_disconnect: bool = False
    ) -> AsyncGenerator[JobStatus[AsyncResultFile], None]:
        """A job's state now and after every change until it is finished, even if the connection breaks.

        With `cancel_on_disconnect`, leaving the loop, or the end of the process, cancels the job.
        """
        return jobs.watch(self._calls, name, timeout=timeout, cancel_on_disconnect=cancel_on_disconnect)

    async def wait(self, job: str, timeout: float | None = None) -> JobStatus[AsyncResultFile]:
        """The finished job, however it ended; `TimeoutError` after `timeout` seconds; the job goes on."""
        return await jobs.wait(self._calls, job, timeout)

    async def cancel_job(self, name: str, *, keep_partial: bool = False) -> JobStatus[AsyncResultFile]:
        """Cancels a job, which ends within one step. A finished job stays as it is.

        With `keep_partial`, what is finished becomes the `result` of the cancelled job.
        """
        return await jobs.cancel(self._calls, name, keep_partial=keep_partial)

    async def pause_job(self, name: str) -> JobStatus[AsyncResultFile]:
        """Pauses a job until `resume_job`: at once if it waits, else at its next point that is remembered.

        A finished job stays as it is.
        """
        return await jobs.pause(self._calls, name)

    async def resume_job(self, name: str) -> JobStatus[AsyncResultFile]:
        """Lets a paused job go on from where it stopped. Any other job stays as it is."""
        return await jobs.resume(self._calls, name)

    async def retry_job(self, name: str) -> JobStatus[AsyncResultFile]:
        """Starts a failed or cancelled job again, under its name and with what it made before. Any other job
        stays as it is."""
        return await jobs.retry(self._calls, name)

    async def close(self) -> None:
        """Closes the connection. Jobs that it started, and nobody else watches, end soon unless detached."""
        self._calls.started.stop()
        await self._calls.transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """What the end of a `with` block does: cancels the jobs that were started in it and have not ended,
        unless they are detached, and closes the connection."""
        try:
            await self._calls.started.cancel()
        finally:
            await self.close()

    def _file(self, name: str) -> AsyncResultFile:
        return AsyncResultFile(name, self._calls)
