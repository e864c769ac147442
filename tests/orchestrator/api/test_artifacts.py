"""The rpcs that list, pin and delete artifacts, in front of a retention that keeps them in a dictionary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest

from intarsia import status
from intarsia.errors import InvalidRequest, NotFound, NotReady
from intarsia.v1 import artifacts_pb2 as pb
from intarsia.v1 import artifacts_pb2_grpc as rpc
from orchestrator.api.artifacts import Artifacts
from orchestrator.api.interceptor import CallInterceptor
from orchestrator.api.stores import Stores
from orchestrator.api.uploads import UploadLimits, Uploads
from store.artifact import Artifact, Origin
from store.disk import DiskStore
from tests.orchestrator.doubles.retention import DictionaryRetention

Ask = Callable[[str, Any], Awaitable[Any]]

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
NAMES = [f"artifacts/{n:064x}" for n in range(5)]


@pytest.fixture
def retention() -> DictionaryRetention:
    expires = NOW + timedelta(days=30)
    return DictionaryRetention(
        *(Artifact(name, 7, "image/png", NOW, NOW, Origin.RESULT, expires=expires) for name in NAMES)
    )


@pytest.fixture
async def ask(retention: DictionaryRetention, tmp_path: Path) -> AsyncIterator[Ask]:
    """Sends a request to a method of `intarsia.v1.Artifacts`."""
    server = grpc.aio.server(interceptors=(CallInterceptor(),))
    rpc.add_ArtifactsServicer_to_server(
        Artifacts(Stores(DiskStore(tmp_path), retention), Uploads(UploadLimits())), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = rpc.ArtifactsStub(channel)

        async def send(method: str, request: Any) -> Any:
            try:
                return await getattr(stub, method)(request)
            except grpc.aio.AioRpcError as error:
                raise status.from_rpc_error(error, "the server") from error

        yield send
    await server.stop(None)


async def test_artifacts_are_listed_page_by_page(ask: Ask) -> None:
    found, token = [], ""
    for size in (2, 2, 1):
        page = await ask("ListArtifacts", pb.ListArtifactsRequest(page_size=2, page_token=token))
        assert len(page.artifacts) == size
        found += [artifact.name for artifact in page.artifacts]
        token = page.next_page_token
    assert found == NAMES and token == ""
    (first,) = (await ask("ListArtifacts", pb.ListArtifactsRequest(page_size=1))).artifacts
    assert (first.origin, first.pinned) == (pb.Artifact.ORIGIN_RESULT, False)
    assert first.expire_time.ToDatetime(tzinfo=timezone.utc) == NOW + timedelta(days=30)


async def test_a_pinned_artifact_stays_until_it_is_unpinned(ask: Ask) -> None:
    pinned = await ask("PinArtifact", pb.PinArtifactRequest(name=NAMES[3]))
    assert pinned.pinned and not pinned.HasField("expire_time")
    listed = await ask("ListArtifacts", pb.ListArtifactsRequest(pinned=True))
    assert [artifact.name for artifact in listed.artifacts] == [NAMES[3]]
    with pytest.raises(NotReady):
        await ask("DeleteArtifact", pb.DeleteArtifactRequest(name=NAMES[3]))
    assert not (await ask("UnpinArtifact", pb.UnpinArtifactRequest(name=NAMES[3]))).pinned
    await ask("DeleteArtifact", pb.DeleteArtifactRequest(name=NAMES[3]))
    listed = await ask("ListArtifacts", pb.ListArtifactsRequest())
    assert [artifact.name for artifact in listed.artifacts] == [*NAMES[:3], NAMES[4]]


@pytest.mark.parametrize("method", ["Get", "Pin", "Unpin", "Delete"])
async def test_names_are_checked_before_they_are_looked_up(ask: Ask, method: str) -> None:
    request = getattr(pb, f"{method}ArtifactRequest")
    with pytest.raises(InvalidRequest) as caught:
        await ask(f"{method}Artifact", request(name="artifacts/../9f"))
    assert caught.value.field == "name"
    with pytest.raises(NotFound):
        await ask(f"{method}Artifact", request(name=f"artifacts/{'f' * 64}"))


@pytest.mark.parametrize("size", [-1, 1001])
async def test_wrong_lists_are_refused(ask: Ask, size: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await ask("ListArtifacts", pb.ListArtifactsRequest(page_size=size))
    assert caught.value.field == "page_size"
