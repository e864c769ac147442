"""The prices of one kind of pass: which passes count, and what is concluded from them."""

from __future__ import annotations

import pytest

from services.denoising.prices import Prices


def best(seconds: dict[int, float]) -> int:
    return Prices(seconds).best(seconds)


def test_sharing_ends_where_rows_get_dearer():
    assert best({1: 1.0, 2: 1.2, 4: 2.0, 8: 4.8}) == 4


def test_a_gain_within_the_noise_is_no_reason_to_share():
    assert best({1: 1.0, 2: 1.99, 4: 3.95}) == 1


def test_passes_that_were_held_up_do_not_change_a_price():
    prices = Prices({})
    for number in range(1, 41):
        prices.add(3, 0.7 if number % 2 else 0.1, number)
    assert prices.seconds(3) == 0.1


def test_one_pass_that_was_too_fast_does_not_make_a_price():
    prices = Prices({})
    for number in range(1, 9):
        prices.add(3, 0.01 if number == 4 else 0.1, number)
    assert prices.seconds(3) == 0.1


@pytest.mark.parametrize("now", [0.05, 0.4])
def test_a_machine_that_got_faster_or_slower_is_believed_after_eight_passes(now: float):
    prices = Prices({})
    for number in range(1, 31):
        prices.add(3, 0.1 if number <= 22 else now, number)
    assert prices.seconds(3) == now


def test_the_first_pass_served_replaces_what_was_measured():
    prices = Prices({3: 0.1})
    prices.add(3, 0.4, 1)
    assert prices.seconds(3) == 0.4


@pytest.mark.parametrize(("passes_between", "price"), [(64, 0.1), (65, 0.4)])
def test_what_was_seen_long_ago_is_forgotten_when_it_is_seen_anew(passes_between: int, price: float):
    prices = Prices({})
    for number in (1, 2, 3):
        prices.add(3, 0.1, number)
    prices.add(3, 0.4, 3 + passes_between)
    assert prices.seconds(3) == price


def test_between_known_numbers_of_rows_prices_lie_on_a_line_and_beyond_them_in_proportion():
    prices = Prices({3: 1.0, 6: 2.5})
    assert [prices.seconds(rows) for rows in (1, 3, 4, 6, 12)] == [1.0, 1.0, 1.5, 2.5, 5.0]


def test_what_is_only_assumed_is_not_known_until_it_was_served():
    prices = Prices({1: 1.0, 3: 2.0}, assumed=True)
    assert not prices.seen and prices.known() == {}
    prices.add(3, 2.2, 1)
    assert prices.seen and prices.known() == {3: 2.2}
    assert prices.all() == {1: 1.0, 3: 2.2}
