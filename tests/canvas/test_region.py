from dataclasses import replace

from canvas.region import (
    Box,
    Click,
    Clicks,
    Combination,
    Nearest,
    Operation,
    Polygon,
    Region,
    Shaping,
    Term,
    Words,
    every,
    in_pixels,
)
from canvas.validate import check_inside


def test_fractions_become_pixels_and_lengths_stay():
    region = Region(Box(0.1, 0.25, 0.5, 1.0), Nearest(0.5, 0.5), Shaping(grow=3), relative=True)
    assert in_pixels(region, 200, 100) == Region(Box(20, 25, 100, 100), Nearest(100, 50), Shaping(grow=3))


def test_a_click_at_the_very_end_means_the_last_pixel():
    region = in_pixels(Region(Clicks((Click(1.0, 0.0, outside=True),)), relative=True), 200, 100)
    assert region.selector == Clicks((Click(199.5, 0.0, outside=True),))
    check_inside(region, 200, 100)


def test_corners_scale_and_words_do_not():
    outline = Region(Polygon(((0, 0), (1, 0), (1, 1))), relative=True)
    assert in_pixels(outline, 8, 4).selector == Polygon(((0, 0), (8, 0), (8, 4)))
    words = Region(Words("yellow dress", not_phrases=("belt",)))
    assert in_pixels(replace(words, relative=True), 8, 4) == words


def test_points_that_words_and_corrections_name_are_fractions_too():
    words = Words("yellow dress", not_at=((0.5, 1.0),))
    region = Region(words, corrections=(Click(1.0, 0.25, outside=True),), relative=True)
    assert in_pixels(region, 200, 100) == Region(
        replace(words, not_at=((100, 99.5),)), corrections=(Click(199.5, 25, outside=True),)
    )


def combination(*regions):
    return Combination(tuple(Term(Operation.PLUS, region) for region in regions))


def test_each_region_of_a_combination_has_units_of_its_own():
    shares, pixels = Region(Box(0.5, 0.5, 1, 1), relative=True), Region(Box(0.5, 0.5, 1, 1))
    found = in_pixels(Region(combination(shares, Region(combination(pixels, shares)))), 20, 10)
    large = Region(Box(10, 5, 20, 10))
    assert found == Region(combination(large, Region(combination(pixels, large))))


def test_every_region_is_the_whole_and_all_its_parts():
    first, second, third = (Region(Words(name)) for name in ("first", "second", "third"))
    inner = Region(combination(second, third))
    whole = Region(combination(first, inner))
    assert list(every(whole)) == [whole, first, inner, second, third]
