"""Collages: pictures side by side with captions, written row by row."""
