"""One execution of a recipe: how far it is, and how long it took."""
