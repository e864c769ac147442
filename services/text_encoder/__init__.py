"""Words to the embeddings that denoisers are steered by."""
