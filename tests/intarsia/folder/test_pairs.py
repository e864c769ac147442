"""Which pictures a folder has, and which mask belongs to which."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from intarsia import errors
from intarsia.editing import edit_region_request
from intarsia.folder import Folder, Item, Pairs
from intarsia.folder.scan import scan

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a folder of empty files."""

    def make(name: str, *files: str) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for file in files:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


def pairs(pictures: Path, masks: Path | None = None, by: str = "relative", **settings: object) -> Pairs:
    request = edit_region_request("x", **settings)
    return Folder(pictures, pictures.parent / "out", masks=masks, by=by).pairs(request)


def test_pictures_are_found_in_all_folders_below_whatever_the_case_of_their_ending(tree: Tree) -> None:
    root = tree("imgs", "b.PNG", "a.jpeg", "sub/c.TIF", "sub/deep/d.webp", "notes.txt", "e.gif", "sub/f.Jpg")
    assert scan(root).files == ["a.jpeg", "b.PNG", "sub/c.TIF", "sub/deep/d.webp", "sub/f.Jpg"]
    assert scan(root).unread == {}


def test_hidden_files_and_folders_are_left_alone(tree: Tree) -> None:
    assert scan(tree("imgs", "a.png", "._a.png", ".thumbs/a.png")).files == ["a.png"]


def test_links_are_followed_and_those_in_circles_come_to_an_end(tree: Tree) -> None:
    root, elsewhere = tree("imgs", "sub/a.png"), tree("elsewhere", "b.png")
    (root / "again").symlink_to(root)
    (root / "sub/up").symlink_to("..")
    (root / "sub/itself").symlink_to("itself")
    (root / "a_link").symlink_to(elsewhere)
    (root / "twin").symlink_to("sub")
    assert scan(root).files == ["a_link/b.png", "sub/a.png"]
    assert list(scan(root).unread) == ["sub/itself"]


def test_what_cannot_be_read_is_named(tree: Tree) -> None:
    root = tree("imgs", "a.png")
    (root / "gone.png").symlink_to("nowhere")
    os.mkfifo(root / "pipe.png")
    found = scan(root)
    assert found.files == ["a.png"] and set(found.unread) == {"gone.png", "pipe.png"}


def test_results_and_masks_are_no_pictures_wherever_they_lie(tree: Tree) -> None:
    imgs = tree("imgs", "a.png", "masks/a.png", "out/a.png", "out/sub/b.png", "sub/c.png")
    (imgs / "link").symlink_to("out/sub")
    found = Folder(imgs, imgs / "out", masks=imgs / "masks").pairs(edit_region_request("x"))
    assert found.items == [Item("a", "a.png", "a.png")]
    assert found.orphans == {"pictures": ["sub/c.png"], "masks": []}


def test_pictures_may_lie_in_the_folder_of_masks(tree: Tree) -> None:
    masks = tree("masks", "a.png", "imgs/a.jpg")
    found = Folder(masks / "imgs", masks.parent / "out", masks=masks).pairs(edit_region_request("x"))
    assert found.items == [Item("a", "a.jpg", "a.png")]


def test_pairs_share_their_path_but_not_their_ending(tree: Tree) -> None:
    imgs = tree("imgs", "a.jpg", "sub/a.png", "sub/b.v2.tif")
    masks = tree("masks", "a.PNG", "sub/a.webp", "sub/b.v2.png")
    found = pairs(imgs, masks)
    assert found.items == [
        Item("a", "a.jpg", "a.PNG"),
        Item("sub/a", "sub/a.png", "sub/a.webp"),
        Item("sub/b.v2", "sub/b.v2.tif", "sub/b.v2.png"),
    ]
    assert not (found.duplicates or found.clashes or any(found.orphans.values()))


def test_upper_and_lower_case_are_different_names(tree: Tree) -> None:
    found = pairs(tree("imgs", "A.png", "b.png"), tree("masks", "a.png", "b.png"))
    assert [item.name for item in found.items] == ["b"]
    assert found.orphans == {"pictures": ["A.png"], "masks": ["a.png"]}


def test_by_their_stems_pairs_may_lie_in_different_folders(tree: Tree) -> None:
    imgs = tree("imgs", "north/a.jpg", "south/b.jpg", "north/c.jpg", "south/c.jpg")
    found = pairs(imgs, tree("masks", "a.png", "old/b.png", "c.png"), by="stem")
    assert found.items == [
        Item("north/a", "north/a.jpg", "a.png"),
        Item("south/b", "south/b.jpg", "old/b.png"),
    ]
    assert found.duplicates == [{"name": "c", "pictures": ["north/c.jpg", "south/c.jpg"], "masks": ["c.png"]}]


def test_files_of_one_name_are_never_guessed_between(tree: Tree) -> None:
    found = pairs(tree("imgs", "a.png", "a.jpg", "b.png"), tree("masks", "a.png", "b.png", "b.tif"))
    assert found.items == []
    assert found.duplicates == [
        {"name": "a", "pictures": ["a.jpg", "a.png"], "masks": ["a.png"]},
        {"name": "b", "pictures": ["b.png"], "masks": ["b.png", "b.tif"]},
    ]
    assert [each["name"] for each in pairs(tree("imgs")).duplicates] == ["a"]


def test_items_whose_results_would_have_one_name_are_left_out(tree: Tree) -> None:
    imgs = tree("imgs", "a.png", "a_2.png", "b.png", "b_overlay.png", "c_3.png")
    assert len(pairs(imgs).items) == 5
    found = pairs(imgs, candidates=2, views=["overlay"])
    assert [item.name for item in found.items] == ["c_3"]
    assert found.clashes == [{"name": "a_2", "with": "a"}, {"name": "b_overlay", "with": "b"}]


def test_results_are_never_mixed_with_inputs(tree: Tree) -> None:
    imgs, masks = tree("imgs", "a.png"), tree("masks", "a.png")
    link = imgs.parent / "link"
    link.symlink_to(imgs)
    for out in (imgs, masks, imgs.parent, link):
        with pytest.raises(errors.InvalidRequest, match="would mix results") as caught:
            Folder(imgs, out, masks=masks).check()
        assert caught.value.field == "out"
    Folder(imgs, imgs / "out", masks=masks).check()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"pictures": "nowhere"}, "pictures"),
        ({"masks": "nowhere"}, "masks"),
        ({"masks": "imgs"}, "masks"),
        ({"by": "colour"}, "by"),
        ({"at_once": 0}, "at_once"),
    ],
)
def test_a_folder_that_cannot_be_worked_with_is_named(settings: dict, field: str, tree: Tree) -> None:
    root = tree("imgs").parent
    for name in ("pictures", "masks"):
        if name in settings:
            settings[name] = root / settings[name]
    with pytest.raises(errors.InvalidRequest) as caught:
        Folder(**{"pictures": root / "imgs", "out": root / "out", **settings}).check()
    assert caught.value.field == field
