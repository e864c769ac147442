"""Endpoints: one model at one Triton server, and everything that this process knows about it.

What an endpoint knows stays with it: the facts of its weights, the pictures and adapters that were sent to
it, the work that it has not finished, and whether it can be reached.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as kserve

from intarsia.errors import IntarsiaError, InternalError, ModelDown
from orchestrator import metrics
from orchestrator.deadline import Deadline
from orchestrator.triton.breaker import Breaker, BreakerState
from orchestrator.triton.connection import Connection
from orchestrator.triton.errors import to_exception
from orchestrator.triton.known_keys import KnownKeys
from orchestrator.triton.pulse import Pulse, StreamLife
from orchestrator.triton.stall import ENDLESS, StallLimits, StallTimer
from orchestrator.triton.tensors import Tensors, answer, from_bytes, from_text, is_last, text, to_bytes

if TYPE_CHECKING:
    from orchestrator.triton.lease import Lease

log = logging.getLogger(__name__)

T = TypeVar("T")

_LARGE = 1 << 20  # bytes; packing more would hold up the event loop noticeably
# Facts are read again after a while: weights may change without our notice, and the loop learns what a pass
# costs while it serves.
_FACTS_KEPT_SECONDS = 10.0
_PULSE_SECONDS = 60.0  # a process that has not told for so long whether it lives is asked anew


class Endpoint:
    """One model at one server. Requests are sent once: retries are up to the caller."""

    def __init__(
        self,
        model: str,
        connection: Connection,
        limits: StallLimits,
        *,
        decoupled: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`decoupled` models can only be streamed. `clock` drives the breaker and the age of the facts."""
        self.model, self.url = model, connection.url
        self.breaker = Breaker(clock)
        self.known = KnownKeys()  # of pictures and adapters that were sent to it
        self.leases: set[Lease] = set()  # those that are open
        self.received = 0.0  # the work that was leased here lately
        self.last_facts: Mapping[str, Any] = {}  # those it published last, even if it is down since
        self.on_change: Callable[[], None] = lambda: None  # called after new facts, a failure or a return
        self._connection, self._limits, self._decoupled, self._clock = connection, limits, decoupled, clock
        self._facts: dict[str, Any] | None = None
        self._facts_until = 0.0
        self._pulse = Pulse(model, self._facts_for_pulse)
        self._work: set[asyncio.Future[Any]] = set()  # to be done to its end; the loop itself keeps it weakly
        self.report()

    @property
    def unfinished(self) -> float:
        """The work of its requests that is not done yet. Units: see `Lease`."""
        return sum(lease.remaining for lease in self.leases)

    async def facts(self, *, deadline: Deadline) -> Mapping[str, Any]:
        """The facts that the model publishes about itself. Kept for a while, and until the endpoint fails."""
        if self._facts is None or self._clock() > self._facts_until:
            reply = await self.first_reply(_question_for_facts(), deadline=deadline)
            if "facts" not in reply:
                raise InternalError(f"{self.model} sent no facts")
            self._facts, self._facts_until = from_text(reply["facts"]), self._clock() + _FACTS_KEPT_SECONDS
            self.last_facts = self._facts
            self.on_change()
        return self._facts

    async def _facts_for_pulse(self) -> Mapping[str, Any]:
        """The facts as they are now, however long they take. The endpoint does not fail with them."""
        replies = self._read_replies(
            _question_for_facts(), Deadline.after(_PULSE_SECONDS), StallTimer(ENDLESS), pulse=None
        )
        async with aclosing(replies):
            reply: Tensors = await anext(replies, {})
        return from_text(reply["facts"]) if "facts" in reply else {}

    async def first_reply(self, inputs: Tensors, *, deadline: Deadline) -> Tensors:
        """The reply of a model that answers this request once, whether it is decoupled or not."""
        if not self._decoupled:
            return await self.infer(inputs, deadline=deadline)
        async with aclosing(self.stream(inputs, deadline=deadline)) as replies:
            return await anext(replies, {})

    async def infer(self, inputs: Tensors, *, deadline: Deadline) -> dict[str, np.ndarray]:
        """The reply to a unary request, which goes on in Triton if the caller is cancelled.

        Triton 2.51 dies of a cancel that meets a request which is just completing.
        """
        return await self._to_the_end(self._infer(inputs, deadline))

    async def _infer(self, inputs: Tensors, deadline: Deadline) -> dict[str, np.ndarray]:
        seconds, longest = deadline.remaining(), self._limits.answer
        hurried = seconds is not None and seconds <= longest
        message = await self._serialized(inputs, seconds)
        with _Call(self) as call:
            try:
                reply = await self._connection.infer(message, timeout=seconds if hurried else longest)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not hurried:
                    refusal: IntarsiaError = self._stalled(longest)
                else:
                    refusal = to_exception(self.model, error.details() or "", error.code())
                call.fail(refusal)
                raise refusal from None
            self.succeed()
            return await _in_thread_if_large(len(reply), partial(from_bytes, reply))

    async def stream(
        self, inputs: Tensors, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """The replies to a streaming request, on a gRPC stream of its own.

        Close the iterator (`contextlib.aclosing`) when done: that, like cancelling the caller, cancels
        the request in Triton at once.
        """
        with _Call(self) as call:
            try:
                timer = StallTimer(self._limits)
                async with aclosing(self._read_replies(inputs, deadline, timer, self._pulse)) as replies:
                    async for reply in replies:
                        self.succeed()
                        yield reply
            except IntarsiaError as refusal:
                call.fail(refusal)
                raise

    def forget_facts(self) -> None:
        """Reads the facts anew when they are needed next."""
        self._facts = None

    def fail(self, error: ModelDown) -> None:
        """Notes that the model is down: nothing new is sent here, and what comes back knows nothing."""
        if self.breaker.state is BreakerState.CLOSED:
            log.warning("%s at %s is down: %s", self.model, self.url, error.message)
        self.forget_facts()  # what comes back may have other weights
        self.known.clear()
        self.breaker.fail(error)
        self.report()

    def fail_probe(self, probe: int, error: ModelDown) -> None:
        """Notes that a probe of the model has failed."""
        self.fail(error)
        self.breaker.fail_probe(probe, error)
        self.report()

    def succeed(self) -> None:
        """Notes that the model has answered."""
        if self.breaker.state is not BreakerState.CLOSED:
            log.info("%s at %s answers again", self.model, self.url)
            self.breaker.succeed()
            self.report()

    def report(self) -> None:
        """Publishes the state of the breaker, as a metric and to whom it may concern."""
        metrics.MODEL_BREAKER.labels(self.model, self.url).set(self.breaker.state.value)
        self.on_change()

    async def _read_replies(
        self, inputs: Tensors, deadline: Deadline, timer: StallTimer, pulse: Pulse | None
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """The replies of the server. The `pulse` tells while there are none whether there may still be any.

        The request side stays open until the last reply is here, and is then closed instead of cancelled,
        also if the caller is cancelled meanwhile: Triton 2.51 dies of a cancel that meets a stream which is
        just completing.
        """
        seconds = deadline.remaining()
        message = await self._serialized(inputs, seconds)
        life = StreamLife(pulse) if pulse is not None else None
        call = self._connection.stream(timeout=seconds)
        ending = False
        try:
            await self._in_time(call, call.write(message), timer)
            while (reply := await self._next(call, timer, life)) is not None:
                timer.beat()
                if reply.error_message or is_last(reply.infer_response):
                    ending = True
                    await self._to_the_end(self._finish(call, timer))
                if reply.error_message:
                    raise to_exception(self.model, reply.error_message, None)
                if reply.infer_response.outputs:
                    yield answer(reply.infer_response)
                if is_last(reply.infer_response):
                    return
        except grpc.aio.AioRpcError as error:
            deadline.remaining()  # a write that meets the end of its time is an internal error to gRPC
            raise to_exception(self.model, error.details() or "", error.code()) from None
        except asyncio.InvalidStateError:  # writing to a stream that has already ended
            raise to_exception(self.model, await call.details() or "", await call.code()) from None
        finally:
            if not ending:
                call.cancel()

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that goes on if the caller is cancelled."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    async def _serialized(self, inputs: Tensors, seconds: float | None) -> bytes:
        size = sum(tensor.nbytes for tensor in inputs.values())
        return await _in_thread_if_large(size, partial(to_bytes, self.model, inputs, seconds=seconds))

    async def _finish(self, call: Any, timer: StallTimer) -> None:
        """Closes the request side and reads the stream's end. Errors do no harm: all replies are here."""
        try:
            await self._in_time(call, call.done_writing(), timer)
            await self._next(call, timer)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, IntarsiaError) as error:
            log.warning("after its last reply the stream of %s broke: %s", self.model, error)
        finally:
            call.cancel()  # of a stream that did not end in time

    async def _next(
        self, call: Any, timer: StallTimer, life: StreamLife | None = None
    ) -> kserve.ModelStreamInferResponse | None:
        """The next reply, None after the last one; ModelDown if it does not come in time, or not at all."""
        reply = await self._in_time(call, call.read(), timer, life)
        return None if reply is grpc.aio.EOF else reply

    async def _in_time(
        self,
        call: Any,
        work: Coroutine[Any, Any, Any],
        timer: StallTimer,
        life: StreamLife | None = None,
    ) -> Any:
        """The result of a read from a call, or of a write to it; ModelDown if it takes too long, or if it
        cannot come any more since the `life` of the stream is over."""
        allowance = timer.allowance()
        # In a task of its own: the end of a cancelled call must not look like a cancellation of the
        # caller, and waiting with a time limit must not swallow one.
        task = asyncio.ensure_future(work)
        try:
            if life is None:
                await asyncio.wait({task}, timeout=allowance)
            else:
                await life.wait(task, within=allowance)
        finally:
            silent = not task.done()
            task.cancel()
        if silent:
            raise self._stalled(allowance)
        if task.cancelled():
            raise to_exception(self.model, await call.details() or "", grpc.StatusCode.CANCELLED)
        return task.result()

    def _stalled(self, seconds: float) -> ModelDown:
        metrics.MODEL_STALLS.labels(self.model).inc()
        return ModelDown(
            f"no sign of life from {self.model} for {seconds:.3g} s; try again in a moment", model=self.model
        )


def _question_for_facts() -> Tensors:
    # New numbers make it a new request: Triton's cache would answer an old one after a reload.
    return {"ask": text("facts"), "known": np.random.default_rng().random(4, np.float32)}


async def _in_thread_if_large(size: int, work: Callable[[], T]) -> T:
    """Packs or unpacks so many bytes: in a thread if they are many, else right here, which is faster."""
    return await asyncio.to_thread(work) if size > _LARGE else work()


class _Call:
    """Counts a call to an endpoint, its duration and its failure, and reports an endpoint that is down."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._open = metrics.MODEL_REQUESTS_OPEN.labels(endpoint.model, endpoint.url)

    def __enter__(self) -> _Call:
        metrics.MODEL_CALLS.labels(self._endpoint.model).inc()
        self._open.inc()
        self._began = time.monotonic()
        return self

    def fail(self, error: IntarsiaError) -> None:
        metrics.MODEL_ERRORS.labels(self._endpoint.model, error.reason).inc()
        if isinstance(error, ModelDown):
            self._endpoint.fail(error)

    def __exit__(self, *_: object) -> None:
        self._open.dec()
        metrics.MODEL_SECONDS.labels(self._endpoint.model).observe(time.monotonic() - self._began)
