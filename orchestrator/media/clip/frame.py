"""Converts decoded frames of a clip to pixels: upright RGB of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from orchestrator.media.picture.metadata import upright

# Display matrices, reduced to signs, and the EXIF orientation that each stands for.
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_OTHER_ANGLE = 0
_UNSPECIFIED = 2  # as a colour space
_HIGH_RANGE = (16, 18)  # curves: PQ and HLG
# Larger frames without a colour space are read as BT.709, as players do.
_LARGE = (1024, 576)
# Flags of the scaler that its enumeration lacks: round exactly, interpolate colours horizontally. Without
# them, conversion from more than 8 bits is off by up to 3 levels.
_EXACT = Interpolation.BILINEAR | 0x40000 | 0x2000


class FramePixels:
    """Converts the frames of one clip to pixels. `width` and `height` are those of the upright frames."""

    def __init__(self, first: VideoFrame) -> None:
        """All frames must have the size and the orientation of the first."""
        self._reformatter = VideoReformatter()
        self._size = first.width, first.height
        self._orientation = _orientation_of(first)
        self._bits = max(component.bits for component in first.format.components)
        self._has_alpha = any(component.is_alpha for component in first.format.components)
        self._high_range = first.color_trc in _HIGH_RANGE
        self._interlaced = first.interlaced_frame
        self.width, self.height = self._size[::-1] if self._orientation >= 5 else self._size

    def fits(self, frame: VideoFrame) -> bool:
        """True if a frame has the size of the first."""
        return (frame.width, frame.height) == self._size

    def of(self, frame: VideoFrame) -> np.ndarray:
        """A frame as RGB uint8 (height, width, 3)."""
        self._interlaced |= frame.interlaced_frame
        space = frame.colorspace
        if space == _UNSPECIFIED and (frame.width > _LARGE[0] or frame.height > _LARGE[1]):
            space = Colorspace.ITU709
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=space,
            src_color_range=frame.color_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT if self._bits > 8 else Interpolation.BILINEAR,
            threads=1,
        )
        return upright(rgb.to_ndarray(), self._orientation)

    def notes(self) -> list[str]:
        """Notes about what was converted, in plain words."""
        notes = {
            f"{self._bits} bits per level are read as 8": self._bits > 8,
            "high dynamic range is read as it is, without tone mapping": self._high_range,
            "transparency is left out": self._has_alpha,
            "interlaced frames are left as they are": self._interlaced,
            "the rotation is not a multiple of 90 degrees and is ignored": self._orientation == _OTHER_ANGLE,
        }
        return [note for note, applies in notes.items() if applies]


def _orientation_of(frame: VideoFrame) -> int:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    turns = np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]] / 65536
    return _ORIENTATIONS.get(tuple(np.sign(np.rint(turns)).astype(int).tolist()), _OTHER_ANGLE)
