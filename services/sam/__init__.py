"""Regions of pictures and clips from clicks, boxes and masks by SAM 2, and from words by a text head."""
