"""Clip files: video, read and written frame by frame."""
