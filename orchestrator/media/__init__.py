"""Reads and writes picture and clip files, in the store and in memory."""
