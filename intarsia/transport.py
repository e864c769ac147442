"""The two ways to talk to a server: asyncio, or blocking the caller's thread.

Everything above this module is written once, as coroutines over a `Transport`. Over an `AsyncioTransport`
they suspend as usual. Over a `BlockingTransport` no await ever suspends, so `intarsia.blocking` can run them
to their end in the caller's thread, without an event loop and without a second thread.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from grpc.experimental import ChannelOptions

from intarsia import errors, status
from intarsia.blocking import iterate, run
from intarsia.server_address import is_local

T = TypeVar("T")

# Messages are small (artifacts travel in chunks of 1 MiB), long lists of jobs are the largest.
# Pings tell a silent peer from a dead one; more often than every 5 minutes, a server hangs up.
OPTIONS = (
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", 8 << 20),
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

# The calling thread fetches its responses itself. With gRPC's default, a second thread, a Ctrl-C just before
# that thread runs leaves `close` waiting for ever.
BLOCKING_OPTIONS = ((ChannelOptions.SingleThreadedUnaryStream, 1),)
# Without this, gRPC would reach this machine itself through a proxy if the environment names one.
LOCAL_OPTIONS = (("grpc.enable_http_proxy", 0),)

Metadata = tuple[tuple[str, str], ...]


class Transport(Protocol):
    """A connection, and the few operations that differ between blocking and asyncio code."""

    @property
    def channel(self) -> Any:
        """A gRPC channel; connects by itself when it is first used."""

    async def unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        """One response to a request. Raises `IntarsiaError`."""

    async def client_stream(
        self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None
    ) -> Any:
        """One response to many requests. These must not raise: gRPC would hide the exception."""

    def server_stream(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """Many responses to a request. Closing the iterator cancels the call. Raises `IntarsiaError`."""

    async def sleep(self, seconds: float) -> None: ...

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """The result of something slow (disk, digests) that must not block the event loop."""

    def repeat(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Does `work` after every so many seconds, beside everything else; returns what ends that."""

    async def close(self) -> None: ...


class AsyncioTransport:
    """For use inside an event loop; the channel belongs to the loop of the first call."""

    def __init__(self, server: str, credentials: grpc.ChannelCredentials | None, metadata: Metadata) -> None:
        self._server, self._credentials, self._metadata = server, credentials, metadata

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        options = channel_options(self._server)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._server, options=options)
        return grpc.aio.secure_channel(self._server, self._credentials, options=options)

    async def unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise status.from_rpc_error(error, self._server) from error

    async def client_stream(
        self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None
    ) -> Any:
        return await self.unary(method, requests, timeout)

    async def server_stream(
        self, method: Any, request: Any, timeout: float | None
    ) -> AsyncGenerator[Any, None]:
        call = method(request, timeout=timeout, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise status.from_rpc_error(error, self._server) from error
        finally:
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(work, *args)

    def repeat(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                await work()

        repeating = asyncio.ensure_future(repeat())

        def end() -> None:
            repeating.cancel()

        return end

    async def close(self) -> None:
        if "channel" in self.__dict__:
            await self.channel.close()


class BlockingTransport:
    """For use in any thread; its coroutines never suspend."""

    def __init__(self, server: str, credentials: grpc.ChannelCredentials | None, metadata: Metadata) -> None:
        self._server, self._metadata = server, metadata
        options = (*channel_options(server), *BLOCKING_OPTIONS)
        if credentials is None:
            self.channel = grpc.insecure_channel(server, options=options)
        else:
            self.channel = grpc.secure_channel(server, credentials, options=options)

    async def unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise status.from_rpc_error(error, self._server) from error

    async def client_stream(
        self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None
    ) -> Any:
        return await self.unary(method, iterate(requests), timeout)

    async def server_stream(
        self, method: Any, request: Any, timeout: float | None
    ) -> AsyncGenerator[Any, None]:
        call = method(request, timeout=timeout, metadata=self._metadata)
        try:
            for response in call:
                yield response
        except grpc.RpcError as error:
            raise status.from_rpc_error(error, self._server) from error
        finally:
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return work(*args)

    def repeat(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        stop = threading.Event()

        def repeat() -> None:
            while not stop.wait(seconds):
                try:
                    run(work())
                except ValueError:  # of gRPC: the channel was closed between two of its calls
                    if not stop.is_set():
                        raise

        # It ends with the process: Python waits for no daemon.
        threading.Thread(target=repeat, name="intarsia leases", daemon=True).start()
        atexit.register(stop.set)

        def end() -> None:
            stop.set()
            atexit.unregister(stop.set)

        return end

    async def close(self) -> None:
        self.channel.close()


def credentials(tls: bool | str | Path | bytes) -> grpc.ChannelCredentials | None:
    """False: plain text. True: the well-known roots. A file, or its bytes: that root certificate (PEM)."""
    if tls is False:
        return None
    if tls is True:
        return grpc.ssl_channel_credentials()
    return grpc.ssl_channel_credentials(tls if isinstance(tls, bytes) else Path(tls).read_bytes())


def metadata(server: str, token: str | None, *, encrypted: bool) -> Metadata:
    """The headers of every call. A token is secret: it leaves this machine encrypted or not at all."""
    if token is None:
        return ()
    if not (encrypted or is_local(server)):
        raise errors.InvalidRequest(
            f"a token is not sent to {server} in plain text; set `tls`", field="token"
        )
    return (("authorization", f"Bearer {token}"),)


def channel_options(server: str) -> tuple[tuple[str, int], ...]:
    """The gRPC options of a channel to this server."""
    return (*OPTIONS, *LOCAL_OPTIONS) if is_local(server) else OPTIONS
