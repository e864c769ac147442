"""Starter weights: a synthetic world, the recipes that train on it, and the bundles they made."""
