import random
import struct

import pytest

from intarsia.errors import InvalidRequest
from orchestrator.media.clip.truncation import check_complete
from store.media_type import OPENING, recognise
from tests.orchestrator.media.clip.clips import simple

KINDS = {
    "mp4": {"container": "mp4"},
    "mp4 that begins at once": {"muxing": {"movflags": "+faststart"}},
    "mp4 in fragments": {"muxing": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "5"}},
    "mov": {"container": "mov", "codec": "mpeg4"},
    "mkv": {"container": "matroska"},
    "mkv of what was live": {"container": "matroska", "muxing": {"live": "1"}, "options": {"g": "5"}},
    "webm": {"container": "webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}},
    "avi": {"container": "avi", "codec": "mpeg4"},
    "gif": {"container": "gif", "codec": "gif", "pixel_format": "rgb8"},
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_a_file_cut_off_anywhere_is_rejected(tmp_path, how):
    data = simple(tmp_path / "clip", **{"container": "mp4", **how}).read_bytes()
    kind = recognise(data[:OPENING])
    check_complete(tmp_path / "clip", kind, "clip")
    chance = random.Random(0)
    for _ in range(40):
        length = chance.randrange(OPENING, len(data) - 8)
        # Between two boxes of an MP4 nothing tells that there was another.
        if any(box in data[length - 3 : length + 8] for box in (b"moov", b"free", b"mdat", b"moof", b"mfra")):
            continue
        (tmp_path / "part").write_bytes(data[:length])
        with pytest.raises(
            InvalidRequest, match=f"cut off or damaged: its file has {length} bytes"
        ) as refusal:
            check_complete(tmp_path / "part", kind, "the.field")
        assert refusal.value.field == "the.field"


@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi", "gif"])
def test_stray_bytes_at_the_end_are_accepted(tmp_path, kind):
    data = simple(tmp_path / "clip", 3, **KINDS[kind]).read_bytes()
    for stray in (b"\0", bytes(13), b"" if kind == "gif" else b"\0\0\0\0free"):  # a GIF is told by its end
        (tmp_path / "longer").write_bytes(data + stray)
        check_complete(tmp_path / "longer", recognise(data[:OPENING]), "clip")


def test_boxes_longer_than_4_gib_say_so_in_64_bits(tmp_path):
    head = struct.pack(">I4s4x4xI4sQ", 16, b"ftyp", 1, b"mdat", 5 << 30)
    (tmp_path / "clip").write_bytes(head)
    with pytest.raises(InvalidRequest, match=str(16 + (5 << 30))):
        check_complete(tmp_path / "clip", "video/mp4", "clip")
    with open(tmp_path / "clip", "r+b") as file:
        file.truncate(16 + (5 << 30))
    check_complete(tmp_path / "clip", "video/mp4", "clip")


def test_a_stream_may_end_anywhere(tmp_path):
    (tmp_path / "clip").write_bytes(b"G" + bytes(1000))
    check_complete(tmp_path / "clip", "video/mp2t", "clip")
