"""By how much regions of edits and fills are grown and feathered when the request does not say."""

from __future__ import annotations

import numpy as np
import pytest

from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import results_pb2 as rs
from intarsia.v1 import segmentation_pb2 as sg
from tests.orchestrator.conftest import Client, click, png

CLICK = rg.Region(clicks=rg.Clicks(clicks=[rg.Click(x=80, y=60)]))
SQUARE = rg.Region(box=rg.Box(left=20, top=20, right=60, bottom=60, exact=True))


def combined(first: rg.Region, operation: rg.Term.Operation, second: rg.Region) -> rg.Region:
    terms = [
        rg.Term(operation=rg.Term.OPERATION_PLUS, region=first),
        rg.Term(operation=operation, region=second),
    ]
    return rg.Region(combination=rg.Combination(terms=terms))


async def planned(client: Client, name: str, region: rg.Region) -> rs.Part:
    request = click(name)
    request.region.CopyFrom(region)
    (part,) = (await client.ask(client.editing.PlanRegion(ed.PlanRegionRequest(edit_region=request)))).parts
    return part


async def test_what_a_model_found_is_grown_and_what_was_drawn_is_taken_as_drawn(
    client: Client, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    # A disc of radius 20, found in a picture of 160 pixels that the model sees with 64.
    found = await planned(client, name, CLICK)
    assert found.feather == pytest.approx(0.03 * 1264**0.5)
    assert found.grow == pytest.approx(1 + 1.5 * 160 / 64 + 2 * found.feather)
    assert found.region.box.left == 80 - 20 - int(found.grow)
    drawn = await planned(client, name, SQUARE)
    assert (drawn.grow, drawn.feather, drawn.region.area) == (0, pytest.approx(1.2), 1600)

    kept = rg.Region(clicks=CLICK.clicks, shaping=rg.Shaping(keep_outline=True))
    asked = rg.Region(clicks=CLICK.clicks, shaping=rg.Shaping(grow=3, feather=2))
    assert (await planned(client, name, kept)).region.area == 1264
    own = await planned(client, name, asked)
    assert (own.grow, own.feather, own.region.box.left) == (3, 2, 57)


async def test_only_an_edit_grows_and_it_does_not_grow_what_is_subtracted(
    client: Client, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    segmented = await client.ask(
        client.segmentation.SegmentRegion(sg.SegmentRegionRequest(picture=name, region=CLICK))
    )
    assert segmented.region.area == 1264
    whole = rg.Region(box=rg.Box(right=160, bottom=120, exact=True))
    rest = await planned(client, name, combined(whole, rg.Term.OPERATION_MINUS, CLICK))
    assert rest.region.area == 160 * 120 - 1264
    within = await planned(client, name, combined(whole, rg.Term.OPERATION_WITHIN, CLICK))
    assert within.region.area == (await planned(client, name, CLICK)).region.area
