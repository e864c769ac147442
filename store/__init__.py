"""The artifact store: bytes named by their digest."""
