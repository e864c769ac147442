"""What the folder benchmark concludes from what it sees."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from benchmarks import damaged_files
from benchmarks.folder import twice_and_missing


def test_items_done_twice_or_never_are_read_from_the_journal(tmp_path: Path) -> None:
    lines = [{"journal": "x"}, {"item": "a", "state": "succeeded"}, {"item": "b", "state": "failed"}]
    lines += [{"item": "b", "state": "succeeded"}, {"item": "a", "state": "succeeded"}]
    (tmp_path / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert twice_and_missing(tmp_path, {"a", "b", "c"}) == (1, 1)


def test_every_kind_of_damage_occurs_among_intact_pictures(tmp_path: Path) -> None:
    ways = damaged_files.write(tmp_path, count=40, broken=20, side=48, seed=1)
    assert sorted(ways.values()) == sorted([*damaged_files.WAYS] * 2)
    files = {path.relative_to(tmp_path / "imgs").with_suffix("").as_posix(): path
             for path in (tmp_path / "imgs").rglob("*.png")}  # fmt: skip
    assert len(files) == 40
    for name in files.keys() - ways.keys():
        with Image.open(files[name]) as picture, Image.open(tmp_path / "masks" / f"{name}.png") as mask:
            assert picture.size == mask.size == (48, 48)
            assert mask.getextrema() == (0, 255)


def test_a_picture_can_claim_any_size(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    huge, _ = damaged_files.WAYS["more pixels than the limit"](file.getvalue(), b"")
    assert damaged_files._size(huge) == (60000, 60000) and len(huge) == len(file.getvalue())
