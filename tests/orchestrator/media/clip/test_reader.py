import gc
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from intarsia.errors import InvalidRequest
from orchestrator.media.clip.reader import Frame, open_clip, read_clip_header
from orchestrator.media.picture.picture import PictureLimits
from tests.orchestrator.media.clip.clips import cut, drawn, simple, turned, written
from tests.orchestrator.media.picture.files import noise, saved

LOSSLESS = {"codec": "libx264", "options": {"qp": "0"}, "pixel_format": "yuv444p"}


def frames_of(path: Path) -> list[Frame]:
    with open_clip(path) as clip:
        return list(clip)


def notes_of(path: Path) -> tuple[str, ...]:
    with open_clip(path) as clip:
        for _ in clip:
            pass
        return clip.notes


def bar_of(pixels: np.ndarray) -> int:
    """The row of the bright bar of a drawn frame: its number, while it is less than the height."""
    return int(pixels[:, -8:].mean(axis=(1, 2)).argmax())


KINDS = {
    "mp4": {"container": "mp4"},
    "mp4 in fragments": {"container": "mp4", "muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "mov": {"container": "mov", "codec": "mpeg4"},
    "mkv": {"container": "matroska", "codec": "ffv1"},
    "mkv of what was live": {"container": "matroska", "muxing": {"live": "1"}},
    "webm": {"container": "webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}},
    "avi": {"container": "avi", "codec": "mpeg4", "max_b_frames": 2},
    "avi with frames out of order": {"container": "avi"},
    "transport stream": {"container": "mpegts"},
    "program stream": {"container": "mpeg", "codec": "mpeg2video", "rate": 25},
    "gif": {"container": "gif", "codec": "gif", "pixel_format": "rgb8", "rate": 25},
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_every_frame_is_read_in_order_with_its_time(tmp_path, how):
    path = simple(tmp_path / "clip", 30, **how)
    rate = how.get("rate", 30)
    with open_clip(path) as clip:
        assert (clip.width, clip.height, clip.rate) == (96, 64, rate)
        if "live" in str(how):
            assert clip.frames is None
        elif how["container"] != "mpeg":  # where libav guesses from how large the file is
            assert clip.frames == 30
        frames = list(clip)
        assert clip.notes == (("transparency is left out",) if how["container"] == "gif" else ())
    assert [frame.number for frame in frames] == list(range(30))
    assert [bar_of(frame.pixels) for frame in frames] == list(range(30))
    assert frames[0].time == 0
    assert all(abs(frame.time - Fraction(frame.number, rate)) < Fraction(1, 1000) for frame in frames)
    assert {(frame.pixels.shape, frame.pixels.dtype) for frame in frames} == {
        ((64, 96, 3), np.dtype(np.uint8))
    }


@pytest.mark.parametrize(("width", "height"), [(63, 47), (96, 33), (2, 2), (1, 1)])
def test_frames_of_any_size_come_back_without_loss(tmp_path, width, height):
    generator = np.random.default_rng(0)
    drawings = [generator.integers(0, 256, (height, width, 3), np.uint8) for _ in range(5)]
    path = written(tmp_path / "clip.mkv", drawings, codec="ffv1", pixel_format="bgr0")
    frames = frames_of(path)
    assert len(frames) == 5
    assert all(np.array_equal(frame.pixels, drawing) for frame, drawing in zip(frames, drawings, strict=True))


def test_one_frame_is_a_clip(tmp_path):
    (frame,) = frames_of(simple(tmp_path / "clip.mp4", 1))
    assert frame.number == 0 and frame.time == 0 and bar_of(frame.pixels) == 0


def test_times_that_vary_are_kept_exactly(tmp_path):
    times = [100, 101, 104, 105, 111, 112]
    path = simple(tmp_path / "clip.mp4", 6, times=times, time_base=Fraction(1001, 30000))
    with open_clip(path) as clip:
        assert [frame.time for frame in clip] == [Fraction(1001, 30000) * (time - 100) for time in times]
        assert any("varies" in note for note in clip.notes)
        assert Fraction(1001, 30000) % clip.time_base == 0


TURNS = {
    (1, 0, 0, 1): lambda frame: frame,
    (0, 1, -1, 0): lambda frame: np.rot90(frame, -1),  # a phone held upright
    (-1, 0, 0, -1): lambda frame: np.rot90(frame, 2),
    (0, -1, 1, 0): lambda frame: np.rot90(frame, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda frame: frame.swapaxes(0, 1),
    (0, -1, -1, 0): lambda frame: np.rot90(frame, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_frames_are_upright(tmp_path, matrix):
    path = simple(tmp_path / "clip.mp4", 3, **LOSSLESS)
    before = [frame.pixels for frame in frames_of(path)]
    with open_clip(turned(path, *matrix)) as clip:
        after = [frame.pixels for frame in clip]
        assert (clip.height, clip.width) == after[0].shape[:2] and clip.notes == ()
    assert all(np.array_equal(two, TURNS[matrix](one)) for one, two in zip(before, after, strict=True))


def test_frames_rotated_by_45_degrees_are_not_rotated_back(tmp_path):
    path = turned(simple(tmp_path / "clip.mp4", 2), 1, 1, -1, 1)
    with open_clip(path) as clip:
        assert (clip.width, clip.height) == (96, 64) and "90 degrees" in clip.notes[0]


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40), (30, 90, 180)]
# Weights of red and blue in what is bright, by colour space: BT.709, BT.601, BT.2020.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def coded(colour: tuple[int, int, int], space: int, *, full: bool, bits: int) -> list[int]:
    """A colour as brightness and two differences, by the formulas of the standards."""
    red, green, blue = (level / 255 for level in colour)
    of_red, of_blue = WEIGHTS[space]
    bright = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    differences = (blue - bright) / (2 - 2 * of_blue), (red - bright) / (2 - 2 * of_red)
    step, most = 1 << (bits - 8), (1 << bits) - 1
    if full:
        levels = [bright * most, *(128 * step + most * difference for difference in differences)]
    else:
        levels = [
            step * (16 + 219 * bright),
            *(step * (128 + 224 * difference) for difference in differences),
        ]
    return [min(most, max(0, round(level))) for level in levels]


@pytest.mark.parametrize("space", WEIGHTS)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 10)])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47)])
def test_colours_come_out_right(tmp_path, space, full, pixel_format, bits, width, height):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=30, width=width, height=height)
        stream.pix_fmt = pixel_format
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 2 if full else 1
        for number, colour in enumerate(COLOURS):
            frame = av.VideoFrame(width, height, pixel_format)
            frame.colorspace, frame.color_range, frame.pts = space, 2 if full else 1, number
            for plane, level in zip(frame.planes, coded(colour, space, full=full, bits=bits), strict=True):
                dtype = np.uint8 if bits == 8 else np.uint16
                plane.update(np.full(plane.buffer_size // dtype().itemsize, level, dtype).tobytes())
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    for frame, colour in zip(frames_of(path), COLOURS, strict=True):
        assert np.abs(frame.pixels.astype(int) - colour).max() <= 2, colour
    assert ("10 bits per level are read as 8" in notes_of(path)) == (bits == 10)


@pytest.mark.parametrize(("height", "space"), [(576, 5), (720, 1)])
def test_colours_without_a_colour_space_are_read_as_players_do(tmp_path, height, space):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=30, width=64, height=height)
        frame = av.VideoFrame(64, height, "yuv420p")
        for plane, level in zip(frame.planes, coded((200, 120, 40), space, full=False, bits=8), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    (frame,) = frames_of(path)
    assert np.abs(frame.pixels.astype(int) - (200, 120, 40)).max() <= 2


def test_notes_name_what_was_left_out_or_not_converted(tmp_path):
    alpha = simple(tmp_path / "alpha.mkv", 2, codec="ffv1", pixel_format="bgra")
    assert notes_of(alpha) == ("transparency is left out",)
    wide = simple(tmp_path / "wide.mp4", 2, sample_aspect_ratio=Fraction(16, 11))
    assert notes_of(wide) == ("pixels that are not square (16:11) are left as they are",)
    bright = simple(tmp_path / "hdr.mkv", 2, color_trc=18)
    assert "high dynamic range is read as it is, without tone mapping" in notes_of(bright)
    laced = simple(tmp_path / "laced.mkv", 2, codec="mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
    assert notes_of(laced) == ("interlaced frames are left as they are",)


def test_the_first_of_several_video_streams_is_read_and_covers_are_none(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as file:
        streams = [
            file.add_stream(codec, rate=30, width=16, height=16) for codec in ("mjpeg", "mpeg4", "mpeg4")
        ]
        streams[0].disposition = av.stream.Disposition.attached_pic
        streams[0].pix_fmt = "yuvj420p"
        for level, stream in enumerate(streams):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 50 * level, np.uint8), "rgb24")
            frame.pts = 0
            file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode(None))
    with av.open(str(path)) as file:
        assert len(file.streams.video) == 3
    with open_clip(path) as clip:
        assert clip.notes == ("only the first of 2 video streams is read",)
        assert abs(int(next(iter(clip)).pixels[0, 0, 0]) - 50) <= 4


def test_a_broadcast_begins_at_the_first_whole_frame(tmp_path):
    path = simple(tmp_path / "clip.ts", 30, container="mpegts", options={"g": "10", "bf": "0"})
    data = path.read_bytes()
    with av.open(str(path)) as file:
        fourth = [packet.pos for packet in file.demux(video=0) if packet.size][3]
    path.write_bytes(data[: 3 * 188] + data[fourth:])
    with open_clip(path) as clip:
        frames = list(clip)
        assert "frames before the first whole one were left out" in clip.notes
    assert [bar_of(frame.pixels) for frame in frames] == list(range(10, 30))
    assert frames[0].number == 0 and frames[0].time == 0 and frames[-1].time == Fraction(19, 30)


def audio(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts = 8000, 0
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    return path


def file_of(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def without_frames(path: Path) -> Path:
    """A clip whose frames are all noise."""
    simple(path, 5, muxing={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin:] = np.random.default_rng(0).integers(0, 256, len(data) - begin, np.uint8).tobytes()
    return file_of(path, bytes(data))


def of_an_unknown_codec(path: Path) -> Path:
    return file_of(path, simple(path, 3).read_bytes().replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"))


UNREADABLE = {
    "nothing": (lambda path: file_of(path, b""), "0 bytes"),
    "text": (lambda path: file_of(path, b"hello, this is text"), "not a clip; send MP4"),
    "a playlist": (lambda path: file_of(path, b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"), "not a clip"),
    "a picture": (
        lambda path: file_of(path, saved(drawn(0), "PNG")),
        r"a picture \(image/png\), not a clip.*segment_region",
    ),
    "a document": (lambda path: file_of(path, b"%PDF-1.7 and so on"), "not a clip"),
    "sound alone": (audio, "no video stream"),
    "the beginning of a clip": (lambda path: cut(simple(path), 0.7), "cut off"),
    "noise behind a head": (
        lambda path: file_of(path, b"\0\0\0\x18ftypisom" + bytes(np.arange(1000) % 251)),
        "cannot be read: it cannot be opened",
    ),
    "frames that are noise": (without_frames, "damaged at frame 0"),
    "an unknown codec": (of_an_unknown_codec, "not known here"),
}


@pytest.mark.parametrize(("make", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_readable_clip_is_refused_in_words(tmp_path, make, says):
    with pytest.raises(InvalidRequest, match=says) as refusal:
        with open_clip(make(tmp_path / "clip.mp4"), field="some.clip"):
            raise AssertionError("never opened")
    assert refusal.value.field == "some.clip"


@pytest.mark.parametrize("make", [make for make, _ in UNREADABLE.values()], ids=UNREADABLE)
def test_of_what_cannot_be_read_the_announced_size_does_no_harm(tmp_path, make):
    with suppress(InvalidRequest):
        assert read_clip_header(make(tmp_path / "clip.mp4")).pixels >= 0


def test_a_file_announces_the_size_of_its_frames(tmp_path):
    path = simple(tmp_path / "clip.mp4")
    with open_clip(path) as clip:
        assert read_clip_header(path).pixels == clip.width * clip.height


def test_a_clip_without_its_table_of_contents_is_refused(tmp_path):
    """PyAV makes a stream of it that crashes when it is decoded."""
    path = simple(tmp_path / "clip.mp4")
    data = path.read_bytes()
    at = data.index(b"avc1")
    path.write_bytes(data[:at] + bytes(len(data) - at))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        with open_clip(path):
            raise AssertionError("never opened")


def rich(path: Path, container: str) -> Path:
    """A clip of 30 frames that take many bytes and are stored in the order they are shown."""
    drawings = (noise(64, 96, 3, seed=number) for number in range(30))
    return written(path, drawings, container=container, options={"g": "10", "bf": "0"})


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_damage_in_the_middle_names_its_frame(tmp_path, container):
    path = rich(tmp_path / "clip", container)
    with av.open(str(path)) as file:
        begin = [packet.pos for packet in file.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    data[begin + 400 : begin + 500] = b"\x55" * 100
    path.write_bytes(data)
    seen = []
    with pytest.raises(InvalidRequest, match="damaged at frame 20") as refusal:
        with open_clip(path) as clip:
            seen.extend(frame.number for frame in clip)
    assert refusal.value.field == "clip" and seen == list(range(20))


def test_a_matroska_file_whose_parts_do_not_fit_together_is_refused(tmp_path):
    path = rich(tmp_path / "clip", "matroska")
    with av.open(str(path)) as file:
        begin = [packet.pos for packet in file.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    data[begin - 2 : begin] = b"\x51\x55"  # how long the block is
    path.write_bytes(data)
    with pytest.raises(InvalidRequest, match="cut off or damaged"):
        frames_of(path)


def test_a_transport_stream_that_ends_within_a_frame_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="damaged at frame"):
        frames_of(cut(rich(tmp_path / "clip.ts", "mpegts"), 0.7))


def test_a_clip_that_changes_its_size_is_refused_with_the_frame(tmp_path):
    one = simple(tmp_path / "one.ts", 10, container="mpegts", options={"bf": "0"}).read_bytes()
    larger = [drawn(number, 128, 96) for number in range(10)]
    two = written(tmp_path / "two.ts", larger, container="mpegts", options={"bf": "0"}).read_bytes()
    path = file_of(tmp_path / "clip.ts", one + two)
    with pytest.raises(InvalidRequest, match="frame 10 of the clip is 128 x 96"):
        frames_of(path)


def test_frames_within_the_limits_are_read_and_larger_ones_refused(tmp_path):
    path = simple(tmp_path / "clip.mp4", 3)
    with open_clip(path, PictureLimits(megapixels=96 * 64 / 1e6, side=96)) as clip:
        assert len(list(clip)) == 3
    for limits in (PictureLimits(megapixels=96 * 64 / 1e6 - 1e-6), PictureLimits(side=95)):
        with pytest.raises(InvalidRequest, match="a frame of the clip is 96 x 64"):
            with open_clip(path, limits):
                raise AssertionError("never opened")


def test_frames_that_grow_beyond_the_limits_are_rejected_before_they_are_in_memory(tmp_path):
    """Announced as small, and large once decoded."""
    path = tmp_path / "clip.mp4"
    written(path, [np.zeros((2048, 2048, 3), np.uint8)] * 2, options={"preset": "ultrafast"})
    data = path.read_bytes()
    size = struct.pack(">HH", 2048, 2048)
    assert data.count(size) == 1
    path.write_bytes(data.replace(size, struct.pack(">HH", 64, 64)))
    with pytest.raises(InvalidRequest):
        with open_clip(path, PictureLimits(megapixels=0.1)):
            raise AssertionError("never opened")


def test_frames_come_once_and_reading_goes_on_where_it_stopped(tmp_path):
    with open_clip(simple(tmp_path / "clip.mp4", 6)) as clip:
        numbers = []
        for frame in clip:
            numbers.append(frame.number)
            if frame.number == 2:
                break
        assert [frame.number for frame in clip] == [3, 4, 5] and numbers == [0, 1, 2]
        assert list(clip) == []


def test_memory_stays_flat_however_long_a_clip_is(tmp_path):
    """240 frames of 3.7 MB, of which no more than a few may be there."""
    path = written(
        tmp_path / "clip.mp4",
        (np.full((960, 1280, 3), number, np.uint8) for number in range(240)),
        options={"preset": "ultrafast"},
    )
    process, sizes = psutil.Process(), []
    with open_clip(path) as clip:
        for frame in clip:
            if frame.number in (40, 239):
                gc.collect()
                sizes.append(process.memory_info().rss)
    assert sizes[1] - sizes[0] < 40 << 20, "200 frames are 737 MB"
