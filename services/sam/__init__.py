"""Regions of pictures from clicks and boxes, by SAM 2."""
