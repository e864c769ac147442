"""Results are values of plain Python, whose pictures can be had in several forms."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf.message import Message
from PIL import Image

import intarsia
from intarsia import errors, from_proto, pixels, results
from intarsia.files import AsyncResultFile, ResultFile
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.double import Double

WHERE = intarsia.click(1, 2)
PLAIN = (str, int, float, bool, timedelta, datetime, Enum, type(None), errors.IntarsiaError)


def png(picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)
    assert done
    return data.tobytes()


def noise(*shape: int, kind: str = "uint8") -> np.ndarray:
    top = 65535 if kind == "uint16" else 255
    return np.random.default_rng(7).integers(0, top, shape, kind, endpoint=True)


def leaves(value: Any) -> list[Any]:
    """All that a value is made of."""
    if dataclasses.is_dataclass(value):
        if type(value).__name__ in ("ResultFile", "AsyncResultFile"):
            return [value.name]
        assert type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]
        return [leaf for each in dataclasses.fields(value) for leaf in leaves(getattr(value, each.name))]
    if isinstance(value, dict):
        return [leaf for pair in value.items() for each in pair for leaf in leaves(each)]
    if isinstance(value, tuple):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def test_everything_that_is_answered_is_plain_python(client: intarsia.Client, double: Double) -> None:
    picture = double.keep(b"a picture")
    job = client.edit_region(
        picture, WHERE, "x", candidates=2, views=["overlay", "layer"], collage=True, preview_every=1
    )
    request = client.edit_request(WHERE, "x")
    answers = [
        *job.watch(),
        job.wait(),
        job.cancel(),
        *client.list_jobs(),
        client.track_region(picture, WHERE, overlay=True).result(),
        client.plan_region(picture, request),
        client.segment_region(picture, WHERE),
        client.inspect_adapter(picture, "ip2p_unet"),
        client.upload(b"bytes"),
        client.get_artifact(picture),
    ]
    for answer in answers:
        for leaf in leaves(answer):
            assert isinstance(leaf, PLAIN) and not isinstance(leaf, Message)
            hash(leaf)


def test_a_result_reads_like_a_value(client: intarsia.Client, double: Double) -> None:
    result = client.edit_region(
        b"a picture", WHERE, "x", candidates=2, views=["overlay", "layer"], collage=True
    ).result()
    assert isinstance(result, results.PictureResult)
    assert result.manifest.notes == ("16-bit values were rounded to 8 bits",)
    assert result.views["overlay"].bytes() == b"view 2"
    assert [one.views["layer"].bytes() for one in result.candidates] == [b"view 4 of 1", b"view 4 of 2"]
    assert result.collage is not None and result.collage.bytes() == b"a collage"
    plain = client.edit_region(b"a picture", WHERE, "x").result()
    assert plain.collage is None and plain.views == {}
    assert plain.picture == result.picture and {plain.picture: 1}[result.picture] == 1


def test_durations_times_and_states_are_pythons(client: intarsia.Client, double: Double) -> None:
    plan = client.plan_region(double.keep(b"a picture"), client.edit_request(WHERE, "x"))
    assert plan.denoising == timedelta(seconds=1.5) and plan.evaluations == 3
    double.by_hand = True
    job = client.edit_region(b"a picture", WHERE, "x")
    double.advance(job.name, stage="denoise", remaining=timedelta(seconds=2.5))
    double.jobs[job.name][-1].create_time.FromDatetime(datetime(2026, 1, 2, 3, 4, 5))
    state = job.get()
    assert (
        state.state is intarsia.JobState.RUNNING
        and state.state == "running"
        and f"{state.state}" == "running"
    )
    assert state.progress.remaining == timedelta(seconds=2.5) and not state.state.finished
    assert state.create_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert (state.start_time, state.error, state.result) == (None, None, None)


def test_a_result_that_this_client_does_not_know_is_no_result(
    client: intarsia.Client, double: Double
) -> None:
    double.by_hand = True
    job = client.edit_region(b"a picture", WHERE, "x")
    double.finish(job.name, Job.STATE_SUCCEEDED)
    with pytest.raises(errors.InternalError, match="update the client"):
        job.result()


def test_a_state_that_this_client_does_not_know_is_named() -> None:
    with pytest.raises(errors.InternalError, match=r"jobs/7 is in the state 99.*Then update the client"):
        from_proto.job_status(Job(name="jobs/7", state=99), str)  # type: ignore[arg-type]


def test_a_picture_comes_out_in_every_form(client: intarsia.Client, double: Double, tmp_path: Path) -> None:
    colours = noise(6, 5, 3)
    name = double.keep(png(colours))
    picture = ResultFile(name, AsyncResultFile(name, client._core._calls))
    assert str(picture) == f"{picture}" == picture.name == name
    assert picture.bytes() == client.read(picture) == double.stored[name]
    assert picture.save(tmp_path / "out.png").read_bytes() == double.stored[name]
    assert client.download(picture, to=tmp_path / "again.png").read_bytes() == double.stored[name]
    assert np.array_equal(np.asarray(picture.image()), colours)
    assert np.array_equal(picture.array(), colours)
    assert client.get_artifact(picture).name == name
    client.edit_region(picture, WHERE, "once more")
    assert double.requests("EditRegion")[-1].job.picture == name and double.requests("UploadArtifact") == []


async def test_a_picture_comes_out_in_asyncio_as_well(
    async_client: intarsia.AsyncClient, double: Double, tmp_path: Path
) -> None:
    result = await (await async_client.edit_region(b"a picture", WHERE, "x")).result()
    assert await result.picture.bytes() == await async_client.read(result.picture) == b"an edited picture"
    assert (await result.picture.save(tmp_path / "out.png")).read_bytes() == b"an edited picture"
    grey = noise(4, 3)
    mask = AsyncResultFile(double.keep(png(grey)), async_client._calls)
    assert np.array_equal(await mask.array(), grey)
    assert (await mask.image()).size == (3, 4)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 4), (1, 1, 3)])
def test_an_array_goes_in_and_comes_out_unchanged(shape: tuple[int, ...], kind: str) -> None:
    values = noise(*shape, kind=kind)
    data = pixels.encoded(values)
    assert pixels.encoded(values.copy(order="F")) == data  # the same values are uploaded once
    back = pixels.array(data)
    assert back.dtype == values.dtype and np.array_equal(back, values)
    if kind == "uint8":
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), values)


def test_a_picture_of_the_callers_libraries_is_uploaded_as_png(
    client: intarsia.Client, double: Double
) -> None:
    colours = noise(6, 5, 3)
    for picture in (colours, Image.fromarray(colours)):
        sent = double.stored[client.upload(picture).name]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), colours)
    inside = np.zeros((6, 5), bool)
    inside[2:4] = True
    client.edit_region(colours, intarsia.mask(inside, inside="white"), "x")
    mask = double.stored[double.requests("EditRegion")[-1].region.mask.artifact]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(mask))), inside * 255)


def test_an_image_keeps_its_profile_and_orientation() -> None:
    photo = Image.fromarray(noise(6, 5, 3))
    photo.getexif()[0x0112] = 6  # to be turned
    photo.info["icc_profile"] = b"a profile"
    sent = Image.open(io.BytesIO(pixels.encoded(photo)))
    assert sent.getexif()[0x0112] == 6 and sent.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize(
    "picture",
    [
        noise(4, 4).astype(float),
        noise(4, 4, 2),
        noise(4),
        np.zeros((0, 4, 3), np.uint8),
        Image.new("CMYK", (4, 4)),
    ],
    ids=lambda picture: str(getattr(picture, "shape", picture)),
)
def test_a_picture_that_is_no_png_is_refused(picture: Any, client: intarsia.Client) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.edit_region(picture, WHERE, "x")
    assert caught.value.field == "picture"


@pytest.mark.parametrize(
    ("missing", "form", "named"),
    [
        (("PIL",), "image", "Pillow"),
        (("cv2", "PIL"), "array", "Pillow"),
        (("numpy", "cv2"), "array", "NumPy"),
    ],
)
def test_a_missing_library_is_named(
    missing: tuple[str, ...], form: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = png(noise(4, 4, 3))
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=named):
        getattr(pixels, form)(data)


def test_without_opencv_pictures_come_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for values in (noise(4, 3, 3), noise(4, 3)):
        assert np.array_equal(pixels.array(png(values)), values)
    with pytest.raises(ImportError, match="OpenCV"):
        pixels.array(png(noise(4, 3, 3, kind="uint16")))


def test_bytes_go_in_without_any_library() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['numpy', 'PIL', 'cv2']))\n"
        "from intarsia import pixels; assert pixels.encoded(b'bytes') == b'bytes'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
