"""Recipes, one per rpc, to be read aloud."""
