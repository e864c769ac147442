"""One model in Triton: questions with one answer, and streams of many.

A model may be served at several addresses. They take turns; where one is out of reach before it has
answered anything, the next is asked: asking twice changes nothing, so it is safe. Questions that build on
each other have an affinity.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as kserve

from intarsia.errors import IntarsiaError, ModelDown
from orchestrator import metrics
from orchestrator.deadline import Deadline
from orchestrator.triton.errors import to_exception
from orchestrator.triton.stall import StallLimits, StallTimer
from orchestrator.triton.tensors import Tensors, answer, from_bytes, is_last, to_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")

_MANY = 1 << 20  # bytes; packing more is noticed by whoever else the event loop serves

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # models are neighbours, whatever leads out into the world
    # A restarted Triton is found again within two seconds; gRPC's own habit is to wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class Address:
    """One Triton server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._channel = grpc.aio.insecure_channel(url, options=_OPTIONS)
        # As bytes: gRPC would read and write messages on the event loop, where a large one holds up all. What
        # streams answer is small.
        self.infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self.stream = self._channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=kserve.ModelStreamInferResponse.FromString,
        )

    async def close(self) -> None:
        await self._channel.close()


class Affinity:
    """The address that requests which belong together go to: the one that answered the first of them. None
    while none was answered."""

    address: Address | None = None


