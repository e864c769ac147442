"""Weights on disk: reading bundles, verifying them, and converting published checkpoints into them."""
