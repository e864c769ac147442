"""The public face: one servicer per service of `intarsia.v1`."""
