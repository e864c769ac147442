"""The server of a denoiser around a real step loop, with Triton's side replaced."""

from __future__ import annotations

import torch

from services import json_text
from services.acceleration.passes import EagerPasses
from tests.services.backend import Request
from tests.services.denoising import doubles


class Denoiser:
    """Makes a request of a sketch, whatever tensors come."""

    inputs = ("steps",)

    def __init__(self, family: doubles.Sketch) -> None:
        self.network = family.network
        self.passes = EagerPasses(family.network)

    def request(self, tensors):
        return doubles.request(steps=int(tensors["steps"]), preview_every=3)

    def adapter(self, content):
        raise AssertionError("no adapter is sent here")

    def typical(self):
        return doubles.request()

    def works(self):
        return (16,)

    def facts(self):
        return {"weights": "of a sketch"}


def test_closing_delivers_the_replies_to_all_that_was_admitted(stub):
    from services.runtime.stream_server import StreamServer

    family = doubles.Sketch()
    server = StreamServer(Denoiser(family), doubles.engine(family))
    requests = [Request(steps=torch.tensor([steps])) for steps in (40, 5, 1)]
    server.admit(requests)
    server.close()
    for request, steps in zip(requests, (40, 5, 1), strict=True):
        replies = [response.tensors for response, _ in request.sender.sent]
        assert [reply["progress"].tolist() for reply in replies] == [[n, steps] for n in range(1, steps + 1)]
        shown = [n for n, reply in enumerate(replies, start=1) if "latents" in reply]
        assert shown == [*range(3, steps, 3), steps]
        assert [flags for _, flags in request.sender.sent] == [0] * (steps - 1) + [1]


def test_a_caller_that_has_gone_ends_its_request_before_the_next_step(stub):
    from services.runtime.stream_server import StreamServer

    leaves, asks, passes = Request(steps=torch.tensor([50])), Request(ask=json_text.to_tensor("facts")), []

    class Waits(doubles.Sketch):
        def predict(self, rows):
            passes.append(len(rows))
            assert asks.sender.over.wait(20)
            return super().predict(rows)

    family = Waits()
    server = StreamServer(Denoiser(family), doubles.engine(family))
    leaves.sender.cancelled = True
    server.admit([leaves])
    assert leaves.sender.asked.wait(20)
    server.admit([asks])  # is answered by the thread that was told so
    server.close()
    facts = json_text.from_tensor("facts", asks.sender.sent[-1][0].tensors["facts"])
    assert 0 < facts["uptime"] < 60
    response, flags = leaves.sender.sent[-1]
    assert response.error.code == stub.TritonError.CANCELLED and flags == 1
    assert len(passes) <= 1
    assert not leaves.sender.asked_too_late
