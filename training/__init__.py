"""The training of the starter weights: the world they learn, the recipes, and small random bundles."""
