"""The step loop by itself, without Triton, and diffusers' own pipeline on the same network object."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.gpu.device import synchronise
from benchmarks.step_overhead import StepTimes
from benchmarks.step_sharing import RowsMeter, requests_of
from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle
from services.denoising.costs import measure
from services.denoising.engine import Engine, EngineLimits
from services.denoising.family import Request
from services.denoising.memory_budget import GRAPHS_SHARE, memory_for_work
from services.denoising.schedules import SCHEDULES, name_of
from services.ip2p_unet.family import InstructPix2Pix

GUIDANCE, PICTURE_GUIDANCE = 7.5, 1.5


class StepLoop:
    """An engine on a device, as the served model has it.

    `compiled`: rows and work of the pass that the network is compiled for, and the folder for compiled code.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        price_seconds: float,
        compiled: tuple[int, int, Path] | None = None,
    ) -> None:
        self.device = device
        self.family = family = InstructPix2Pix(bundle, device, bundle.number_type(device))
        if compiled is not None:
            rows, work, cache = compiled
            family.passes.compile(lambda: _predict(family, rows, work), cache)
        self.meter = RowsMeter()
        memory = memory_for_work(device)
        graphs = int(memory * GRAPHS_SHARE)
        self.family.passes.limit(graphs)
        self._engine = Engine(
            self.family,
            measure(self.family, self.family.works(), budget_bytes=memory, seconds=price_seconds),
            EngineLimits(memory=memory, graphs=graphs),
            self.meter,
            AdapterCache(self.family.network, budget_bytes=0),
            self.family.passes,
        )

    def path(self) -> str:
        """How passes are run; with the reason if a faster way was not possible."""
        facts = self.family.passes.facts()
        return ", ".join(str(facts[name]) for name in ("path", "failure", "not_compiled") if name in facts)

    def requests(self, side: int, count: int, steps: int, tokens: int) -> list[Request]:
        """Edits of square latents with three branches each."""
        return requests_of(self.family, side, count, steps, seed=7, tokens=tokens)

    def denoise(self, requests: list[Request]) -> list[StepTimes]:
        """Takes all steps of all requests; returns the times of each one's steps."""
        told = [StepTimes() for _ in requests]
        for request, times in zip(requests, told, strict=True):
            self._engine.admit(request, times)
        while self._engine.step():
            pass
        synchronise(self.device)
        return told

    def seconds(self, requests: list[Request]) -> float:
        """Seconds from admission to the last latents."""
        started = time.perf_counter()
        self.denoise(requests)
        return time.perf_counter() - started


class BarePipeline:
    """diffusers' InstructPix2Pix pipeline for latents and embeddings, without encoders and decoder.

    With the name of a `compiler`, a backend of torch.compile, it uses the network through that, compiled for
    each size.
    """

    def __init__(self, bundle: Bundle, network: Any, compiler: str = "") -> None:
        self._weight = next(network.parameters())
        if compiler:
            network = torch.compile(network, backend=compiler, dynamic=False)
        config = bundle.scheduler_config()
        kind: Any = SCHEDULES[name_of(config)].scheduler
        # Of the autoencoder only the config is used, so it needs no weights that mean anything.
        vae = bundle.network("vae", device=self._weight.device, dtype=self._weight.dtype)
        self._pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            unet=network,
            scheduler=kind.from_config(config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self._pipeline.set_progress_bar_config(disable=True)

    def seconds(self, side: int, count: int, steps: int, tokens: int) -> float:
        """Seconds of all steps of one batch."""
        device, dtype = self._weight.device, self._weight.dtype
        unet: Any = self._pipeline.unet
        rng = torch.Generator().manual_seed(7)
        image = torch.randn(count, 4, side, side, generator=rng).to(device, dtype)
        text = torch.randn(count, tokens, unet.config.cross_attention_dim, generator=rng).to(device, dtype)
        synchronise(device)
        started = time.perf_counter()
        self._pipeline(
            image=image,
            prompt_embeds=text,
            negative_prompt_embeds=torch.zeros_like(text),
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            image_guidance_scale=PICTURE_GUIDANCE,
            generator=torch.Generator().manual_seed(7),
            output_type="latent",
        )
        synchronise(device)
        return time.perf_counter() - started


def _predict(family: InstructPix2Pix, rows: int, work: int) -> None:
    family.predict(family.sample(rows, work))
