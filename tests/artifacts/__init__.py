"""The artifact store and the picture codecs."""
