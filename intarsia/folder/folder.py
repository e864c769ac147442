"""A folder of pictures, with its masks and its results. Only the folder of results is written to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from intarsia.editing import PictureRequest
from intarsia.errors import InvalidRequest
from intarsia.folder.pairs import POLICIES, RELATIVE, Item, Pairs, pair
from intarsia.folder.products import endings
from intarsia.folder.scan import ENDINGS, scan, within

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Folder:
    """The pictures to process, and where the results go.

    With `masks`, every picture is paired with the mask of its name, `by` its `"relative"` path or its
    `"stem"` alone. `at_once` items are processed at the same time. `with_mask` also keeps the masks
    that were used.
    """

    pictures: PathLike
    out: PathLike
    masks: PathLike | None = None
    by: str = RELATIVE
    at_once: int = 4
    with_mask: bool = False

    def check(self) -> None:
        """Raises `InvalidRequest`, with the name of the field here, if a value cannot be used."""
        if self.by not in POLICIES:
            raise InvalidRequest(f"unknown policy {self.by!r}; one of: {', '.join(POLICIES)}", field="by")
        if self.at_once < 1:
            raise InvalidRequest(f"must be at least 1, not {self.at_once}", field="at_once")
        for field, inputs in (("pictures", self.pictures), ("masks", self.masks)):
            if inputs is None:
                continue
            if not Path(inputs).is_dir():
                raise InvalidRequest(f"there is no folder {str(inputs)!r}", field=field)
            if within(inputs, self.out):
                raise InvalidRequest(
                    f"{str(self.out)!r} would mix results with the {field} in {str(inputs)!r}; name another "
                    "folder, which may lie in that one",
                    field="out",
                )
        if self.masks is not None and Path(self.masks).samefile(self.pictures):
            raise InvalidRequest("the pictures lie in the same folder; name another one", field="masks")

    def pairs(self, request: PictureRequest) -> Pairs:
        """Scans the folders and pairs pictures with masks; `request` names the files of a result.

        `InvalidRequest` for a folder without pictures, which is more likely a mistake than a wish.
        """
        closed = [Path(path) for path in (self.pictures, self.masks, self.out) if path is not None]
        pictures = scan(Path(self.pictures), closed=closed)
        if not pictures.files and not pictures.unread:
            raise InvalidRequest(
                f"{str(self.pictures)!r} holds no picture; name a folder of {', '.join(ENDINGS)} files",
                field="pictures",
            )
        masks = None if self.masks is None else scan(Path(self.masks), closed=closed)
        return pair(pictures, masks, by=self.by, endings=endings(request, with_mask=self.with_mask))

    def paths(self, item: Item) -> list[Path]:
        """An item's files: the picture, and its mask if it has one."""
        files = [Path(self.pictures) / item.picture]
        if self.masks is not None and item.mask is not None:
            files.append(Path(self.masks) / item.mask)
        return files
