import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.media.picture import strips
from orchestrator.media.picture.png import PngWriter, chunk, write_png
from tests.orchestrator.media.picture.files import noise, smooth

depths = st.sampled_from([np.uint8, np.uint16])
channels = st.sampled_from([1, 3, 4])


def read(data: bytes) -> np.ndarray:
    """By another library, which checks the stream's checksum; RGB(A)."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {2: slice(None), 3: [2, 1, 0], 4: [2, 1, 0, 3]}
    return found if found.ndim == 2 else found[..., order[found.shape[2]]]


def stream(data: bytes) -> bytes:
    """The filtered rows of a file."""
    at, body = 8, b""
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert chunk(kind, content) == data[at : at + 12 + length]
        body += content if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(body)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), channels, depths, st.integers(0, 3))
def test_what_is_written_is_read_by_others(height, width, channels, dtype, seed):
    levels = noise(height, width, channels, dtype=dtype, seed=seed)
    sheet = levels[..., 0].copy() if channels == 1 else levels
    assert np.array_equal(read(write_png(sheet)), sheet)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_make_one_stream(monkeypatch, dtype):
    monkeypatch.setattr(strips, "_STRIP_BYTES", 1000)
    sheet = smooth(300, 211).astype(dtype)
    data = write_png(sheet)
    assert data.count(b"IDAT") > 100
    assert len(stream(data)) == 300 * (1 + 211 * 3 * sheet.itemsize)
    assert np.array_equal(read(data), sheet)
    with Image.open(BytesIO(data)) as image:
        image.verify()


def test_the_bytes_depend_on_nothing_but_the_picture(monkeypatch):
    monkeypatch.setattr(strips, "_STRIP_BYTES", 1000)
    files = []
    for cores in (1, 2, 7):
        with ThreadPoolExecutor(cores) as pool:
            monkeypatch.setattr(strips, "_pool", lambda pool=pool: pool)
            files.append(write_png(smooth(200, 300)))
    assert files[0] == files[1] == files[2]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), channels, depths)
@settings(deadline=None)
def test_a_picture_may_come_in_bands(heights, channels, dtype):
    bands = [noise(height, 17, channels, dtype=dtype, seed=n) for n, height in enumerate(heights)]
    writer = PngWriter(17, sum(heights), channels, dtype)
    data = writer.begin() + b"".join(piece for band in bands for piece in writer.write(band)) + writer.end()
    assert np.array_equal(read(data).reshape(sum(heights), 17, channels), np.concatenate(bands))


def test_the_better_filter_is_chosen():
    """Stripes across and stripes down pack equally well."""
    stripes = np.repeat(noise(500, 1, 3), 500, axis=1)
    across, down = write_png(stripes), write_png(stripes.swapaxes(0, 1))
    assert len(across) < stripes.size / 50 and len(down) < stripes.size / 50


def test_further_chunks_follow_the_header():
    data = write_png(smooth(4, 5), chunk(b"tEXt", b"Comment\0hello"))
    with Image.open(BytesIO(data)) as image:
        assert image.text == {"Comment": "hello"}


def test_work_is_taken_a_few_pieces_ahead():
    taken = []

    def things():
        for n in range(1000):
            taken.append(n)
            yield n

    done = strips.map_threads(things(), lambda n: n * n)
    assert [next(done) for _ in range(3)] == [0, 1, 4]
    assert len(taken) < 500
    assert list(done) == [n * n for n in range(3, 1000)]


def test_an_error_in_a_strip_is_raised():
    def fails(n):
        raise ValueError(f"strip {n}")

    with pytest.raises(ValueError, match="strip 0"):
        list(strips.map_threads(range(5), fails))
