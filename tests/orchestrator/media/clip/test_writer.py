import errno
import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from intarsia.errors import InternalError
from orchestrator.media.clip.reader import open_clip
from orchestrator.media.clip.writer import ENCODERS, colour_clip, mask_clip
from store.media_type import OPENING, recognise
from tests.orchestrator.media.picture.files import noise, smooth

FILM = Fraction(24000, 1001)
SIZES = [(64, 48), (63, 47), (2, 2), (1, 1), (1, 5), (5, 1), (17, 300)]


def tinted(
    path: Path,
    frames: list[np.ndarray],
    times: list[Fraction],
    rate: Fraction,
    base: Fraction,
    encoder: str = "libx264",
) -> Path:
    height, width = frames[0].shape[:2]
    with colour_clip(path, width, height, rate=rate, time_base=base, encoder=encoder) as clip:
        for frame, time in zip(frames, times, strict=True):
            clip.write(frame, time)
        assert clip.frames == len(frames)
    return path


def masked(path: Path, frames: list[np.ndarray], times: list[Fraction], rate: Fraction = FILM) -> Path:
    height, width = frames[0].shape
    with mask_clip(path, width, height, rate=rate) as clip:
        for frame, time in zip(frames, times, strict=True):
            clip.write(frame, time)
        assert clip.frames == len(frames)
    return path


