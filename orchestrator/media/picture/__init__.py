"""Picture files: PNG, JPEG, WebP and TIFF."""
