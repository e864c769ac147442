"""Geometry and pixels as pure functions on NumPy arrays: regions, masks, crops, feathers, inlays."""
