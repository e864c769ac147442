"""Writes collages as PNG, row by row; only one row is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator

from canvas.collage import CollageRow, Grid, Spacing, bands
from intarsia.errors import InternalError
from orchestrator.media.collage.captions import draw_captions
from orchestrator.media.picture.png import PngWriter


class CollageWriter:
    """Writes the rows of a collage one by one; its methods return the next bytes of the file."""

    def __init__(self, first: CollageRow, rows: int, spacing: Spacing, *extra: bytes) -> None:
        """All rows must have the size and the type of the `first`, and captions if it has some.

        `extra` chunks follow the file's header.
        """
        height, width = first.original.shape[:2]
        self._grid = Grid(width, height, rows, spacing, captioned=bool(first.captions))
        self._dtype = first.original.dtype
        self._png = PngWriter(self._grid.sheet_width, self._grid.sheet_height, 3, self._dtype.type)
        self._extra = extra
        self._written = 0

    def row(self, row: CollageRow) -> Iterator[bytes]:
        """Yields the bytes of the next row, before the first one also the file's header."""
        if self._written == 0:
            yield self._png.begin(*self._extra)
        grid, captions = self._grid, None
        if grid.captioned:
            captions = draw_captions(row.captions, grid, self._dtype)
        for band in bands(row, grid, captions, first=self._written == 0):
            yield from self._png.write(band)
        self._written += 1

    def end(self) -> bytes:
        """Returns the bytes after the last row."""
        if self._written != self._grid.rows:
            raise InternalError(f"the collage has {self._written} rows, {self._grid.rows} were announced")
        return self._png.end()
