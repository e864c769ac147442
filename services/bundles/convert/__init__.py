"""Converts published checkpoints into bundles: offline, and without unrestricted unpickling."""
