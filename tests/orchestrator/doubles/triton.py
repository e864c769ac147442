"""A Triton in this process: the real protocol, with models that are a few lines of numpy.

Models are held at any step and released by events, so tests wait for what happens, not for time to pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from tritonclient.grpc import service_pb2 as kserve
from tritonclient.grpc import service_pb2_grpc as kserve_grpc

from orchestrator.triton import tensors
from orchestrator.triton.tensors import Tensors, from_text
from tests.orchestrator.doubles.denoiser import Denoiser, Filler
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.sam import Sam
from tests.orchestrator.doubles.text_encoder import TextEncoder
from tests.orchestrator.doubles.vae import Vae


class Triton(kserve_grpc.GRPCInferenceServiceServicer):
    """Serves the five models."""

    def __init__(self) -> None:
        self.sam, self.text_encoder, self.vae, self.ip2p_unet = Sam(), TextEncoder(), Vae(), Denoiser()
        self.sd2_inpaint = Filler()
        self.limits: list[int] = []  # the time limits that requests came with, in microseconds
        self.queries = 0  # questions about facts
        self.broken: dict[str, Refused] = {}  # models that refuse whatever they are asked
        self.ends_badly = False  # streams break after their last reply
        self.may_end = asyncio.Event()  # calls that are just completing end only then
        self.may_end.set()
        self.completing = asyncio.Event()
        self.cancelled_at_the_end = asyncio.Event()  # a cancel met a call that was just completing
        self._server = grpc.aio.server(
            options=(("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        )
        kserve_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Triton:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self._server.stop(0)

    async def ModelInfer(
        self, request: kserve.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> kserve.ModelInferResponse:
        try:
            answer = await anext(self._answers(request))
        except Refused as refused:
            await context.abort(refused.code, refused.words)
            raise
        await self._complete()
        return answer

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[kserve.ModelInferRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[kserve.ModelStreamInferResponse]:
        async for request in request_iterator:
            try:
                async for answer in self._answers(request):
                    yield kserve.ModelStreamInferResponse(infer_response=answer)
                last = kserve.ModelInferResponse(model_name=request.model_name)
                last.parameters["triton_final_response"].bool_param = True
                yield kserve.ModelStreamInferResponse(infer_response=last)
            except Refused as refused:
                if refused.code is grpc.StatusCode.UNAVAILABLE:  # the server itself, not a model of its
                    await context.abort(refused.code, refused.words)
                yield kserve.ModelStreamInferResponse(error_message=refused.words)
        await self._complete()
        if self.ends_badly:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    async def _complete(self) -> None:
        self.completing.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled_at_the_end.set()
            raise

    async def _answers(self, request: kserve.ModelInferRequest) -> AsyncIterator[kserve.ModelInferResponse]:
        if request.parameters["timeout"].int64_param:
            self.limits.append(request.parameters["timeout"].int64_param)
        if request.model_name in self.broken:
            raise self.broken[request.model_name]
        inputs = _inputs(request)
        self.queries += "ask" in inputs and from_text(inputs["ask"]) == "facts"
        async for outputs in getattr(self, request.model_name).answer(inputs):
            yield _response(request.model_name, outputs)


def _inputs(request: kserve.ModelInferRequest) -> Tensors:
    as_answer = kserve.ModelInferResponse(model_name=request.model_name)
    for tensor in request.inputs:
        as_answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    as_answer.raw_output_contents.extend(request.raw_input_contents)
    return tensors.answer(as_answer)


def _response(model: str, outputs: Tensors) -> kserve.ModelInferResponse:
    as_request = tensors.request(model, outputs)
    response = kserve.ModelInferResponse(model_name=model)
    for tensor in as_request.inputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    response.raw_output_contents.extend(as_request.raw_input_contents)
    return response
