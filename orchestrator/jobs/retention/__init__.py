"""How long finished jobs and artifacts stay, and what removes them."""
