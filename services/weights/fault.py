"""What can be wrong with a bundle."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle, or a checkpoint to be made into one, is not what it must be; says what to do."""
