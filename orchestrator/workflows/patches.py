"""Patches: what the model makes of a sheet, denoised and decoded; the same for edits and fills."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from canvas.layout import Sheet
from orchestrator.models.denoiser import Conditioning
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.picture_request import ResolvedRequest

# The share of each stage in the progress of an edit or a fill.
SHARES: Mapping[str, float] = {
    "segment": 0.08,
    "encode": 0.06,
    "denoise": 0.76,
    "decode": 0.05,
    "inlay": 0.05,
}


def total_sheets(resolved: ResolvedRequest, composition: Composition) -> int:
    """The number of sheets of all candidates."""
    return resolved.request.candidates * composition.sheets


def total_inlays(resolved: ResolvedRequest, composition: Composition) -> int:
    """The number of pieces of the stage *inlay*: every sheet is laid back, every candidate stored."""
    return resolved.request.candidates * (composition.sheets + 1)


async def make_patch(
    resolved: ResolvedRequest,
    composition: Composition,
    sheet: Sheet,
    conditioning: Conditioning,
    sampling: ResolvedSampling,
    at: Stages,
    *,
    previewed: bool,
) -> np.ndarray:
    """Denoises and decodes: the patch of a sheet (3, height, width), uint8 if the picture is, else float32 in
    [-1, 1]."""
    request, weights, of = resolved.request, resolved.weights, total_sheets(resolved, composition)
    with at.stage("denoise", of=of) as work:
        async with at.previews(composition.picture, sheet.working, weights.vae) as previews:
            latents = await at.denoiser(weights.model).denoise(
                conditioning,
                sampling,
                work,
                weights.denoiser,
                adapters=request.adapters,
                preview_every=request.preview_every,
                preview=previews.offer if previewed else None,
            )
    with at.stage("decode", of=of):
        eight_bits = composition.picture.pixels.dtype == np.uint8
        decode = at.vae.decode_pixels if eight_bits else at.vae.decode
        return await decode(latents, weights.vae)