def stored(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """Grey levels and times as libav reads them, without a reader of ours."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        assert {frame.format.name for frame in frames} == {"gray"}
        return [frame.to_ndarray() for frame in frames], [frame.pts * frame.time_base for frame in frames]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_masks_come_back_as_they_were(tmp_path, width, height):
    masks = [noise(height, width, seed=number) for number in range(7)]
    masks += [np.zeros((height, width), np.uint8), np.full((height, width), 255, np.uint8)]
    path = masked(tmp_path / "masks.mkv", masks, [number / FILM for number in range(9)])
    assert recognise(path.read_bytes()[:OPENING]) == "video/x-matroska"
    found, _ = stored(path)
    assert len(found) == 9 and all(np.array_equal(*pair) for pair in zip(masks, found, strict=True))
    with open_clip(path) as clip:
        assert (clip.width, clip.height, clip.frames, clip.rate) == (width, height, 9, FILM)
        for mask, frame in zip(masks, clip, strict=True):
            assert np.array_equal(frame.pixels, np.repeat(mask[..., None], 3, axis=2))
        assert clip.notes == ()


def test_masks_are_never_late_and_less_than_a_millisecond_early(tmp_path):
    times = [number / FILM for number in range(100)]
    _, found = stored(masked(tmp_path / "masks.mkv", [noise(8, 8)] * 100, times))
    assert all(0 <= wanted - time < Fraction(1, 1000) for wanted, time in zip(times, found, strict=True))


def test_masks_keep_times_that_vary_and_frames_within_one_millisecond(tmp_path):
    times = [Fraction(time, 4000) for time in (0, 1, 2, 4, 4000, 4001, 400_000)]
    masks = [noise(8, 8, seed=number) for number in range(7)]
    found, kept = stored(masked(tmp_path / "masks.mkv", masks, times))
    assert all(np.array_equal(*pair) for pair in zip(masks, found, strict=True))
    assert kept == [Fraction(time, 1000) for time in (0, 0, 0, 1, 1000, 1000, 100_000)]


def test_masks_that_are_array_views_are_written_correctly(tmp_path):
    mask = noise(20, 30)
    found, _ = stored(masked(tmp_path / "masks.mkv", [mask[::-2, 1::3]], [Fraction(0)]))
    assert np.array_equal(found[0], mask[::-2, 1::3])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_colours_come_back_nearly_as_they_were(tmp_path, width, height, encoder):
    frames = [np.roll(smooth(height + 1, width + 1)[:height, :width], number, axis=2) for number in range(3)]
    times = [number / FILM for number in range(3)]
    path = tinted(tmp_path / "clip.mp4", frames, times, FILM, Fraction(1, 24000), encoder)
    assert recognise(path.read_bytes()[:OPENING]) == "video/mp4"
    with open_clip(path) as clip:
        assert (clip.width, clip.height, clip.frames) == (width, height, 3)
        for frame, found in zip(frames, clip, strict=True):
            if min(width, height) > 16:  # in smaller ones all is edges
                assert np.abs(found.pixels.astype(int) - frame).mean() < 4
            assert found.time == times[found.number]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (255, 255, 255)])
@pytest.mark.parametrize(("width", "height", "pixel_format"), [(64, 48, "yuv420p"), (63, 48, "yuv444p")])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_plain_colour_is_kept_and_flagged_so_that_players_show_it(
    tmp_path, colour, width, height, pixel_format, encoder
):
    frame = np.full((height, width, 3), colour, np.uint8)
    path = tinted(tmp_path / "clip.mp4", [frame], [Fraction(0)], Fraction(30), Fraction(1, 30), encoder)
    with open_clip(path) as clip:
        (found,) = list(clip)
    assert np.abs(found.pixels.astype(int) - colour).max() <= 3
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert context.pix_fmt == pixel_format
        flags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert flags == (1, 1, 1, 1)  # BT.709 thrice, limited range


def test_a_colour_clip_keeps_times_exactly_and_can_be_played_while_it_loads(tmp_path):
    base = Fraction(1001, 30000)
    times = [number * base for number in (0, 1, 2, 5, 6, 20)]
    frames = [noise(32, 32, 3, seed=number) for number in range(6)]
    path = tinted(tmp_path / "clip.mp4", frames, times, 1 / base, base)
    with open_clip(path) as clip:
        assert [frame.time for frame in clip] == times
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_same_frames_make_the_same_bytes(tmp_path):
    masks, times = [noise(40, 40, seed=number) for number in range(5)], [n / FILM for n in range(5)]
    assert (
        masked(tmp_path / "1", masks, times).read_bytes() == masked(tmp_path / "2", masks, times).read_bytes()
    )
    frames = [np.repeat(mask[..., None], 3, axis=2) for mask in masks]
    one = tinted(tmp_path / "3", frames, times, FILM, 1 / FILM).read_bytes()
    assert one == tinted(tmp_path / "4", frames, times, FILM, 1 / FILM).read_bytes()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_colour_clip_has_the_same_bytes_wherever_its_frames_lie_in_memory(tmp_path, encoder):
    still = smooth(128, 160)
    times = [number / FILM for number in range(24)]
    made = set()
    for turn in range(8):
        frames = [np.roll(still, number, axis=1) for number in range(24)]
        kept = np.zeros(1000 * turn + 8, np.uint8)  # what comes after it lies elsewhere
        made.add(tinted(tmp_path / f"{turn}", frames, times, FILM, 1 / FILM, encoder).read_bytes())
        del kept
    assert len(made) == 1


def test_a_frame_of_another_size_is_an_internal_error_and_leaves_an_incomplete_file(tmp_path):
    with pytest.raises(InternalError, match="frame 1"):
        with mask_clip(tmp_path / "clip", 8, 6, rate=FILM) as clip:
            clip.write(noise(6, 8), Fraction(0))
            clip.write(noise(8, 6), Fraction(1))


def test_a_clip_without_frames_is_an_internal_error(tmp_path):
    for writing in (
        mask_clip(tmp_path / "1", 8, 6, rate=FILM),
        colour_clip(tmp_path / "2", 8, 6, rate=FILM, time_base=1 / FILM),
    ):
        with pytest.raises(InternalError, match="without frames"):
            with writing:
                pass


def test_frames_missing_from_the_file_are_an_error(tmp_path):
    with pytest.raises(InternalError, match="3 frames were written to a clip, 4 are in the file"):
        with mask_clip(tmp_path / "clip", 8, 6, rate=FILM) as clip:
            for number in range(4):
                clip.write(noise(6, 8), Fraction(number))
            clip.frames -= 1


def test_disk_errors_are_raised():
    with pytest.raises(OSError) as failure:
        with mask_clip(Path("/dev/full"), 64, 48, rate=FILM) as clip:
            for number in range(50):
                clip.write(noise(48, 64), Fraction(number))
    assert failure.value.errno == errno.ENOSPC
    with pytest.raises(FileNotFoundError):
        with mask_clip(Path("/nowhere/clip"), 64, 48, rate=FILM) as clip:
            clip.write(noise(48, 64), Fraction(0))


def test_an_error_inside_the_writing_block_is_raised(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with colour_clip(tmp_path / "clip", 64, 48, rate=FILM, time_base=1 / FILM) as clip:
            clip.write(noise(48, 64, 3), Fraction(0))
            raise ZeroDivisionError


@pytest.mark.parametrize("kind", ["masks", "colours"])
def test_memory_stays_flat_however_long_a_clip_is(tmp_path, kind):
    """300 frames, of which no more than the encoder looks at may be there."""
    process, sizes = psutil.Process(), []
    if kind == "masks":
        writing, shape = mask_clip(tmp_path / "clip", 960, 720, rate=FILM), (720, 960)
    else:
        writing, shape = (
            colour_clip(tmp_path / "clip", 960, 720, rate=FILM, time_base=1 / FILM),
            (720, 960, 3),
        )
    with writing as clip:
        for number in range(300):
            clip.write(np.full(shape, number % 256, np.uint8), number / FILM)
            if number in (100, 299):
                gc.collect()
                sizes.append(process.memory_info().rss)
    assert sizes[1] - sizes[0] < 30 << 20, "200 masks are 138 MB"
