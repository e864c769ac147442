"""Regional editing of pictures: a light client for an Intarsia server."""
