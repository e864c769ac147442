"""The memory of jobs: the most bytes that one holds at any moment.

They are known from a request and the headers of its files before the job starts, and are lower once its
regions are found. Figures are in bytes for each pixel and count what the stages of a recipe hold at a time:
arrays of pixels, masks and opacities, and what codecs and the clients of models need beside them. The cache
of pictures has a limit of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from canvas.crop import LEAST_SIDE
from canvas.layout import LARGEST_SIDE, Cut, Layout
from intarsia.errors import InvalidRequest
from orchestrator.media.picture.header import PictureHeader
from orchestrator.runs.needs import Needs
from orchestrator.stages.factory import Stages
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.picture_request import PictureRequest, ResolvedRequest
from orchestrator.workflows.selection import AT_ONCE, FieldRegion
from orchestrator.workflows.selection_memory import MASK, SENT, STORED, mask_headers, selection_bytes
from orchestrator.workflows.storage_memory import shared_bytes, storage_bytes

# The candidates of a job need no more bytes than this at a time, unless a single one does.
_CANDIDATES_BYTES = 1 << 30

# Of every job: texts, latents, messages.
_FIXED = 8 << 20
# Of each core that compresses: a strip, filtered in two ways, and its neighbours.
_CORE = 2 << 20

# Softening a mask is done in tiles, with halos, of at most so many pixels.
_FEATHERED, _TILE = 40, 2200**2

# The file of a region's mask, if it does not get smaller by compression.
_MASK_FILE = 1

# A sheet: as the model sees it, as it draws it, and both on their way; a preview beside it.
_SHEET, _PREVIEW = 84, 60
# Cutting a piece out and laying it back, done for one candidate at a time; matching its colours first,
# or closing its seam.
_LAID, _MATCHED = 24, 110
# Of a clip: frames in the decoder; frames that are searched, written or sent ahead, some of them; those that
# wait in the encoders, an overlay's too.
_DECODER_FRAMES, _WORK_FRAMES, _ENCODER_FRAMES = 32 * 3, 64, 8
_OVERLAY_FRAMES = 60 * 2 + 70


async def picture_needs(resolved: ResolvedRequest, targets: Sequence[FieldRegion], at: Stages) -> Needs:
    """What an edit or a fill of these regions takes; its candidates are requests of their own.

    Files that cannot be read take no memory: the job will say why.
    """
    return Needs(await _picture_memory(resolved, targets, at), resolved.request.candidates)


async def _picture_memory(resolved: ResolvedRequest, targets: Sequence[FieldRegion], at: Stages) -> int:
    request = resolved.request
    try:
        header = await at.pictures.header(request.picture)
        masks = await mask_headers(targets, at)
    except InvalidRequest:
        return _FIXED
    weights, longer = resolved.weights, max(header.width, header.height)
    side = _largest_side(request.cut, max((weights.size, *weights.sizes)), longer)
    sheet = (side + weights.multiple) ** 2
    finding = sorted(selection_bytes(target.region, header, masks) for target in targets)[-AT_ONCE:]
    found = len(targets) * (MASK + _MASK_FILE) * header.pixels
    segment = found + sum(finding) + SENT * header.pixels
    soften = found + MASK * header.pixels + _FEATHERED * min(header.pixels, _TILE)
    draw = _drawing_bytes(request, header, len(targets), header.pixels, sheet)
    draw += len(targets) * _MASK_FILE * header.pixels
    return _common(header) + max(header.decoding, segment, soften, draw)


def memory_after_segment(request: PictureRequest, composition: Composition) -> int:
    """The bytes that an edit or a fill needs at most once its regions are found."""
    picture = composition.picture
    header = PictureHeader(picture.width, picture.height, picture.pixels.itemsize, 0, picture.format)
    box, sheet = composition.window, composition.largest_sheet
    draw = _drawing_bytes(request, header, len(composition.plans), box.width * box.height, sheet)
    return _common(header) + draw + sum(len(plan.mask_file) for plan in composition.plans)


async def clip_memory(clip: str, targets: Sequence[FieldRegion], *, overlay: bool, at: Stages) -> int:
    """The bytes that tracking through a clip needs at most, as far as the clip announces the size of its
    frames."""
    try:
        pixels = await at.clips.announced_pixels(clip)
        masks = await mask_headers(targets, at)
    except InvalidRequest:
        return _FIXED
    frame = PictureHeader(pixels, 1, 1, 0, "PNG")
    finding = max(selection_bytes(target.region, frame, masks) for target in targets) + SENT * pixels
    frames = _DECODER_FRAMES + _WORK_FRAMES + _ENCODER_FRAMES + _OVERLAY_FRAMES * overlay
    return _FIXED + finding + frames * pixels


def candidates_at_once(request: PictureRequest, composition: Composition) -> int:
    """How many candidates of a job may be in memory at a time."""
    levels, box = composition.picture.pixels.itemsize, composition.window
    return _at_once(_candidate_bytes(request, levels, box.width * box.height, composition.largest_sheet))


def _common(header: PictureHeader) -> int:
    """What is held all the time: the picture, and strips that are being compressed."""
    strips = min(24 * header.levels * header.pixels, _CORE * len(os.sched_getaffinity(0)))
    return _FIXED + header.nbytes + strips


def _drawing_bytes(
    request: PictureRequest, header: PictureHeader, regions: int, window: int, sheet: int
) -> int:
    """Candidates are drawn while one is stored; then come the files that they share."""
    output, levels, pixels = request.output, header.levels, header.pixels
    lay = _LAID + 9 * levels + _MATCHED * (request.match_colours or request.closes_seams)
    candidate = _candidate_bytes(request, levels, window, sheet)
    at_once = min(request.candidates, _at_once(candidate))
    draw = at_once * candidate + lay * window + storage_bytes(output, header)
    # Beside the mask of all regions.
    share = (2 * MASK + STORED) * pixels + shared_bytes(output, header)
    return regions * MASK * (pixels + window) + max(draw, share)


def _candidate_bytes(request: PictureRequest, levels: int, window: int, sheet: int) -> int:
    """The window of a candidate, that of its region's draft, what is missing in it, and a piece's opacity."""
    return (6 * levels + 1 + MASK) * window + (_SHEET + _PREVIEW * bool(request.preview_every)) * sheet


def _at_once(candidate: int) -> int:
    return max(1, _CANDIDATES_BYTES // candidate)


def _largest_side(cut: Cut, size: int, longer: int) -> int:
    """The longer side of a sheet, in pixels, before it is padded."""
    side = max(cut.working_size or size, LEAST_SIDE)
    keeps = cut.layout in (Layout.KEEP, Layout.TILES)
    return max(side, min(longer, LARGEST_SIDE)) if keeps else side
