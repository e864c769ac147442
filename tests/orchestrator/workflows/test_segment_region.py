"""Regions by words, by combination and by correction, as the rpc answers them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from intarsia.errors import DoubtfulRegion, EmptyRegion, InvalidRequest, NotFound
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import segmentation_pb2 as sg
from orchestrator.triton.tensors import Tensors
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.triton import Triton

PLUS, MINUS, WITHIN = rg.Term.OPERATION_PLUS, rg.Term.OPERATION_MINUS, rg.Term.OPERATION_WITHIN
DRESS, HAT, BELT = (10, 10, 50, 60), (70, 10, 100, 40), (10, 30, 50, 36)


class Shown:
    """A picture of 160 x 120 that is known to the server, and what is said about it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    async def segment(self, region: rg.Region) -> sg.SegmentRegionResponse:
        request = sg.SegmentRegionRequest(picture=self.name, region=region)
        return await self.client.ask(self.client.segmentation.SegmentRegion(request))

    async def mask(self, region: rg.Region) -> np.ndarray:
        """What is selected, as degrees of 255."""
        return await self.client.pixels((await self.segment(region)).region.mask)

    async def refused(self, kind: type[Any], region: rg.Region) -> Any:
        with pytest.raises(kind) as caught:
            await self.segment(region)
        return caught.value


@pytest.fixture
async def shown(triton: Triton, start: Start, picture: np.ndarray) -> Shown:
    """The things in the picture: two of clothing, one of which is a hat, and the belt on the other."""
    triton.sam.knows_words = True
    triton.sam.things = {
        "clothes": [(DRESS, 0.9), (HAT, 0.7)],
        "hat": [(HAT, 0.8)],
        "belt": [(BELT, 0.6)],
        "shoe": [((0, 0, 5, 5), 0.31)],
    }
    _, client = await start()
    return Shown(client, await client.upload(png(picture)))


def named(phrase: str, **options: Any) -> rg.Region:
    return rg.Region(words=rg.Words(phrase=phrase, **options))


def drawn(left: float, top: float, right: float, bottom: float, **options: Any) -> rg.Region:
    return rg.Region(box=rg.Box(left=left, top=top, right=right, bottom=bottom, exact=True), **options)


def combined(*terms: tuple[Any, rg.Region], **options: Any) -> rg.Region:
    made = [rg.Term(operation=operation, region=region) for operation, region in terms]
    return rg.Region(combination=rg.Combination(terms=made), **options)


def inside(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((120, 160), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


async def test_words_find_every_thing_of_that_name(shown: Shown) -> None:
    found = await shown.segment(named("clothes"))
    assert [round(one.score, 3) for one in found.instances] == [0.9, 0.7]
    for one, (left, top, right, bottom) in zip(found.instances, (DRESS, HAT), strict=True):
        assert one.box == rg.PixelBox(left=left, top=top, right=right, bottom=bottom)
        assert one.area == (right - left) * (bottom - top)
        assert np.array_equal(
            await shown.client.pixels(one.mask), inside((left, top, right, bottom)) * np.uint8(255)
        )
    assert (found.region.area, found.region.score) == (found.instances[0].area, found.instances[0].score)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (rg.Choice(best=rg.Choice.Best()), [DRESS]),
        (rg.Choice(all=rg.Choice.All()), [DRESS, HAT]),
        (rg.Choice(index=1), [HAT]),
        (rg.Choice(nearest=rg.Corner(x=150, y=5)), [HAT]),
    ],
)
async def test_which_of_the_things_is_chosen(
    shown: Shown, choice: rg.Choice, meant: list[tuple[int, int, int, int]]
) -> None:
    region = named("clothes")
    region.choice.CopyFrom(choice)
    assert np.array_equal(await shown.mask(region) > 0, inside(*meant))


async def test_the_threshold_decides_what_counts_as_found(shown: Shown) -> None:
    assert len((await shown.segment(named("clothes", threshold=0.8))).instances) == 1
    assert len((await shown.segment(named("shoe", threshold=0.3))).instances) == 1


