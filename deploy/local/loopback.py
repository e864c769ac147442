"""Talking to servers of this machine, past any proxy that is set for the rest of the world."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import InferenceServerClient, InferenceServerClientPlugin

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


# What a Triton of ours does only for those who send its key in this header. Whoever may load a model may run
# code of his own; anybody may infer, ask for health and read metadata.
RESTRICTED = ("shared-memory", "model-config", "model-repository", "statistics", "trace", "logging")
KEY_HEADER = "triton-grpc-protocol-intarsia-key"


def triton_client(url: str, key: str = "") -> InferenceServerClient:
    """A client of the Triton beside us; `key` is the one it was started with, for what is restricted."""
    client = InferenceServerClient(url, channel_args=list(OPTIONS))
    if key:
        client.register_plugin(_KeySender(key))
    return client


class _KeySender(InferenceServerClientPlugin):
    """Adds the key to every request."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> None:
        request.headers[KEY_HEADER] = self._key
