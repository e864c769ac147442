"""All decoding stays within one budget: who waits, who is refused, and what it takes in truth."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from canvas.region import MaskPicture, Polarity
from intarsia.errors import InvalidRequest
from orchestrator.media.clip.reader import read_clip_header
from orchestrator.media.clips import Clips
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.picture.png import write_png
from orchestrator.media.pictures import Pictures
from store.disk import DiskStore
from tests.orchestrator.media.picture.files import saved

SIDE = 1100
# Memory that is given back leaves the process at once: what is measured is what is held.
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}


class Decoding:
    """Work that ends when it is told to."""

    def __init__(self, budget: DecodingBudget, needed: int) -> None:
        self.begun, self.end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(budget.run(needed, self._work))

    async def _work(self) -> int:
        self.begun.set()
        await self.end.wait()
        return 7

    async def result(self) -> int:
        self.end.set()
        return await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def begun(*some: Decoding) -> list[bool]:
    await settled()
    return [one.begun.is_set() for one in some]


async def test_what_does_not_fit_beside_the_others_waits_in_order() -> None:
    budget = DecodingBudget(100)
    first, large, small = (Decoding(budget, needed) for needed in (60, 80, 10))
    assert await begun(first, large, small) == [True, False, False]  # the small one does not go past
    assert await first.result() == 7
    assert await begun(large, small) == [True, True]
    assert (await large.result(), await small.result()) == (7, 7)


async def test_one_that_leaves_while_it_waits_holds_nobody_up() -> None:
    budget = DecodingBudget(100)
    first, large, small = (Decoding(budget, needed) for needed in (60, 80, 10))
    await settled()
    large.task.cancel()
    assert await begun(large, small) == [False, True]
    await first.result(), await small.result()
    whole = Decoding(budget, 100)
    assert await begun(whole) == [True]
    await whole.result()


async def test_one_that_leaves_when_its_turn_has_come_gives_its_bytes_back() -> None:
    async def leave_room() -> None:
        async with budget.room(100):
            await leaving.wait()
        second.task.cancel()

    budget, leaving = DecodingBudget(100), asyncio.Event()
    first = asyncio.ensure_future(leave_room())
    await settled()
    second = Decoding(budget, 100)
    assert await begun(second) == [False]
    leaving.set()
    await first
    third = Decoding(budget, 100)
    assert await begun(second, third) == [False, True]
    await third.result()


async def test_bytes_are_held_until_the_work_ends_even_if_its_caller_has_left() -> None:
    budget = DecodingBudget(100)
    left, waiting = Decoding(budget, 100), Decoding(budget, 1)
    await settled()
    left.task.cancel()
    assert await begun(left, waiting) == [True, False]
    left.end.set()
    assert await begun(waiting) == [True]
    await waiting.result()


async def test_work_that_fails_gives_its_bytes_back() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    budget = DecodingBudget(100)
    with pytest.raises(ValueError, match="broken"):
        await budget.run(100, fail)
    after = Decoding(budget, 100)
    assert await begun(after) == [True]
    await after.result()


def png(width: int, height: int, *, depth: int, interlaced: bool) -> bytes:
    """A black PNG with alpha, in seven passes or in one."""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
        passes += [(0, 1, 1, 2)]
    rows = b""
    for left, top, across, down in passes:
        columns = len(range(left, width, across))
        rows += (bytes(1 + columns * 4 * depth // 8)) * len(range(top, height, down))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 6, 0, 0, interlaced)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiled(side: int, tile: int) -> bytes:
    """A small TIFF in one large tile of RGB."""
    data = zlib.compress(bytes(tile * tile * 3), 9)
    after = 8 + len(data)
    tags = [(256, side), (257, side), (259, 8), (262, 2), (277, 3), (284, 1), (322, tile), (323, tile)]
    tags += [(324, 8), (325, len(data))]
    entries = [(tag, struct.pack("<HHII", tag, 4, 1, value)) for tag, value in tags]
    bits = after + 2 + 12 * (len(tags) + 1) + 4
    entries += [(258, struct.pack("<HHII", 258, 3, 3, bits))]
    directory = struct.pack("<H", len(entries)) + b"".join(entry for _, entry in sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", after) + data + directory + struct.pack("<3H", 8, 8, 8)


def blank(mode: str, format: str, **options: object) -> bytes:
    return saved(Image.new(mode, (SIDE, SIDE)), format, **options)


def frames(mode: str) -> list[Image.Image]:
    return [Image.new(mode, (SIDE, SIDE), colour) for colour in (1, 2)]


WORST: dict[str, Callable[[], bytes]] = {
    "PNG of 16 bits with alpha": lambda: png(SIDE, SIDE, depth=16, interlaced=False),
    "PNG of 16 bits, interlaced": lambda: png(SIDE, SIDE, depth=16, interlaced=True),
    "PNG of 16 bits without alpha": lambda: write_png(np.zeros((SIDE, SIDE, 3), np.uint16)),
    "PNG of 1 bit": lambda: blank("1", "PNG"),
    "PNG with a palette and alpha": lambda: blank("P", "PNG", transparency=bytes(256)),
    "PNG with a clear colour": lambda: blank("RGB", "PNG", transparency=(0, 0, 0)),
    "PNG with several frames": lambda: blank("RGBA", "PNG", save_all=True, append_images=frames("RGBA")),
    "TIFF of floats": lambda: blank("F", "TIFF", compression="tiff_adobe_deflate"),
    "TIFF of integers": lambda: blank("I", "TIFF", compression="tiff_adobe_deflate"),
    "TIFF of inks": lambda: blank("CMYK", "TIFF", compression="tiff_lzw"),
    "TIFF in Lab": lambda: blank("LAB", "TIFF", compression="tiff_adobe_deflate"),
    "TIFF in one tile": lambda: tiled(40, 3 * SIDE),
    "JPEG in passes": lambda: blank("RGB", "JPEG", progressive=True, subsampling=0),
    "JPEG of inks in passes": lambda: blank("CMYK", "JPEG", progressive=True, subsampling=0),
    "WebP with loss": lambda: blank("RGB", "WEBP"),
    "WebP with several frames": lambda: blank(
        "RGBA", "WEBP", lossless=True, save_all=True, append_images=frames("RGBA")
    ),
}

MEASURE = """
import asyncio, gc, json, sys
from pathlib import Path
from canvas.region import MaskPicture, Polarity
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.pictures import Pictures
from store.disk import DiskStore

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

