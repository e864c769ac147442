"""Text embeddings for denoisers."""