async def test_words_that_find_nothing_say_what_was_looked_for_and_the_best_score_seen(shown: Shown) -> None:
    error = await shown.refused(EmptyRegion, named("shoe", not_phrases=["boot"], not_at=[rg.Corner(x=1)]))
    for part in ("“shoe”", "threshold 0.5", "“boot”", "(1, 0)", "0.310", "lower the threshold"):
        assert part in error.message
    assert {"best_score": "0.310", "phrase": "shoe", "threshold": "0.5"}.items() <= error.facts.items()
    error = await shown.refused(EmptyRegion, named("zeppelin"))
    assert error.facts["best_score"] == "0.000"


async def test_unwanted_things_are_not_selected_and_lose_what_they_share(shown: Shown) -> None:
    region = named("clothes", not_phrases=["hat", "belt", "zeppelin"])
    found = await shown.segment(region)
    assert [round(one.score, 3) for one in found.instances] == [0.9]
    assert np.array_equal(await shown.mask(region) > 0, inside(DRESS) & ~inside(BELT))


async def test_things_at_an_unwanted_point_are_not_selected(shown: Shown) -> None:
    region = named("clothes", not_at=[rg.Corner(x=20, y=20)])
    assert np.array_equal(await shown.mask(region) > 0, inside(HAT))
    region = named("clothes", not_at=[rg.Corner(x=0.125, y=0.15)])
    region.units = rg.UNITS_RELATIVE
    assert np.array_equal(await shown.mask(region) > 0, inside(HAT))


async def test_the_error_says_when_all_candidates_were_excluded(shown: Shown) -> None:
    region = named("clothes", not_phrases=["hat"], not_at=[rg.Corner(x=20, y=20)])
    error = await shown.refused(EmptyRegion, region)
    for part in ("“clothes”", "“hat”", "(20, 20)", "found before: 2", "0.900"):
        assert part in error.message
    assert {"candidates": "2", "best_score": "0.900"}.items() <= error.facts.items()


async def test_long_words_of_any_script_do_not_outgrow_an_error(shown: Shown) -> None:
    long = "衣" * 200
    words = named(long, not_phrases=[long] * 16, not_at=[rg.Corner(x=1, y=1)] * 64)
    for region in (words, combined(*[(PLUS, words)] * 64)):
        assert "衣衣…" in (await shown.refused(EmptyRegion, region)).message


async def test_a_picture_is_sent_once_however_many_questions_there_are(shown: Shown, triton: Triton) -> None:
    words = named("clothes", not_phrases=["hat", "belt", "shoe"])
    await shown.segment(combined((PLUS, words), (PLUS, click("").region), (MINUS, named("hat"))))
    assert triton.sam.pictures_received == 1 and len(triton.sam.asked) == 6
    triton.sam.known.clear()
    await shown.segment(named("hat"))
    await shown.segment(words)
    assert triton.sam.pictures_received == 2


