"""Requests and results of jobs survive being written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas.layout import Layout
from canvas.region import Best, Box, Clicks, Combination, Operation, Region, Term, Words
from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import results_pb2 as rs
from orchestrator.jobs.codec import from_plain, to_plain
from orchestrator.workflows.recipes import RECIPES
from orchestrator.workflows.sighting import Sighting
from tests.orchestrator.conftest import LOCAL, Start, click, png

KINDS = sorted({kind for recipe in RECIPES.values() for kind in (recipe.request, recipe.result)}, key=repr)


def through_json(value: Any) -> Any:
    return from_plain(type(value), json.loads(json.dumps(to_plain(value))))


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
@given(data=st.data())
def test_any_request_and_result_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    drawn = data.draw(st.from_type(kind))
    back = through_json(drawn)
    assert json.dumps(to_plain(back)) == json.dumps(to_plain(drawn))
    # Mappings of every sort come back as dictionaries; all else is the same, and NaN too.
    assert isinstance(back, kind) and repr(through_json(back)) == repr(back)


async def test_the_results_of_jobs_come_back_as_they_were(start: Start, picture: np.ndarray) -> None:
    orchestrator, client = await start()
    name = await client.upload(png(picture))
    output = ed.Output(views=[rs.View.KIND_OVERLAY, rs.View.KIND_LAYER], collage=ed.Collage())
    edit = await client.edit(click(name, candidates=2, output=output))
    fill = await client.ask(
        client.editing.FillRegion(ed.FillRegionRequest(job=click(name).job, region=click(name).region))
    )
    for job in (edit, fill):
        await client.finished(job.name)
        result = (await orchestrator.jobs.get(LOCAL, job.name)).result
        assert through_json(result) == result


def test_json_says_which_of_several_kinds_a_value_is() -> None:
    region = Region(Combination((Term(Operation.MINUS, Region(Words("sky"))),)))
    plain = to_plain(region)
    assert plain["selector"]["type"] == "Combination" and plain["choice"] == {"type": "Best"}
    assert plain["selector"]["terms"][0]["operation"] == "minus"
    assert through_json(region) == region


@dataclass(frozen=True)
class Older:
    layout: Layout


@dataclass(frozen=True)
class Newer:
    layout: Layout
    sides: tuple[int, int] | None = None


def test_a_field_that_is_missing_takes_its_default() -> None:
    assert from_plain(Newer, to_plain(Older(Layout.KEEP))) == Newer(Layout.KEEP)


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Sighting, {"frame": 3}),
        (Sighting, {"frame": "3", "target": {}}),
        (Sighting, []),
        (Region, {"selector": {"type": "Circle"}}),
        (Region, {"selector": {}}),
        (Newer, {"layout": "round"}),
        (Newer, {"layout": "fit", "sides": [1]}),
        (Newer, {"layout": "fit", "sides": [1, 2.5]}),
        (Box, None),
    ],
)
def test_other_values_are_refused(kind: type, plain: Any) -> None:
    with pytest.raises(ValueError):
        from_plain(kind, plain)


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="ndarray"):
        to_plain(Clicks((np.zeros(3),)))  # type: ignore[arg-type]
    assert to_plain(Best()) == {}
