"""All that a recipe may call, bound to one run."""
