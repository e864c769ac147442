"""Every subcommand against the real stack, and every kind of picture through it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

import intarsia
from intarsia.cli import main
from orchestrator.api.status import code_of

Run = Callable[..., tuple[int, list[Any]]]
WIDTH, HEIGHT = 72, 56
WHERE = ("--rectangle", "16,8,56,40")
EDIT = ("--instruction", "make it blue", "--steps", "2", "--seed", "7")


@pytest.fixture
def cli(stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command as a machine would; its exit code and what it said, line by line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTARSIA_SERVER", stack.address)

    def run(*arguments: object) -> tuple[int, list[Any]]:
        code = main([*map(str, arguments), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def levels(*shape: int, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(5).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(levels(HEIGHT, WIDTH, 3)).save(path)
    return path


def test_an_edit_by_click_from_file_to_file(cli: Run, photo: Path, tmp_path: Path):
    code, said = cli("segment-region", photo, "--click", "30,24", "-o", "found.png")
    assert code == 0
    region = said[0]["segmentation"]["region"]
    found = np.asarray(Image.open("found.png"))
    assert (found > 0).sum() == int(region["area"]) > 0

    files = ("-o", "out.png", "--save-mask", "mask.png", "--preview", "preview.jpg", "--preview-every", "1")
    code, said = cli("edit-region", photo, "--click", "30,24", *EDIT, *files, "--progress")
    assert code == 0
    beats = [line["progress"] for line in said if "progress" in line]
    assert {beat["stage"] for beat in beats} & {"denoise", "decode", "inlay"}
    result = said[-1]["result"]
    assert (result["manifest"]["seed"], result["manifest"]["steps"]) == ("7", 2)
    assert set(result["manifest"]["weights"]) == {"sam", "text_encoder", "vae", "ip2p_unet"}
    mask = np.asarray(Image.open("mask.png"))
    assert mask[found > 0].all() and (mask > 0).sum() > (found > 0).sum(), (
        "what was found, and a rim around it"
    )
    assert np.array_equal(pixels("out.png")[mask == 0], pixels(photo)[mask == 0])
    assert not (tmp_path / "preview.jpg").exists() or Image.open("preview.jpg").size == (WIDTH, HEIGHT)

    exact = ("--grow", "0", "--feather", "0", "-o", "exact.png", "--save-mask", "exact_mask.png")
    assert cli("edit-region", photo, "--click", "30,24", *EDIT, *exact)[0] == 0
    assert np.array_equal(np.asarray(Image.open("exact_mask.png")), found)


def test_a_job_is_detached_watched_shown_listed_and_cancelled(cli: Run, photo: Path):
    code, said = cli("edit-region", photo, *WHERE, *EDIT, "--detach")
    assert code == 0
    name = said[0]["job"]["name"]
    code, said = cli("jobs", "watch", name, "-o", "out.png", "--save-mask", "mask.png")
    assert code == 0 and said[-1]["result"]["job"] == name
    assert outside_is_untouched(pixels("out.png"), pixels(photo))
    assert cli("jobs", "show", name)[1][0]["job"]["state"] == "succeeded"

    long = ("--instruction", "make it blue", "--steps", "900", "--detach")
    running = cli("edit-region", photo, *WHERE, *long)[1][0]["job"]["name"]
    code, said = cli("jobs", "list", "--limit", "2")
    assert [line["job"]["name"] for line in said] == [running, name]
    assert cli("jobs", "cancel", running)[0] == 0
    code, said = cli("jobs", "watch", running)
    assert code == 130 and said[-1]["error"]["reason"] == "CANCELLED"
    listed = cli("jobs", "list", "--state", "cancelled", "--limit", "1")[1]
    assert [line["job"]["name"] for line in listed] == [running]


def test_an_artifact_is_put_shown_and_fetched(cli: Run, photo: Path, tmp_path: Path):
    code, said = cli("artifacts", "put", photo)
    assert code == 0
    stored = said[-1]["artifact"]
    assert stored["media_type"] == "image/png"
    assert cli("artifacts", "show", stored["name"])[1][0]["artifact"] == stored
    assert cli("artifacts", "get", stored["name"], "-o", "copy.png")[0] == 0
    assert (tmp_path / "copy.png").read_bytes() == photo.read_bytes()
    code, said = cli("artifacts", "show", "artifacts/" + "0" * 64)
    assert code == 3 and said[0]["error"]["reason"] == "NOT_FOUND"


def test_weights_are_listed_and_verified(cli: Run, weights: Path):
    code, (bundles,) = cli("weights", "list", weights)
    assert code == 0
    assert {"ip2p", "sam"} <= {bundle["bundle"] for bundle in bundles}
    assert cli("weights", "verify", weights / "ip2p", weights / "sam")[0] == 0
    assert cli("weights", "verify", weights / "no-such-bundle")[0] == 1


@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
def test_transparent_pictures_keep_every_value_outside(cli: Run, ending: str):
    Image.fromarray(levels(HEIGHT, WIDTH, 4)).save("in.png")
    code, _ = cli("edit-region", "in.png", *WHERE, *EDIT, "-o", f"out.{ending}")
    assert code == 0
    before, after = (np.asarray(Image.open(name)) for name in ("in.png", f"out.{ending}"))
    assert after.shape == before.shape and np.array_equal(after[..., 3], before[..., 3])
    assert outside_is_untouched(after, before)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_stay_sixteen_bits(cli: Run, ending: str):
    cv2.imwrite("in.png", levels(HEIGHT, WIDTH, 3, kind=np.uint16))
    code, _ = cli("edit-region", "in.png", *WHERE, *EDIT, "-o", f"out.{ending}")
    assert code == 0
    before, after = (cv2.imread(name, cv2.IMREAD_UNCHANGED) for name in ("in.png", f"out.{ending}"))
    assert after.dtype == np.uint16
    assert outside_is_untouched(after, before)


def test_a_rotated_jpeg_is_turned_upright_and_written_without_loss(cli: Run):
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth = Image.fromarray(levels(6, 8, 3)).resize((HEIGHT, WIDTH), Image.Resampling.BICUBIC)
    smooth.save("in.jpg", exif=turned)
    code, _ = cli("edit-region", "in.jpg", *WHERE, *EDIT, "-o", "out.png")
    assert code == 0
    before = np.asarray(ImageOps.exif_transpose(Image.open("in.jpg")))
    assert before.shape == (HEIGHT, WIDTH, 3)
    assert outside_is_untouched(pixels("out.png"), before)
    assert not Image.open("out.png").getexif().get(0x0112)


def test_a_cmyk_jpeg_is_converted_with_a_note(cli: Run):
    Image.fromarray(levels(7, 9, 4), "CMYK").resize((WIDTH, HEIGHT)).save("in.jpg", quality=95)
    code, said = cli("edit-region", "in.jpg", *WHERE, *EDIT, "-o", "out.png")
    assert code == 0
    assert any("CMYK" in note for note in said[-1]["result"]["manifest"]["notes"])
    before = np.asarray(Image.open("in.jpg").convert("RGB"))
    assert outside_is_untouched(pixels("out.png"), before)


def test_a_picture_of_one_pixel(cli: Run):
    Image.new("RGB", (1, 1), "red").save("in.png")
    code, _ = cli("edit-region", "in.png", "--rectangle", "0,0,1,1", *EDIT, "-o", "out.png")
    assert code == 0
    assert pixels("out.png").shape == (1, 1, 3)


def black() -> bytes:
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("where", "code", "status", "reason", "told"),
    [
        (("--rectangle", "500,500,600,600"), 2, "INVALID_ARGUMENT", "INVALID_FIELD", "500"),
        (("--mask", "black.png", "--inside", "white"), 3, "NOT_FOUND", "EMPTY_REGION", "the mask picture"),
        (("--words", "a yellow dress", "--threshold", "1"), 3, "NOT_FOUND", "EMPTY_REGION", "yellow dress"),
    ],
)
def test_a_region_that_is_not_found_is_an_error_with_the_reason(
    cli: Run, photo: Path, client: intarsia.Client, where, code, status, reason, told
):
    Path("black.png").write_bytes(black())
    ended, said = cli("edit-region", photo, *where, *EDIT, "-o", "out.png")
    error = said[-1]["error"]
    assert (ended, error["reason"]) == (code, reason) and told in error["message"]
    assert not Path("out.png").exists()
    job = next(iter(client.list_jobs(page_size=1)))
    assert (code_of(job.error).name, job.error.reason) == (status, reason)
    assert cli("segment-region", photo, *where)[0] == code


def test_a_truncated_picture_is_refused_by_its_field(cli: Run, photo: Path):
    data = photo.read_bytes()
    photo.write_bytes(data[: len(data) // 2])
    code, said = cli("edit-region", photo, *WHERE, *EDIT, "-o", "out.png")
    assert code == 2
    assert (said[-1]["error"]["reason"], said[-1]["error"]["field"]) == ("INVALID_FIELD", "picture")
    assert "damaged or cut off" in said[-1]["error"]["message"]


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def outside_is_untouched(after: np.ndarray, before: np.ndarray) -> bool:
    """And the inside is not what it was, or there would be nothing to see."""
    left, top, right, bottom = (int(edge) for edge in WHERE[1].split(","))
    outside = np.ones(before.shape[:2], bool)
    outside[top:bottom, left:right] = False
    moved = (after[..., :3] != before[..., :3]).any(axis=2)
    return after.shape == before.shape and not moved[outside].any() and bool(moved[~outside].any())
