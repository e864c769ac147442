"""Artifacts: a store of bytes named by their digest, and the codecs that read and write pictures."""
