"""What is said in Python is what is sent."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path

import pytest

import intarsia
from intarsia import errors
from intarsia.v1 import editing_pb2, region_pb2
from tests.intarsia.double import Double

WHERE = intarsia.click(120, 80)


def test_all_that_is_given_is_sent(client: intarsia.Client, double: Double, photo: Path) -> None:
    client.edit_region(
        photo,
        WHERE,
        "make it blue",
        negative_instruction="red",
        seed=7,
        steps=30,
        guidance=7.5,
        picture_guidance=1.5,
        scheduler="euler_ancestral",
        reproducible=True,
        context=0.25,
        working_size=512,
        format="webp",
        quality=80,
        preview_every=5,
        time_limit=timedelta(minutes=1, milliseconds=500),
        request_id="an-id",
        priority=-3,
        labels=("mural", "lot=7"),
        kind="batch",
    )
    (sent,) = double.requests("EditRegion")
    assert double.stored[sent.job.picture] == photo.read_bytes()
    expected = editing_pb2.EditRegionRequest(
        region=WHERE.proto,
        instruction="make it blue",
        negative_instruction="red",
        job=editing_pb2.PictureJob(
            picture=sent.job.picture,
            sampling=editing_pb2.Sampling(
                seed=7,
                steps=30,
                guidance={"text": 7.5, "picture": 1.5},
                scheduler=editing_pb2.SCHEDULER_EULER_ANCESTRAL,
                reproducible=True,
            ),
            cut=editing_pb2.Cut(context=0.25, working_size=512),
            output=editing_pb2.Output(format=editing_pb2.FORMAT_WEBP, quality=80),
            preview_every=5,
            request_id="an-id",
            priority=-3,
            labels=["mural", "lot=7"],
            kind="KIND_BATCH",
        ),
    )
    expected.job.time_limit.FromMilliseconds(60_500)
    expected.job.watched_within.FromSeconds(30)
    assert sent == expected


def test_what_is_left_out_is_left_to_the_server(client: intarsia.Client, double: Double) -> None:
    client.edit_region(b"a picture", WHERE, "make it blue")
    (sent,) = double.requests("EditRegion")
    optional = [(sent.job.sampling, "seed"), (sent.job.sampling, "steps"), (sent.job, "time_limit")]
    optional += [(sent.job.cut, "context"), (sent.job.cut, "working_size")]
    optional += [(sent.job.output, "quality"), (sent.job.cut, "overlap")]
    assert not any(group.HasField(name) for group, name in optional)
    assert not sent.job.sampling.guidance


def test_guidance_may_be_given_by_its_names(client: intarsia.Client, double: Double) -> None:
    client.edit_region(b"a picture", WHERE, "make it blue", guidance={"text": 3, "of a later model": 0.5})
    (sent,) = double.requests("EditRegion")
    assert sent.job.sampling.guidance == {"text": 3, "of a later model": 0.5}


def test_zero_is_not_nothing(client: intarsia.Client, double: Double) -> None:
    client.edit_region(b"a picture", WHERE, "make it blue", seed=0, context=0)
    (sent,) = double.requests("EditRegion")
    assert sent.job.sampling.HasField("seed") and sent.job.cut.HasField("context")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"seed": -1}, "sampling.seed"),
        ({"seed": 2**64}, "sampling.seed"),
        ({"steps": 1.5}, "sampling.steps"),
        ({"steps": "many"}, "sampling.steps"),
        ({"guidance": "much"}, "sampling.guidance.text"),
        ({"guidance": {"picture": "much"}}, "sampling.guidance.picture"),
        ({"scheduler": "best"}, "sampling.scheduler"),
        ({"format": "gif"}, "output.format"),
        ({"preview_every": -1}, "preview_every"),
        ({"time_limit": 0}, "time_limit"),
        ({"time_limit": float("nan")}, "time_limit"),
        ({"priority": 0.5}, "priority"),
        ({"labels": [7]}, "labels"),
        ({"kind": "urgent"}, "kind"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_field(
    client: intarsia.Client, double: Double, wrong: dict, field: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.edit_region(b"a picture", WHERE, "make it blue", **wrong)
    assert caught.value.field == field
    assert double.asked == []


def test_a_picture_is_a_file_bytes_or_an_artifact(
    client: intarsia.Client, double: Double, photo: Path
) -> None:
    artifact = client.upload(photo)
    for picture in (photo, str(photo), photo.read_bytes(), artifact, artifact.name):
        client.edit_region(picture, WHERE, "make it blue")
    assert {sent.job.picture for sent in double.requests("EditRegion")} == {artifact.name}
    assert len(double.requests("UploadArtifact")) == 1
    with pytest.raises(FileNotFoundError, match="nowhere"):
        client.edit_region("nowhere.png", WHERE, "make it blue")


def test_a_mask_of_this_machine_is_uploaded(client: intarsia.Client, double: Double, photo: Path) -> None:
    where = intarsia.mask(photo, inside="black").grown(2)
    client.edit_region(b"a picture", where, "make it blue")
    client.segment_region(b"a picture", where)
    (edit,), (segment,) = double.requests("EditRegion"), double.requests("SegmentRegion")
    assert edit.region == segment.region
    assert double.stored[edit.region.mask.artifact] == photo.read_bytes()
    assert edit.region.mask.polarity == region_pb2.POLARITY_BLACK_INSIDE


def test_a_region_may_be_a_message(client: intarsia.Client, double: Double) -> None:
    proto = region_pb2.Region(words=region_pb2.Words(phrase="yellow dress"))
    found = client.segment_region(b"a picture", proto)
    assert double.requests("SegmentRegion")[0].region == proto
    assert found.region.score == 0.875


async def test_both_clients_send_the_same(
    client: intarsia.Client, async_client: intarsia.AsyncClient, double: Double, photo: Path
) -> None:
    client.edit_region(photo, WHERE, "make it blue", seed=7, request_id="an-id").result()
    blocking = list(double.asked)
    for memory in (double.asked, double.stored, double.jobs):
        memory.clear()
    await (await async_client.edit_region(photo, WHERE, "make it blue", seed=7, request_id="an-id")).result()
    assert double.asked == blocking


def public(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member).replace(return_annotation=None)
        for name, member in vars(kind).items()
        if callable(member) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("face", "core"), [(intarsia.Client, intarsia.AsyncClient), (intarsia.Job, intarsia.AsyncJob)]
)
def test_the_blocking_face_has_every_method_with_its_signature_and_words(face: type, core: type) -> None:
    assert public(face) == public(core)
    for name in public(core):
        assert getattr(face, name).__doc__ == getattr(core, name).__doc__ is not None


def test_the_two_constructors_agree() -> None:
    parameters = dict(inspect.signature(intarsia.AsyncClient).parameters)
    del parameters["transport"]
    assert parameters == dict(inspect.signature(intarsia.Client).parameters)