async def peak(work):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    await work
    return status("VmHWM") - before

async def main():
    store, results = DiskStore(Path(sys.argv[1])), {}
    pictures = Pictures(store, PictureLimits(), PictureCache(0), DecodingBudget(1e9))
    async def decode(name):
        await pictures.load(name)  # and let it go
    for name in sys.argv[2:]:
        await decode(name)  # what is allocated once and for all
        needed = (await pictures.header(name)).needed
        alone = await peak(decode(name))
        pictures = Pictures(store, PictureLimits(), PictureCache(0), DecodingBudget(2.5 * needed))
        crowd = await peak(asyncio.gather(*(decode(name) for _ in range(16))))
        results[name] = needed, alone, crowd
    print(json.dumps(results))

asyncio.run(main())
"""


def measure(command: list[str]) -> str:
    """What a process of its own prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout


async def test_the_worst_files_take_what_their_headers_say_and_sixteen_at_once_the_budget(
    tmp_path: Path,
) -> None:
    store = DiskStore(tmp_path)
    names = {kind: (await store.put_bytes(make(), "")).name for kind, make in WORST.items()}
    command = [sys.executable, "-c", MEASURE, str(tmp_path), *names.values()]
    measured = json.loads(measure(command))
    found = {kind: measured[name] for kind, name in names.items()}
    assert {
        kind: figures for kind, figures in found.items() if not figures[0] / 4 < figures[1] <= figures[0]
    } == {}
    assert {kind: figures for kind, figures in found.items() if figures[2] > 2.5 * figures[0]} == {}
    # More than a few of them were decoded at a time.
    assert found["PNG of 16 bits with alpha"][2] > 1.2 * found["PNG of 16 bits with alpha"][1]


