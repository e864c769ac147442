"""What happens around every rpc of ours, in one place: errors become statuses, calls are counted, logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from orchestrator import logs, metrics
from orchestrator.aio import wait_event
from orchestrator.api.malformed import forgiving, readable
from orchestrator.api.status import code_of, status_of

log = logging.getLogger(__name__)

_OURS = "/intarsia."


class Calls(grpc.aio.ServerInterceptor):
    """Wraps every handler. Health and reflection speak for themselves and are left alone."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    async def silence(self, seconds: float, *, within: float) -> None:
        """Returns when no call came for `seconds`, after `within` at most."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            self._came.clear()
            if not await wait_event(self._came, within=min(seconds, left)):
                return

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        self._came.set()
        for kind, wrap in (
            ("unary_unary", _answering),
            ("stream_unary", _answering),
            ("unary_stream", _streaming),
            ("stream_stream", _streaming),
        ):
            inner = getattr(handler, kind)
            if inner is not None:
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                return make(
                    wrap(method.rpartition("/")[2], inner),
                    forgiving(handler.request_deserializer),
                    handler.response_serializer,
                )
        return handler


def _answering(
    method: str, inner: Callable[[Any, Any], Awaitable[Any]]
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        with _Watched(method) as watched:
            try:
                return await inner(readable(request), context)
            except Exception as error:  # every fault becomes a status
                await watched.refuse(error, context)

    return call


def _streaming(method: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        with _Watched(method) as watched:
            try:
                async with aclosing(inner(readable(request), context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:  # every fault becomes a status
                await watched.refuse(error, context)

    return call


class _Watched:
    """One call: how long it took and how it ended."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._status = grpc.StatusCode.OK
        self._facts: dict[str, object] = {}

    def __enter__(self) -> _Watched:
        self._began = time.monotonic()
        metrics.RPCS_OPEN.labels(self._method).inc()
        return self

    async def refuse(self, error: Exception, context: grpc.aio.ServicerContext) -> NoReturn:
        """Ends the call with the status of an exception."""
        refusal = logs.presentable(error)
        self._status = code_of(refusal)
        self._facts = {"reason": refusal.reason, "why": refusal.message}
        status = status_of(refusal)
        trailers = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(self._status, status.message, trailers)
        raise AssertionError("abort always raises")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._status is grpc.StatusCode.OK:
            self._status = grpc.StatusCode.CANCELLED  # the client left, or its deadline passed
        took = time.monotonic() - self._began
        metrics.RPCS_OPEN.labels(self._method).dec()
        metrics.RPCS.labels(self._method, self._status.name).inc()
        metrics.RPC_SECONDS.labels(self._method).observe(took)
        facts = {"rpc": self._method, "status": self._status.name, "seconds": round(took, 4), **self._facts}
        log.info("answered", extra={"facts": facts})
