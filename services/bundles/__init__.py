"""Weights on disk: bundles, what is in them, and how they are made from published checkpoints."""
