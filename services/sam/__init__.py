"""Regions of pictures from clicks and boxes, by SAM 2, and from words, by a text head beside it."""
