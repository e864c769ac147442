"""Errors of bundles and adapters."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle, or a checkpoint to be made into one, is not what it must be; says what to do."""


class WrongBytes(BundleError):
    """A file has another size or digest than its description says."""


class AdapterError(Exception):
    """An adapter is not whole, or not one for this network; goes on where "the adapter" begins."""
