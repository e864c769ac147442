"""Distances within a mask, the same to the bit in every run."""

from __future__ import annotations

import cv2
import numpy as np


def distance_to_outside(inside: np.ndarray) -> np.ndarray:
    """The distance of every pixel of a mask, bool (height, width), to the nearest pixel outside of it.

    Float32, between the centres of pixels; 0 outside. Without a pixel outside, all are very far from it.
    """
    # The code of Intel that OpenCV prefers rounds by where the array happens to lie in memory. The setting
    # is the thread's own.
    preferred = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        return cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    finally:
        cv2.ipp.setUseIPP(preferred)