class Model:
    """A model by its name, wherever it is served."""

    def __init__(self, name: str, addresses: Sequence[Address], limits: StallLimits) -> None:
        self.name = name
        self._addresses = tuple(addresses)
        self._turn = itertools.cycle(range(len(self._addresses)))
        self._limits = limits

    async def infer(
        self, inputs: Tensors, *, deadline: Deadline, affinity: Affinity | None = None
    ) -> dict[str, np.ndarray]:
        """One question, one answer. Cancelling the caller cancels the request in Triton.

        Requests with the same `affinity` go to one address, for as long as it can be reached.
        """
        for address, no_other in self._rotation(affinity):
            seconds, longest = deadline.remaining(), self._limits.answer
            hurried = seconds is not None and seconds <= longest
            message = await self._serialized(inputs, seconds)
            with _CallMetrics(self.name) as count:
                try:
                    reply = await address.infer(message, timeout=seconds if hurried else longest)
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not hurried:
                        refusal: IntarsiaError = self._stalled(longest)
                    else:
                        refusal = to_exception(self.name, error.details() or "", error.code())
                    count.failed(refusal)
                    if not isinstance(refusal, ModelDown) or no_other:
                        raise refusal from None
                else:
                    if affinity is not None:
                        affinity.address = address
                    return await _in_thread_if_large(len(reply), partial(from_bytes, reply))
            log.warning("%s at %s is out of reach, trying the next address", self.name, address.url)
        raise ModelDown(f"no address is configured for {self.name}", model=self.name)

    async def stream(
        self, inputs: Tensors, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """One question, many answers, on a gRPC stream of its own.

        Close the iterator (`contextlib.aclosing`) to be done with it: whoever stops listening, by
        leaving or by being cancelled, cancels the request in Triton at once.
        """
        for address, no_other in self._rotation():
            timer = StallTimer(self._limits)
            with _CallMetrics(self.name) as count:
                try:
                    async with aclosing(self._read_replies(address, inputs, deadline, timer)) as replies:
                        async for reply in replies:
                            yield reply
                    return
                except IntarsiaError as refusal:
                    count.failed(refusal)
                    # Once a stream has begun its caller has seen progress; starting over is up to it.
                    if not isinstance(refusal, ModelDown) or timer.began or no_other:
                        raise
            log.warning("%s at %s is out of reach, trying the next address", self.name, address.url)

    async def _read_replies(
        self, address: Address, inputs: Tensors, deadline: Deadline, timer: StallTimer
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """The replies of one address.

        The request side stays open until the last reply is here, and is then closed instead of cancelled:
        Triton 2.51 dies of a cancel that meets a stream which is just completing.
        """
        seconds = deadline.remaining()
        message = await self._serialized(inputs, seconds)
        call = address.stream(timeout=seconds)
        try:
            await self._in_time(call, call.write(message), timer)
            while (reply := await self._next(call, timer)) is not None:
                timer.beat()
                if reply.error_message or is_last(reply.infer_response):
                    await self._finish(call, timer)
                if reply.error_message:
                    raise to_exception(self.name, reply.error_message, None)
                if reply.infer_response.outputs:
                    yield answer(reply.infer_response)
                if is_last(reply.infer_response):
                    return
        except grpc.aio.AioRpcError as error:
            deadline.remaining()  # a write that meets the end of its time is an internal error to gRPC
            raise to_exception(self.name, error.details() or "", error.code()) from None
        except asyncio.InvalidStateError:  # writing to a stream that has already ended
            raise to_exception(self.name, await call.details() or "", await call.code()) from None
        finally:
            call.cancel()

    async def _serialized(self, inputs: Tensors, seconds: float | None) -> bytes:
        size = sum(tensor.nbytes for tensor in inputs.values())
        return await _in_thread_if_large(size, partial(to_bytes, self.name, inputs, seconds=seconds))

    async def _finish(self, call: Any, timer: StallTimer) -> None:
        """Closes the request side and hears the stream end. All is said: what breaks now spoils nothing."""
        try:
            await self._in_time(call, call.done_writing(), timer)
            await self._next(call, timer)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, IntarsiaError) as error:
            log.warning("after its last reply the stream of %s broke: %s", self.name, error)

    async def _next(self, call: Any, timer: StallTimer) -> kserve.ModelStreamInferResponse | None:
        """The next reply, None after the last one; ModelDown if it does not come in good time."""
        reply = await self._in_time(call, call.read(), timer)
        return None if reply is grpc.aio.EOF else reply

    async def _in_time(self, call: Any, work: Coroutine[Any, Any, Any], timer: StallTimer) -> Any:
        """What reading from a call, or writing to it, gives; ModelDown if it takes too long."""
        allowance = timer.allowance()
        # In a task of its own: what ends because its call was cancelled must not look like a cancel of
        # the one who listens, nor may waiting with a time limit swallow one.
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=allowance)
        finally:
            silent = not task.done()
            task.cancel()
        if silent:
            raise self._stalled(allowance)
        if task.cancelled():
            raise to_exception(self.name, await call.details() or "", grpc.StatusCode.CANCELLED)
        return task.result()

    def _stalled(self, seconds: float) -> ModelDown:
        metrics.MODEL_STALLS.labels(self.name).inc()
        return ModelDown(
            f"no sign of life from {self.name} for {seconds:.3g} s; try again in a moment", model=self.name
        )

    def _rotation(self, affinity: Affinity | None = None) -> Iterator[tuple[Address, bool]]:
        """Every address once, and whether it is the last. The affinity's comes first, else they take turns."""
        count, known = len(self._addresses), affinity.address if affinity is not None else None
        first = next(self._turn) if known is None else self._addresses.index(known)
        for step in range(count):
            yield self._addresses[(first + step) % count], step == count - 1


async def _in_thread_if_large(size: int, work: Callable[[], T]) -> T:
    """Packs or unpacks so many bytes: in a thread if they are many, else right here, which is faster."""
    return await asyncio.to_thread(work) if size > _MANY else work()


class _CallMetrics:
    """Counts a call, its duration and how it ended."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __enter__(self) -> _CallMetrics:
        metrics.MODEL_CALLS.labels(self._model).inc()
        self._began = time.monotonic()
        return self

    def failed(self, error: IntarsiaError) -> None:
        metrics.MODEL_ERRORS.labels(self._model, error.reason).inc()

    def __exit__(self, *_: object) -> None:
        metrics.MODEL_SECONDS.labels(self._model).observe(time.monotonic() - self._began)
