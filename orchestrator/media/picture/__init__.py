"""Picture files: read, and written so that pixels keep their values."""
