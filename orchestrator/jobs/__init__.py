"""Jobs: recipes under way, what is known about them, and the interface by which they are driven."""
