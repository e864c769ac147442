"""Pictures out of a real store and back into it."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from canvas.box import PixelBox
from canvas.collage import CollageRow, Spacing
from intarsia.errors import InternalError, NotFound
from orchestrator.media import pictures as stage
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.parameters import parameters_of
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.picture.png import strips_of
from orchestrator.media.pictures import Pictures
from store.disk import DiskStore
from tests.orchestrator.media.picture.files import SRGB, noise, saved, saved16


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(DiskStore(tmp_path), PictureLimits(), PictureCache(10_000_000), DecodingBudget(1e9))


async def put(pictures: Pictures, data: bytes) -> str:
    return (await pictures.store.put_bytes(data, "image/png")).name


async def levels(pictures: Pictures, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(await pictures.store.load(name))))


async def test_a_picture_is_decoded_once(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await put(pictures, saved(noise(20, 30, 3), "PNG"))
    first = await pictures.load(name)

    def decode(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(stage, "decode", decode)
    assert await pictures.load(name) is first
    with pytest.raises(NotFound):
        await pictures.load("artifacts/" + "0" * 64)


async def test_a_result_holds_its_parameters(pictures: Pictures) -> None:
    source = await pictures.load(await put(pictures, saved(noise(20, 30, 3), "PNG")))
    kept, _ = await pictures.keep(source, source.pixels, None, 95, parameters={"seed": 7})
    assert parameters_of(await pictures.store.load(kept.name)) == {"seed": 7}


async def test_views_and_collages_hold_their_parameters_too(pictures: Pictures) -> None:
    before = await pictures.load(await put(pictures, saved(noise(20, 30, 3), "PNG")))
    mask, told = np.ones((20, 30), np.float32), {"seed": 7, "words": "修复"}

    async def rows() -> AsyncIterator[CollageRow]:
        yield CollageRow(before.pixels, mask, before.pixels)

    kept = [
        await pictures.keep_view("overlay", before, mask=mask, parameters=told),
        await pictures.keep_collage(rows(), 1, Spacing(), parameters=told),
    ]
    assert [parameters_of(await pictures.store.load(one.name)) for one in kept] == [told] * 2


async def test_a_window_saves_work_and_alters_nothing(pictures: Pictures) -> None:
    source = await pictures.load(await put(pictures, saved(noise(900, 700, 3), "PNG")))
    pixels = source.pixels.copy()
    pixels[100:120, 30:40] = 0
    for _ in range(2):
        window = PixelBox(30, 100, 40, 120)
        kept, _ = await pictures.keep(source, pixels[window.window], None, 95, window=window)
        plain, _ = await pictures.keep(source, pixels, None, 95)
        assert kept.name == plain.name
    assert len(pictures.cache.strips(source)) == len(strips_of(900, 700 * 3)) - 1


async def test_views_are_files_in_the_colours_of_the_picture(pictures: Pictures) -> None:
    before = await pictures.load(await put(pictures, saved(noise(20, 30, 4), "PNG", icc_profile=SRGB)))
    mask = np.zeros((20, 30), np.float32)
    mask[5:9, 5:9] = 1
    after = before.pixels.copy()
    after[mask > 0] = 255 - after[mask > 0]
    kept = {
        "side_by_side": await pictures.keep_view("side_by_side", before, after=after),
        "layer": await pictures.keep_view("layer", before, after=after),
        "overlay": await pictures.keep_view("overlay", before, mask=mask),
        "blank": await pictures.keep_view("blank", before, mask=mask),
    }
    shown = {kind: await levels(pictures, artifact.name) for kind, artifact in kept.items()}
    assert {kind: sheet.shape for kind, sheet in shown.items()} == {
        "side_by_side": (20, 80, 3),
        "layer": (20, 30, 4),
        "overlay": (20, 30, 3),
        "blank": (20, 30, 3),
    }
    assert np.array_equal(shown["side_by_side"][:, 50:], after)
    assert (shown["blank"][5:9, 5:9] == 255).all()
    laid = np.where(shown["layer"][..., 3:] == 255, shown["layer"][..., :3], before.pixels)
    assert np.array_equal(laid, after)
    data = await pictures.store.load(kept["layer"].name)
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == SRGB


async def test_a_layer_of_sixteen_bits_is_exact(pictures: Pictures) -> None:
    before = await pictures.load(await put(pictures, saved16(noise(9, 11, 3, dtype=np.uint16), ".png")))
    after = before.pixels.copy()
    after[2:5, 3:9] += 1
    kept = await pictures.keep_view("layer", before, after=after)
    sheet = await pictures.load(kept.name)
    assert sheet.alpha is not None and set(np.unique(sheet.alpha)) == {0, 65535}
    laid = np.where(sheet.alpha[..., None] > 0, sheet.pixels, before.pixels)
    assert np.array_equal(laid, after)


async def collage(
    pictures: Pictures, rows: int, height: int, width: int, announced: int | None = None, **facts: object
) -> str:
    original, mask = noise(height, width, 3), np.zeros((height, width), np.float32)
    captions = facts.pop("captions", ())

    async def each() -> AsyncIterator[CollageRow]:
        for n in range(rows):
            filled = tuple(text.replace("{seed}", str(n)) for text in captions)
            yield CollageRow(original, mask, noise(height, width, 3, seed=n + 1), filled)

    kept = await pictures.keep_collage(each(), announced or rows, Spacing(), **facts)
    return kept.name


@pytest.mark.parametrize("rows", [1, 4])
async def test_a_collage_is_a_file(pictures: Pictures, rows: int) -> None:
    sheet = await levels(pictures, await collage(pictures, rows, 301, 57))
    assert sheet.shape == (rows * 301 + (rows - 1) * 20, 3 * 57 + 40, 3)
    for n in range(rows):
        top = n * 321
        assert np.array_equal(sheet[top : top + 301, :57], noise(301, 57, 3))
        assert np.array_equal(sheet[top : top + 301, -57:], noise(301, 57, 3, seed=n + 1))
    assert (sheet[:, 57:77] == 255).all() and (sheet[:, 134:154] == 255).all()


async def test_captions_stand_below_every_row(pictures: Pictures) -> None:
    name = await collage(pictures, 3, 100, 200, captions=("原图", "planned", "seed {seed}"), icc=SRGB)
    sheet = await levels(pictures, name)
    assert sheet.shape == (3 * 134 + 40, 640, 3)
    strips = [sheet[n * 154 + 100 : n * 154 + 134] for n in range(3)]
    for strip in strips:
        assert (strip[:, :200] < 128).any() and (strip[:, 200:220] == 255).all()
    assert np.array_equal(strips[0][:, :420], strips[1][:, :420])
    assert not np.array_equal(strips[0][:, 440:], strips[1][:, 440:])
    assert Image.open(io.BytesIO(await pictures.store.load(name))).info["icc_profile"] == SRGB


async def test_a_row_is_taken_when_the_rows_before_it_are_written(pictures: Pictures, tmp_path: Path) -> None:
    events: list[str] = []

    class Watched(DiskStore):
        async def put(self, chunks, **facts):  # type: ignore[no-untyped-def]
            async def seen() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    events.append("written")
                    yield chunk

            return await super().put(seen(), **facts)

    async def rows() -> AsyncIterator[CollageRow]:
        for n in range(3):
            events.append(f"row {n}")
            yield CollageRow(noise(40, 50, 3), np.zeros((40, 50), np.float32), noise(40, 50, 3, seed=n))

    watched = Pictures(Watched(tmp_path), pictures.limits, pictures.cache, pictures.budget)
    await watched.keep_collage(rows(), 3, Spacing())
    places = [events.index(f"row {n}") for n in range(3)]
    assert all("written" in events[a:b] for a, b in pairwise(places))


async def test_a_collage_with_rows_missing_is_not_kept(pictures: Pictures) -> None:
    with pytest.raises(InternalError, match="2 rows, 3 were announced"):
        await collage(pictures, 2, 10, 10, announced=3)
    assert await pictures.store.list(size=1) == ()


async def test_a_row_that_fails_leaves_nothing_behind(pictures: Pictures) -> None:
    async def rows() -> AsyncIterator[CollageRow]:
        yield CollageRow(noise(40, 50, 3), np.zeros((40, 50), np.float32), noise(40, 50, 3))
        raise NotFound("the second is gone")

    with pytest.raises(NotFound, match="the second is gone"):
        await pictures.keep_collage(rows(), 2, Spacing())
    assert list(pictures.store._drafts.iterdir()) == []  # type: ignore[attr-defined]


_GRID = """
import asyncio, resource, sys, tempfile
from pathlib import Path
import numpy as np
from canvas.box import PixelBox
from canvas.collage import CollageRow, Spacing
from store.disk import DiskStore
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.pictures import Pictures

count, side = int(sys.argv[1]), 1500
rng = np.random.default_rng(0)
original, mask = rng.integers(0, 256, (side, side, 3), np.uint8), np.zeros((side, side), np.float32)

async def rows():
    for _ in range(count):
        yield CollageRow(original, mask, rng.integers(0, 256, (side, side, 3), np.uint8), ("a", "b", "c"))

pictures = Pictures(DiskStore(Path(sys.argv[2])), PictureLimits(), PictureCache(0), DecodingBudget(1e9))
kept = asyncio.run(pictures.keep_collage(rows(), count, Spacing()))
print(kept.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_a_grid_of_any_height_needs_the_memory_of_a_row(tmp_path: Path) -> None:
    def peak(rows: int) -> tuple[int, int]:
        command = [sys.executable, "-c", _GRID, str(rows), str(tmp_path / str(rows))]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return int(told[0]), int(told[1])

    row = 3 * 1500 * 1500 * 3
    (small, little), (large, much) = peak(1), peak(12)
    assert large > 11 * small > 11 * row * 0.9  # noise does not pack
    assert much - little < row