async def test_independent_regions_are_looked_for_at_once(
    shown: Shown, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shown.segment(named("hat"))  # the picture is known from here on
    answer, waiting, all_here = triton.sam.answer, set[int](), asyncio.Event()

    async def once_all_are_here(inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" not in inputs:
            waiting.add(len(waiting))
            if len(waiting) == 3:
                all_here.set()
            await all_here.wait()
        async for reply in answer(inputs):
            yield reply

    monkeypatch.setattr(triton.sam, "answer", once_all_are_here)
    found = await shown.segment(
        combined((PLUS, named("clothes")), (PLUS, named("hat")), (MINUS, named("belt")))
    )
    assert found.region.area == (inside(DRESS, HAT) & ~inside(BELT)).sum()


async def test_a_combination_is_worked_out_from_left_to_right(shown: Shown) -> None:
    one, other, third = (0, 0, 40, 40), (20, 20, 60, 60), (10, 10, 30, 30)
    a, b, c = inside(one), inside(other), inside(third)
    for terms, expected in (
        (((PLUS, one), (PLUS, other), (MINUS, third)), (a | b) & ~c),
        (((PLUS, one), (MINUS, third), (PLUS, other)), (a & ~c) | b),
        (((PLUS, one), (WITHIN, other), (PLUS, third)), (a & b) | c),
    ):
        region = combined(*((operation, drawn(*box)) for operation, box in terms))
        found = await shown.segment(region)
        assert np.array_equal(await shown.client.pixels(found.region.mask) > 0, expected)
        assert len(found.instances) == 1 and found.instances[0] == found.region
    nested = combined((PLUS, drawn(*one)), (MINUS, combined((PLUS, drawn(*other)), (WITHIN, drawn(*third)))))
    assert np.array_equal(await shown.mask(nested) > 0, a & ~(b & c))


async def test_many_regions_are_combined_in_their_order(shown: Shown) -> None:
    terms, expected = [], np.zeros((120, 160), bool)
    for n in range(32):
        box = (3 * n, 0, 3 * n + 9, 50)
        terms += [(PLUS, drawn(*box)), (MINUS, drawn(3 * n + 1, 10, 3 * n + 5, 20))]
        expected = (expected | inside(box)) & ~inside((3 * n + 1, 10, 3 * n + 5, 20))
    assert np.array_equal(await shown.mask(combined(*terms)) > 0, expected)


async def test_each_region_of_a_combination_has_its_own_shape_choice_and_units(shown: Shown) -> None:
    clothes = named("clothes", threshold=0.6)
    clothes.choice.index = 1
    clothes.shaping.grow = 2
    quarter = drawn(0, 0, 0.5, 0.5, units=rg.UNITS_RELATIVE, shaping=rg.Shaping(invert=True))
    grown = inside((68, 10, 102, 40), (70, 8, 100, 42), (69, 9, 101, 41))
    expected = (grown & ~inside((0, 0, 80, 60))) | inside((90, 20, 92, 30))
    region = combined((PLUS, clothes), (WITHIN, quarter), (PLUS, drawn(90, 20, 92, 30)))
    assert np.array_equal(await shown.mask(region) > 0, expected)
    region.shaping.grow, region.shaping.invert = 3, True
    assert not (await shown.mask(region) > 0)[expected].any()


async def test_a_combination_is_as_sure_as_the_least_sure_region_that_was_added(shown: Shown) -> None:
    region = combined((PLUS, drawn(0, 0, 9, 9)), (PLUS, named("hat")), (MINUS, named("belt")))
    found = await shown.segment(region)
    assert found.region.score == found.instances[0].score == pytest.approx(0.8)


async def test_degrees_of_a_mask_are_combined_as_degrees(shown: Shown) -> None:
    levels = np.zeros((120, 160), np.uint8)
    levels[:, :80] = 102
    mask = rg.Mask(
        artifact=await shown.client.upload(png(levels)), polarity=rg.POLARITY_WHITE_INSIDE, fit=True
    )
    soft = rg.Region(mask=mask)
    left = await shown.mask(combined((PLUS, drawn(0, 0, 160, 60)), (MINUS, soft)))
    assert (left[:60, :80] == 153).all() and (left[:60, 80:] == 255).all() and not left[60:].any()
    kept = await shown.mask(combined((PLUS, drawn(0, 0, 160, 60)), (WITHIN, soft)))
    assert (kept[:60, :80] == 102).all() and not kept[:60, 80:].any()
    soft.mask.threshold = 0.5
    await shown.refused(EmptyRegion, soft)
    soft.mask.threshold = 0.4
    assert (await shown.mask(soft) == inside((0, 0, 80, 120)) * np.uint8(255)).all()


async def test_taking_nothing_away_changes_nothing(shown: Shown) -> None:
    nothing = named("zeppelin")
    dress = inside(DRESS)
    for least in (nothing, drawn(20.1, 20.1, 20.2, 20.2), combined((PLUS, nothing))):
        assert np.array_equal(await shown.mask(combined((PLUS, drawn(*DRESS)), (MINUS, least))) > 0, dress)
    nothing.shaping.invert = True  # all but the zeppelin
    await shown.refused(EmptyRegion, combined((PLUS, drawn(*DRESS)), (MINUS, nothing)))


@pytest.mark.parametrize("operation", [PLUS, WITHIN])
async def test_a_region_that_adds_or_keeps_nothing_is_named(shown: Shown, operation: Any) -> None:
    error = await shown.refused(EmptyRegion, combined((PLUS, drawn(*DRESS)), (operation, named("shoe"))))
    assert "region 2" in error.message and "“shoe”" in error.message
    assert error.facts["term"] == "region.combination.terms[1].region"
    assert error.facts["best_score"] == "0.310"
    shrunk = drawn(*DRESS, shaping=rg.Shaping(shrink=99))
    error = await shown.refused(EmptyRegion, combined((PLUS, drawn(*DRESS)), (operation, shrunk)))
    assert "region 2" in error.message


async def test_a_combination_of_which_nothing_is_left_is_empty(shown: Shown) -> None:
    error = await shown.refused(EmptyRegion, combined((PLUS, named("hat")), (MINUS, drawn(0, 0, 160, 120))))
    assert "the words “hat” minus the box (0, 0) to (160, 120)" in error.message


async def test_what_was_chosen_is_corrected_before_it_is_shaped(shown: Shown, triton: Triton) -> None:
    region = named("clothes", threshold=0.8)
    region.corrections.extend([rg.Click(x=100, y=100), rg.Click(x=30, y=30, outside=True)])
    region.shaping.invert = True
    found = await shown.segment(region)
    y, x = np.mgrid[:120, :160] + 0.5
    expected = (inside(DRESS) | (np.hypot(x - 100, y - 100) <= 10)) & ~(np.hypot(x - 30, y - 30) <= 10)
    assert np.array_equal(await shown.client.pixels(found.region.mask) == 0, expected)
    assert found.region.score == pytest.approx(0.7) and found.instances[0].score == pytest.approx(0.9)
    np.testing.assert_array_equal(triton.sam.asked[-1]["mask"], inside(DRESS))


async def test_drawn_regions_and_combinations_are_corrected_too(shown: Shown, triton: Triton) -> None:
    outside = [rg.Click(x=30, y=30, outside=True)]
    left = drawn(*DRESS, corrections=outside)
    y, x = np.mgrid[:120, :160] + 0.5
    expected = inside(DRESS) & ~(np.hypot(x - 30, y - 30) <= 10)
    assert np.array_equal(await shown.mask(left) > 0, expected)
    whole = combined((PLUS, drawn(*DRESS)), (PLUS, drawn(*HAT)), corrections=outside)
    assert np.array_equal(await shown.mask(whole) > 0, expected | inside(HAT))
    levels = inside(DRESS) * np.uint8(128) + inside(HAT) * np.uint8(127)
    mask = rg.Mask(artifact=await shown.client.upload(png(levels)), polarity=rg.POLARITY_WHITE_INSIDE)
    assert np.array_equal(await shown.mask(rg.Region(mask=mask, corrections=outside)) > 0, expected)


async def test_corrections_that_leave_nothing_are_said_to(shown: Shown) -> None:
    small = drawn(28, 28, 32, 32, corrections=[rg.Click(x=30, y=30, outside=True)])
    assert "correction" in (await shown.refused(EmptyRegion, small)).message


@pytest.mark.parametrize(
    ("region", "field"),
    [
        (drawn(0, 0, 9, 9, corrections=[rg.Click(), rg.Click(x=160)]), "region.corrections[1].x"),
        (named("hat", not_at=[rg.Corner(y=120)]), "region.words.not_at[0].y"),
        (
            combined((PLUS, named("hat")), (MINUS, drawn(200, 0, 210, 9))),
            "region.combination.terms[1].region.box.left",
        ),
        (
            combined((PLUS, rg.Region(words=rg.Words(phrase="clothes"), choice=rg.Choice(index=2)))),
            "region.combination.terms[0].region.choice.index",
        ),
        (
            combined((PLUS, combined((PLUS, named("hat", not_phrases=["belt", "bad"]))))),
            "region.combination.terms[0].region.combination.terms[0].region.words.not_phrases[1]",
        ),
        (named("bad"), "region.words.phrase"),
    ],
)
async def test_what_is_wrong_is_named_by_its_whole_path(
    shown: Shown, triton: Triton, region: rg.Region, field: str
) -> None:
    triton.sam.refuses = "bad"
    assert (await shown.refused(InvalidRequest, region)).field == field


async def test_a_mask_in_a_combination_is_named_by_its_whole_path(shown: Shown) -> None:
    small = await shown.client.upload(png(np.full((60, 80), 255, np.uint8)))
    mask = rg.Region(mask=rg.Mask(artifact=small, polarity=rg.POLARITY_WHITE_INSIDE))
    region = combined((PLUS, named("hat")), (MINUS, mask))
    error = await shown.refused(InvalidRequest, region)
    assert error.field == "region.combination.terms[1].region.mask.artifact"
    region.combination.terms[1].region.mask.fit = True
    region.combination.terms[0].region.box.CopyFrom(drawn(0, 0, 9, 9).box)
    await shown.refused(EmptyRegion, region)
    mask.mask.artifact = await shown.client.upload(b"no picture")
    error = await shown.refused(InvalidRequest, combined((PLUS, mask)))
    assert error.field == "region.combination.terms[0].region.mask.artifact"


async def test_a_mask_that_was_never_uploaded_is_not_found_wherever_it_is_named(shown: Shown) -> None:
    mask = rg.Mask(artifact=f"artifacts/{'0' * 64}", polarity=rg.POLARITY_WHITE_INSIDE)
    region = combined((PLUS, named("hat")), (PLUS, combined((PLUS, rg.Region(mask=mask)))))
    await shown.refused(NotFound, region)
    request = click(shown.name)
    request.region.CopyFrom(region)
    with pytest.raises(NotFound, match="0000"):
        await shown.client.edit(request)


async def test_doubts_about_a_region_are_notes_unless_the_request_is_strict(
    shown: Shown, triton: Triton
) -> None:
    region = rg.Region(clicks=rg.Clicks(clicks=[rg.Click(x=80, y=60)]))
    sure = await shown.segment(region)
    assert not sure.notes and sure.region.stability == pytest.approx(0.95)
    triton.sam.stability = np.array([0.4, 0.9], np.float32)
    doubtful = await shown.segment(region)
    (note,) = doubtful.notes
    assert note == "the outline of the region is uncertain: its stability is 0.40"
    assert doubtful.region.stability == pytest.approx(0.4)
    assert (await shown.segment(drawn(0, 0, 90, 90))).region.stability == 1

    strict = sg.SegmentRegionRequest(picture=shown.name, region=region, strict=True)
    with pytest.raises(DoubtfulRegion, match=r"stability is 0\.40; point at the thing") as caught:
        await shown.client.ask(shown.client.segmentation.SegmentRegion(strict))
    assert caught.value.field == "region" and caught.value.facts["stability"] == "0.400"
    both = await shown.segment(combined((PLUS, drawn(0, 0, 9, 9)), (PLUS, region)))
    assert both.notes == [f"region 2 of those combined: {note}"]


async def test_a_strict_edit_of_a_doubtful_region_fails(shown: Shown, triton: Triton) -> None:
    triton.sam.stability = np.array([0.4, 0.9], np.float32)
    request = click(shown.name)
    request.job.strict = True
    job = await shown.client.finished((await shown.client.edit(request)).name)
    assert (job.failure.reason, job.failure.metadata["field"]) == ("DOUBTFUL_REGION", "region")
    request.job.strict = False
    job = await shown.client.finished((await shown.client.edit(request)).name)
    assert "its stability is 0.40" in " ".join(job.result.picture.manifest.notes)
