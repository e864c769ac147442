"""Talking to servers of this machine, past any proxy that is set for the rest of the world."""

from __future__ import annotations

from tritonclient.grpc import InferenceServerClient

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


def triton_client(url: str) -> InferenceServerClient:
    """A client of the Triton beside us."""
    return InferenceServerClient(url, channel_args=list(OPTIONS))
