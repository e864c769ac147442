"""How the starter weights are trained: the world they learn, the recipes, and small random bundles."""
