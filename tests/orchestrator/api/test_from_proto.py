"""Requests off the wire."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from canvas.layout import Cut
from canvas.region import Best, Click, Clicks, Region, Shaping
from intarsia.errors import InvalidRequest
from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from orchestrator.api import from_proto
from orchestrator.jobs.job import Kind, State
from orchestrator.workflows.edit_region import Edit, EditRegion
from orchestrator.workflows.picture_request import Output
from orchestrator.workflows.sampling import Sampling
from orchestrator.workflows.selection import FieldRegion

NAME = "artifacts/" + "9f" * 32


def valid() -> ed.EditRegionRequest:
    return ed.EditRegionRequest(
        region=rg.Region(clicks=rg.Clicks(clicks=[rg.Click(x=3, y=4)])),
        instruction="make it blue",
        job=ed.PictureJob(
            picture=NAME,
        ),
    )


def test_what_is_left_out_has_the_defaults_of_the_protos() -> None:
    assert from_proto.edit_region(valid()) == EditRegion(
        picture=NAME,
        edits=(
            Edit(
                FieldRegion(Region(Clicks((Click(3.0, 4.0),)), Best(), Shaping())),
                "make it blue",
                "",
            ),
        ),
        sampling=Sampling(),
        cut=Cut(0.5, None),
        output=Output(None, 95),
        preview_every=0,
    )


def with_(**changes: Any) -> Callable[[ed.EditRegionRequest], None]:
    def change(request: ed.EditRegionRequest) -> None:
        for name, value in changes.items():
            holder = request.job if hasattr(request.job, name) else request
            if isinstance(value, Message):
                getattr(holder, name).CopyFrom(value)
            else:
                setattr(holder, name, value)

    return change


NAN, INFINITE = math.nan, math.inf
unknown: Any = 77
WRONG = [
    ("picture", with_(picture="")),
    ("picture", with_(picture="photo.png")),
    ("picture", with_(picture=NAME.upper())),
    ("picture", with_(picture=NAME + "\n")),
    ("instruction", with_(instruction="")),
    ("instruction", with_(instruction=" \n")),
    ("instruction", with_(instruction="x" * 2001)),
    ("negative_instruction", with_(negative_instruction="x" * 2001)),
    ("preview_every", with_(preview_every=1001)),
    ("region", with_(region=rg.Region())),
    ("region.box.right", with_(region=rg.Region(box=rg.Box(left=2, right=2)))),
    ("sampling.seed", with_(sampling=ed.Sampling(seed=2**63))),
    ("sampling.steps", with_(sampling=ed.Sampling(steps=0))),
    ("sampling.steps", with_(sampling=ed.Sampling(steps=1001))),
    ("sampling.guidance.text", with_(sampling=ed.Sampling(guidance={"text": -0.5}))),
    ("sampling.guidance.text", with_(sampling=ed.Sampling(guidance={"text": NAN}))),
    ("sampling.guidance.picture", with_(sampling=ed.Sampling(guidance={"picture": 100.5}))),
    ("sampling.scheduler", with_(sampling=ed.Sampling(scheduler=unknown))),
    ("cut.context", with_(cut=ed.Cut(context=8.5))),
    ("cut.context", with_(cut=ed.Cut(context=INFINITE))),
    ("cut.working_size", with_(cut=ed.Cut(working_size=63))),
    ("cut.working_size", with_(cut=ed.Cut(working_size=2049))),
    ("output.format", with_(output=ed.Output(format=unknown))),
    ("output.quality", with_(output=ed.Output(quality=0))),
    ("output.quality", with_(output=ed.Output(quality=101))),
]


@pytest.mark.parametrize(("field", "spoil"), WRONG)
def test_a_wrong_field_is_named(field: str, spoil: Callable[[ed.EditRegionRequest], None]) -> None:
    request = valid()
    spoil(request)
    with pytest.raises(InvalidRequest) as caught:
        from_proto.edit_region(request)
    assert caught.value.field == field
    assert len(caught.value.message) > 20


def test_every_value_of_every_enum_is_known() -> None:
    assert set(from_proto.SCHEDULERS) == set(ed.Scheduler.values())
    assert set(from_proto.FORMATS) == set(ed.Format.values())
    assert set(from_proto.STATES) == set(jb.Job.State.values()) - {jb.Job.STATE_UNSPECIFIED}
    assert set(from_proto.STATES.values()) == set(State)
    assert set(from_proto.KINDS) == set(jb.Job.Kind.values())
    assert set(from_proto.KINDS.values()) == {None, *Kind}


def reals(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, width=32)


@given(
    st.integers(0, 2**63 - 1),
    st.integers(1, 1000),
    reals(0, 100),
    reals(0, 100),
    st.sampled_from(ed.Scheduler.values()),
    st.booleans(),
)
def test_any_sampling_means_the_same_on_both_sides(
    seed: int, steps: int, guidance: float, picture_guidance: float, scheduler: Any, reproducible: bool
) -> None:
    request = valid()
    request.job.sampling.CopyFrom(
        ed.Sampling(
            seed=seed,
            steps=steps,
            guidance={"text": guidance, "picture": picture_guidance},
            scheduler=scheduler,
            reproducible=reproducible,
        )
    )
    crossed = ed.EditRegionRequest.FromString(request.SerializeToString())
    word = from_proto.SCHEDULERS[scheduler]
    assert from_proto.edit_region(crossed).sampling == Sampling(
        seed, steps, {"text": guidance, "picture": picture_guidance}, word, reproducible
    )


@given(st.binary(max_size=300))
def test_no_bytes_get_past_the_border_as_anything_but_a_request_or_an_error(noise: bytes) -> None:
    request = valid()
    try:
        request.MergeFromString(noise)
    except DecodeError:
        return
    try:
        assert isinstance(from_proto.edit_region(request), EditRegion)
    except InvalidRequest as error:
        assert error.field
