"""The client of a denoiser: requests to a model by names, as tensors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import numpy as np
import pytest

from intarsia.errors import ModelDown
from orchestrator.deadline import Deadline
from orchestrator.models.adapters import AdapterRef, AdapterUploads
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient
from orchestrator.models.denoiser import Denoiser, EditConditioning
from orchestrator.models.registry import MODELS
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from store.disk import DiskStore
from tests.orchestrator.doubles.triton import Triton

MODEL = "ip2p_unet"


@pytest.fixture
async def tritons() -> AsyncIterator[list[Triton]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Triton()) for _ in range(2)]


@pytest.fixture
async def denoiser(
    tritons: list[Triton], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Denoiser]:
    models = Models({MODEL: [triton.url for triton in tritons]}, StallLimits(), decoupled=(MODEL,))
    client = ModelClient(models[MODEL], ModelQueue(WaitLimits()), fields=MODELS[MODEL].fields)
    run = Run(Deadline.after(50))
    store = DiskStore(tmp_path_factory.mktemp("store"))
    yield Denoiser(client, run, AdapterUploads(client, run, store))
    await models.close()


def sampling(**guidance: float) -> ResolvedSampling:
    return ResolvedSampling(seed=1, steps=2, guidance=guidance, scheduler="ddim", reproducible=False)


async def test_guidance_has_the_order_of_the_model(denoiser: Denoiser, tritons: list[Triton]) -> None:
    """Also after a store has sorted the names in a request."""
    words = np.zeros((4, 8), np.float32)
    conditioning = EditConditioning(np.ones((4, 8, 8), np.float32), words, words)
    for named in ({"text": 7.5, "picture": 1.5}, {"picture": 1.5, "text": 7.5}):
        with denoiser.run.stage("denoise") as work:
            await denoiser.denoise(conditioning, sampling(**named), work, WeightsRef("d0" * 32))
    sent = [request["guidance"].tolist() for triton in tritons for request in triton.ip2p_unet.requests]
    assert sent == [[7.5, 1.5], [7.5, 1.5]]


async def test_of_many_requests_at_once_one_uploads_an_adapter_to_each_endpoint(
    denoiser: Denoiser, tritons: list[Triton]
) -> None:
    """Of runs that know nothing of each other; also after the model was loaded anew without our notice."""
    words = np.zeros((4, 8), np.float32)
    conditioning = EditConditioning(np.ones((4, 8, 8), np.float32), words, words)
    styles = [b"one style", b"another"]
    adapters = [
        AdapterRef((await denoiser.adapters.store.put_bytes(style, "application/octet-stream")).name)
        for style in styles
    ]

    async def one() -> None:
        run = Run(Deadline.after(50))
        own = Denoiser(denoiser.client, run, AdapterUploads(denoiser.client, run, denoiser.adapters.store))
        with run.stage("denoise") as work:
            await own.denoise(
                conditioning,
                sampling(text=7.5, picture=1.5),
                work,
                WeightsRef("d0" * 32),
                adapters=adapters,
            )

    for _ in range(2):
        for triton in tritons:
            triton.ip2p_unet.adapters.clear()
            triton.ip2p_unet.uploads.clear()
            triton.ip2p_unet.requests_before_uploads = len(triton.ip2p_unet.requests) + 4
        await asyncio.gather(*(one() for _ in range(8)))
        assert [sorted(triton.ip2p_unet.uploads) for triton in tritons] == [sorted(styles)] * 2


async def test_the_cost_is_that_of_the_pinned_weights(denoiser: Denoiser, tritons: list[Triton]) -> None:
    one, two = tritons
    one.ip2p_unet.weights, two.ip2p_unet.weights = "aa" * 32, "bb" * 32
    two.ip2p_unet.seconds = 100.0
    for digest, least in (("aa" * 32, 0.0), ("bb" * 32, 100.0)):
        for _ in range(3):
            cost = await denoiser.cost(
                [(8, 8)],
                sampling(text=7.5, picture=1.5),
                WeightsRef(digest),
                equal_prompts=False,
                candidates=1,
            )
            assert (cost.seconds >= 100.0) == (least > 0)
    with pytest.raises(ModelDown, match="other weights after this request was accepted"):
        await denoiser.cost(
            [(8, 8)], sampling(text=7.5), WeightsRef("cc" * 32), equal_prompts=False, candidates=1
        )
