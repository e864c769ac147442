"""Connections to Triton servers: one gRPC channel each, shared by all models that are served there."""

from __future__ import annotations

import asyncio

import grpc
from tritonclient.grpc import service_pb2 as kserve

_CLOSE_SECONDS = 5.0
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # models are on the inner network; proxies lead out of it
    # A restarted Triton is found again within two seconds; gRPC's own default is to wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class Connection:
    """A channel to one Triton server, and its two calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._channel = grpc.aio.insecure_channel(url, options=_OPTIONS)
        # As bytes: gRPC would read and write messages on the event loop, where a large one holds up
        # everything else. The replies of streams are small.
        self.infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self.stream = self._channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=kserve.ModelStreamInferResponse.FromString,
        )

    async def close(self) -> None:
        """Closes the channel. Calls under way get a moment to end: a cancel may crash this Triton."""
        await self._channel.close(_CLOSE_SECONDS)


class Connections:
    """The connections of a process by address: opened for the first user of each, closed after the last."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self._users: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def acquire(self, url: str) -> Connection:
        """The connection to this address. Every user releases it once."""
        if url not in self._open:
            self._open[url] = Connection(url)
        self._users[url] = self._users.get(url, 0) + 1
        return self._open[url]

    def release(self, url: str) -> None:
        """Ends one use of the connection to this address."""
        self._users[url] -= 1
        if not self._users[url]:
            del self._users[url]
            task = asyncio.ensure_future(self._open.pop(url).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes all connections, and ends the calls that are under way."""
        for connection in self._open.values():
            await connection.close()
        await asyncio.gather(*self._closing)
