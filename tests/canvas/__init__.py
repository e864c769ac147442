"""Geometry of an edit."""
