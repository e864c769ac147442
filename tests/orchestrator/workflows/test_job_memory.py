"""What a job may need is never less than what it needs."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from canvas.layout import Cut, Layout
from canvas.region import (
    All,
    Box,
    Click,
    Clicks,
    Combination,
    MaskPicture,
    Operation,
    Polarity,
    Polygon,
    Region,
    Shaping,
    Term,
    Words,
)
from intarsia.errors import InvalidRequest
from orchestrator.deadline import Deadline
from orchestrator.jobs.latest_facts import LatestFacts
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.picture.png import write_png
from orchestrator.media.pictures import Pictures
from orchestrator.models.admission import WaitLimits
from orchestrator.models.registry import MODELS
from orchestrator.runs.run import Run
from orchestrator.stages.factory import StageFactory
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from orchestrator.workflows import edit_region, fill_region, track_region
from orchestrator.workflows.edit_region import Edit, EditRegion
from orchestrator.workflows.fill_region import FillRegion
from orchestrator.workflows.picture_request import Collage, Output
from orchestrator.workflows.recipes import RECIPES
from orchestrator.workflows.sampling import Sampling
from orchestrator.workflows.selection import FieldRegion
from orchestrator.workflows.sighting import Sighting
from orchestrator.workflows.track_region import TrackRegion
from store.disk import DiskStore
from tests.orchestrator.triton_process import triton_process
from tests.orchestrator.workflows.test_track_region import clip

SIZE = 256
VIEWS = ("overlay", "blank", "side_by_side", "layer")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with triton_process(SIZE) as url:
        yield url


@pytest.fixture
async def factory(url: str, tmp_path: Path) -> AsyncIterator[StageFactory]:
    """Stages whose pictures are not cached: every job holds its own."""
    decoupled = [name for name, spec in MODELS.items() if spec.decoupled]
    models = Models(dict.fromkeys(MODELS, (url,)), StallLimits(), decoupled=decoupled)
    pictures = Pictures(
        DiskStore(tmp_path / "artifacts"), PictureLimits(), PictureCache(0), DecodingBudget(1e10)
    )
    yield StageFactory(models, pictures, WaitLimits())
    await models.close()


def noise(width: int, height: int, channels: int, dtype: Any = np.uint8) -> np.ndarray:
    """Pixels that no codec makes smaller."""
    drawn = np.random.default_rng(7)
    return drawn.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def file(pixels: np.ndarray, format: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels, mode).save(data, format, **options)
    return data.getvalue()


def deep(width: int, height: int, channels: int) -> bytes:
    """A PNG of 16 bits."""
    return write_png(noise(width, height, channels, np.uint16))


WIDE = (800, 500)
PHOTO = file(noise(*WIDE, 3), "JPEG", quality=95)
MASK = file(noise(*WIDE, 3)[..., 0])
OBJECT = Region(Clicks((Click(400.0, 400.0),)))
EVERYTHING = Region(Box(0, 0, *WIDE, exact=True))
SHAPED = replace(OBJECT, shaping=Shaping(fill_holes=100, grow=9.0, shrink=5.0, invert=True, feather=40.0))
CORRECTED = replace(OBJECT, corrections=(Click(420.0, 380.0), Click(300.0, 300.0, outside=True)))
DRAWN = Region(MaskPicture("mask", Polarity.WHITE_INSIDE, threshold=0.4, fit=True))
OUTLINE = Region(Polygon(((5.0, 5.0), (790.0, 100.0), (400.0, 480.0))))
MANY = Region(Words("many", not_phrases=("others", "sky")), choice=All())
TERMS = tuple(Term(Operation.PLUS, one) for one in (SHAPED, CORRECTED, OUTLINE, EVERYTHING, DRAWN))
NESTED = Region(Combination((*TERMS, Term(Operation.WITHIN, Region(Combination(TERMS))))))


def edit(*regions: Region, **more: Any) -> EditRegion:
    edits = tuple(Edit(FieldRegion(region), f"make it {n}") for n, region in enumerate(regions))
    return EditRegion(picture="picture", edits=edits, sampling=Sampling(steps=2), **more)


def fill(region: Region, **more: Any) -> FillRegion:
    return FillRegion(picture="picture", target=FieldRegion(region), sampling=Sampling(steps=2), **more)


# Files of pictures, and what is done to them. Each group stresses another stage.
JOBS: dict[str, tuple[bytes, EditRegion | FillRegion]] = {
    "a small object": (PHOTO, edit(OBJECT)),
    "a tiny picture": (file(noise(9, 7, 3)), fill(Region(Box(2, 2, 5, 5, exact=True)))),
    "a narrow picture": (file(noise(3, 2000, 3)), edit(Region(Box(0, 9, 3, 900, exact=True)))),
    "rotated": (
        file(noise(*WIDE, 3), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        edit(OBJECT),
    ),
    "alpha": (file(noise(*WIDE, 4)), edit(OBJECT)),
    "a palette with a clear colour": (file(noise(*WIDE, 3)[..., 0] // 2, transparency=5), edit(OBJECT)),
    "sixteen bits": (deep(*WIDE, 3), edit(EVERYTHING, match_colours=True)),
    "sixteen bits with alpha": (deep(*WIDE, 4), edit(OBJECT, output=Output(views=VIEWS))),
    "floats": (file(noise(*WIDE, 3)[..., 0].astype(np.float32), "TIFF"), edit(OBJECT)),
    "WebP": (file(noise(*WIDE, 4), "WEBP", lossless=True, method=0), edit(OBJECT)),
    "CMYK": (file(noise(*WIDE, 4), "TIFF", mode="CMYK"), edit(OBJECT)),
    "shaped": (PHOTO, edit(SHAPED)),
    "corrected": (PHOTO, edit(CORRECTED)),
    "drawn": (PHOTO, fill(DRAWN, cut=Cut(layout=Layout.FIT))),
    "a combination": (PHOTO, edit(NESTED)),
    "many edits": (PHOTO, edit(*(SHAPED, CORRECTED, OUTLINE, EVERYTHING) * 3)),
    "candidates of everything": (PHOTO, edit(EVERYTHING, candidates=4, match_colours=True)),
    "candidates in tiles": (PHOTO, fill(OBJECT, candidates=6, match_colours=True)),
    "one large sheet": (PHOTO, edit(EVERYTHING, candidates=3, cut=Cut(layout=Layout.KEEP))),
    "enlarged, with previews": (
        PHOTO,
        edit(OBJECT, candidates=3, preview_every=1, cut=Cut(working_size=640)),
    ),
    **{
        f"as {format}": (PHOTO, edit(OBJECT, output=Output(format, views=VIEWS)))
        for format in ("PNG", "TIFF", "JPEG")
    },
    "a collage": (
        PHOTO,
        fill(EVERYTHING, candidates=2, output=Output(collage=Collage(captions=("a", "b", "c")))),
    ),
}


_MODULES: Mapping[type, Any] = {
    EditRegion: edit_region,
    FillRegion: fill_region,
    TrackRegion: track_region,
}


@dataclass
class Held:
    """The most memory that was held, before and after a job needed less, and what it said it needs."""

    bound: int = 0
    later: int = 0
    before: int = 0
    peaks: list[int] = field(default_factory=list)

    def shrink(self, memory: int) -> None:
        self.note()
        self.later = memory

    def note(self) -> None:
        self.peaks.append(tracemalloc.get_traced_memory()[1] - self.before)
        tracemalloc.reset_peak()


@pytest.mark.parametrize("name", JOBS)
async def test_an_edit_or_a_fill_needs_no_more_than_its_bound(name: str, factory: StageFactory) -> None:
    data, request = JOBS[name]
    held, result = await carried_out(factory, data, request)
    whole, rest = held.peaks
    assert len(result.candidates) == request.candidates
    assert whole <= held.bound and rest <= held.later <= held.bound


@pytest.mark.parametrize("overlay", [False, True])
async def test_a_track_needs_no_more_than_its_bound(overlay: bool, factory: StageFactory) -> None:
    frames = [noise(640, 480, 3) for _ in range(6)]
    sightings = tuple(Sighting(n, FieldRegion(region)) for n, region in ((0, SHAPED), (4, CORRECTED)))
    held, result = await carried_out(factory, clip(frames), TrackRegion("clip", sightings, overlay=overlay))
    assert result.frames == len(frames)
    (whole,) = held.peaks
    assert whole <= held.bound


async def test_what_regions_might_have_taken_is_given_back_once_they_are_found(factory: StageFactory) -> None:
    held, _ = await carried_out(factory, file(noise(300, 200, 3)), edit(MANY))
    whole, rest = held.peaks
    assert whole <= held.bound and rest <= held.later
    assert held.later < held.bound / 3


async def test_what_cannot_be_read_needs_nothing_and_fails_by_itself(factory: StageFactory) -> None:
    for request in (edit(OBJECT), TrackRegion("clip", (Sighting(0, FieldRegion(OBJECT)),))):
        with pytest.raises(InvalidRequest, match=r"not a (picture|clip)"):
            await carried_out(factory, b"neither one nor the other", request)


async def carried_out(
    factory: StageFactory, data: bytes, request: EditRegion | FillRegion | TrackRegion
) -> tuple[Held, Any]:
    """Carries out a job for a file with these bytes, and measures."""
    held = Held()
    at, recipe = factory.at(Run(Deadline(), shrunk=held.shrink)), RECIPES[type(request).__name__]
    stored = await at.pictures.store.put_bytes(data, "")
    mask = await at.pictures.store.put_bytes(MASK, "image/png")
    named = with_names(request, stored.name, mask.name)
    module = _MODULES[type(request)]
    named = module.resolve(named, await LatestFacts(factory).of(module.models(named)))
    needs = await recipe.needs(named, at)
    assert needs.requests == getattr(request, "candidates", 1)
    held.bound = needs.memory
    tracemalloc.start()
    try:
        held.before = tracemalloc.get_traced_memory()[0]
        result = await recipe.carry_out(named, at)
        held.note()
    finally:
        tracemalloc.stop()
    return held, result


def with_names(value: Any, file: str, mask: str) -> Any:
    """The request with the names of stored files."""
    if isinstance(value, MaskPicture):
        return replace(value, artifact=mask)
    if isinstance(value, EditRegion | FillRegion):
        value = replace(value, picture=file)
    if isinstance(value, TrackRegion):
        value = replace(value, clip=file)
    if isinstance(value, tuple):
        return tuple(with_names(one, file, mask) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {one.name: with_names(getattr(value, one.name), file, mask) for one in fields(value)}
        return replace(value, **changed)
    return value
