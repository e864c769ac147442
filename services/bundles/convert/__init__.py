"""Published checkpoints into bundles: offline, and without free unpickling."""
