"""Inpainting of the Stable Diffusion 2 kind: fills a hole in a picture, with or without words."""
