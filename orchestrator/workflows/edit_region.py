"""Editing a region by instruction, leaving every other pixel as it was."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace

from intarsia.canvas.box import PixelBox
from intarsia.canvas.crop import crop_around, working_size
from intarsia.canvas.feather import feather
from intarsia.canvas.inlay import inlay
from intarsia.canvas.patch import cut, restore
from intarsia.errors import InvalidRequest
from orchestrator.stages.denoise import Noise, Weights
from orchestrator.stages.text_encoder import Embedding
from orchestrator.stages.together import together
from orchestrator.stages.workshop import Stages
from orchestrator.workflows.segment_region import Instance, Place, keep, select

FAMILY = "ip2p"


@dataclass(frozen=True)
class Sampling:
    """How the model is run; None leaves the choice to the server."""

    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    picture_guidance: float | None = None
    scheduler: str | None = None
    reproducible: bool = False


@dataclass(frozen=True)
class Cut:
    """How the region is cut out. `context` is a share of the region's size, `working_size` in pixels."""

    context: float = 0.5
    working_size: int | None = None


@dataclass(frozen=True)
class Output:
    """How the result is written: as PNG, TIFF, WEBP or JPEG; None for the picture's own, if lossless."""

    format: str | None = None
    quality: int = 95


@dataclass(frozen=True)
class EditRegion:
    """What to change, where."""

    picture: str
    place: Place
    instruction: str
    negative_instruction: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    cut: Cut = field(default_factory=Cut)
    output: Output = field(default_factory=Output)
    preview_every: int = 0


@dataclass(frozen=True)
class Manifest:
    """What was decided on the way, and what it cost."""

    noise: Noise
    crop: PixelBox
    working_width: int
    working_height: int
    stage_seconds: dict[str, float]
    weights: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Edited:
    """Where the results are kept, and how they came about."""

    picture: str
    mask: str
    region: Instance
    manifest: Manifest


async def edit_region(request: EditRegion, at: Stages) -> Edited:
    """Cut the region out, edit it by instruction, lay it back."""
    weights = await at.ip2p_unet.weights()
    noise = _decided(request.sampling, weights)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)

    with at.stage("segment"):
        # The candidates are as large as the picture, and of no more use.
        selection = replace(await select(picture, request.place, at), candidates=())
        region = await keep(selection.mask, selection.score, at)
        crop = await asyncio.to_thread(crop_around, selection.mask, context=request.cut.context)
        working = working_size(
            crop,
            smallest=weights.size // 2,
            largest=weights.size,
            exact=request.cut.working_size,
            multiple=weights.multiple,
        )

    with at.stage("encode"):
        original = await asyncio.to_thread(cut, picture.pixels, crop, working)
        texts = (request.instruction, request.negative_instruction)
        source, (text, no_text) = await together(
            at.vae.encode(original, family=FAMILY),
            at.text_encoder.encode_each(texts, family=FAMILY),
        )
        used = {
            **selection.weights,
            "vae": await at.vae.weights(FAMILY),
            "text_encoder": await at.text_encoder.weights(FAMILY),
        }

    with at.stage("denoise"):
        async with at.previews(picture, working, family=FAMILY) as previews:
            denoised = await at.ip2p_unet.denoise(
                source,
                text.values,
                no_text.values,
                noise,
                preview_every=request.preview_every,
                preview=previews.offer,
            )

    with at.stage("decode"):
        edited = await at.vae.decode(denoised.latents, family=FAMILY)

    with at.stage("inlay"):
        patch = await asyncio.to_thread(restore, edited, crop, working, picture.pixels.dtype)
        alpha = await asyncio.to_thread(feather, selection.mask, selection.feather)
        pixels = await asyncio.to_thread(inlay, picture.pixels, patch, crop, alpha)
        kept, notes = await at.pictures.keep(picture, pixels, request.output.format, request.output.quality)

    return Edited(
        picture=kept.name,
        mask=region.mask,
        region=region,
        manifest=Manifest(
            noise=noise,
            crop=crop,
            working_width=working.width,
            working_height=working.height,
            stage_seconds=dict(at.run.times),
            weights={**used, "ip2p_unet": denoised.weights},
            notes=(*notes, *_dropped(text, no_text)),
        ),
    )


def _decided(asked: Sampling, weights: Weights) -> Noise:
    """What was left open is chosen by the weights, and the seed drawn."""
    scheduler = asked.scheduler or weights.scheduler
    if scheduler not in weights.schedulers:
        raise InvalidRequest(
            f"these weights are not run with {scheduler}; choose one of {', '.join(weights.schedulers)}",
            field="sampling.scheduler",
        )
    return Noise(
        seed=secrets.randbits(63) if asked.seed is None else asked.seed,
        steps=weights.steps if asked.steps is None else asked.steps,
        guidance=weights.guidance if asked.guidance is None else asked.guidance,
        picture_guidance=(
            weights.picture_guidance if asked.picture_guidance is None else asked.picture_guidance
        ),
        scheduler=scheduler,
        reproducible=asked.reproducible,
    )


def _dropped(text: Embedding, no_text: Embedding) -> list[str]:
    """Words the text encoder had no room for are said, not swallowed."""
    parts = (("instruction", text.dropped), ("negative instruction", no_text.dropped))
    return [f"the {name} was too long; its end was not read: “{words}”" for name, words in parts if words]
