"""Picture and clip files: reading and writing them, in the store and in memory."""
