"""`intarsia.v1.Adapters`."""

from __future__ import annotations

import grpc

from intarsia.errors import InvalidRequest
from intarsia.v1 import adapters_pb2 as pb
from intarsia.v1 import adapters_pb2_grpc as rpc
from orchestrator.api import fields, to_proto
from orchestrator.api.caller import caller_of
from orchestrator.api.immediate import ImmediateCalls
from orchestrator.api.stores import Stores
from orchestrator.models.registry import denoisers


class Adapters(rpc.AdaptersServicer):
    """Holds adapters against models."""

    def __init__(self, immediate: ImmediateCalls, stores: Stores) -> None:
        self._immediate, self._stores = immediate, stores

    async def InspectAdapter(
        self, request: pb.InspectAdapterRequest, context: grpc.aio.ServicerContext
    ) -> pb.InspectAdapterResponse:
        caller = caller_of(context)
        name = fields.artifact(request.adapter, "adapter")
        if request.model not in denoisers():
            raise InvalidRequest(
                f"model must be {' or '.join(denoisers())}, not {request.model[:100]!r}", field="model"
            )
        await self._stores.of(caller).use(name)
        report = await self._immediate.run(
            caller,
            context,
            lambda at: at.denoiser(request.model).upload_adapter(name, "adapter"),
            what="the adapter was not inspected",
        )
        return to_proto.inspect_adapter_response(report)
