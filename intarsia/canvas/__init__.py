"""Geometry of an edit, as pure functions on arrays: region, mask, crop, patch, feather, inlay.

Pictures are (height, width, 3), uint8 or uint16. Masks are float32 (height, width) in [0, 1], 1 = inside.
Boxes are in pixels; right and bottom edges are exclusive.
"""
