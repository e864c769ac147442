"""InstructPix2Pix: edits a picture by instruction."""