async def test_a_file_that_alone_exceeds_the_budget_is_refused(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    budget = DecodingBudget(30e6)
    pictures = Pictures(store, PictureLimits(), PictureCache(0), budget)
    wide = (await store.put_bytes(png(SIDE, SIDE, depth=16, interlaced=False), "")).name
    small = (await store.put_bytes(blank("L", "PNG"), "")).name
    with pytest.raises(
        InvalidRequest, match=r"1100 x 1100\) takes up to 37 MB .* 30 MB .*_DECODING_MEGABYTES"
    ):
        await pictures.load(wide)
    picture = await pictures.load(small)
    drawn = MaskPicture(wide, Polarity.WHITE_INSIDE)
    with pytest.raises(InvalidRequest, match="INTARSIA_DECODING_MEGABYTES") as caught:
        await pictures.load_mask(drawn, picture, "edits[0].region")
    assert caught.value.field == "edits[0].region.mask.artifact"


async def test_what_is_decoded_within_a_room_does_not_wait_for_it() -> None:
    budget = DecodingBudget(100)
    async with budget.room(90):
        inner = Decoding(budget, 50)
        assert await begun(inner) == [True]
        assert await inner.result() == 7
        assert budget.held == 90
    assert budget.held == 0


def clip_of(folder: Path, codec: str, name: str, pixel_format: str, **options: str) -> Path:
    path = folder / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 640, 480, pixel_format, options
        for number in range(24):
            levels = np.full((480, 640, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels, "rgb24")))
        container.mux(stream.encode())
    return path


MEASURE_CLIP = """
import sys
from pathlib import Path
from orchestrator.media.clip.reader import open_clip, read_clip_header

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

path = Path(sys.argv[1])
needed = read_clip_header(path).decoding
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
with open_clip(path) as clip:
    assert sum(1 for _ in clip) == 24
print(needed, status("VmHWM") - before)
"""


@pytest.mark.parametrize(
    "clip",
    [
        ("libx264", "refs.mp4", "yuv420p", {"refs": "16", "bf": "16", "preset": "ultrafast"}),
        ("libvpx-vp9", "vp9.webm", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
        ("ffv1", "deep.mkv", "gbrp16le", {}),
        ("mjpeg", "pictures.avi", "yuvj444p", {}),
    ],
    ids=lambda clip: clip[1],
)
def test_a_clip_takes_no_more_than_its_header_says(
    clip: tuple[str, str, str, dict[str, str]], tmp_path: Path
) -> None:
    codec, name, pixel_format, options = clip
    path = clip_of(tmp_path, codec, name, pixel_format, **options)
    command = [sys.executable, "-c", MEASURE_CLIP, str(path)]
    needed, taken = map(int, measure(command).split())
    assert 0 < taken <= needed


async def test_a_clip_that_exceeds_the_budget_is_refused_and_others_wait(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "store")
    path = clip_of(tmp_path, "mjpeg", "clip.avi", "yuvj444p")
    name = (await store.put_bytes(path.read_bytes(), "")).name
    needed = read_clip_header(path).decoding
    budget = DecodingBudget(needed)
    clips = Clips(store, PictureLimits(), budget)
    with pytest.raises(InvalidRequest, match=r"clip \(640 x 480\) .*INTARSIA_DECODING_MEGABYTES") as caught:
        async with clips.open(name, beside=1):
            raise AssertionError("never opened")
    assert caught.value.field == "clip"
    async with clips.open(name) as clip:
        assert budget.held == needed
        async with aclosing(clip.frames()) as frames:
            assert len([frame.number async for frame in frames]) == 24
    assert budget.held == 0
