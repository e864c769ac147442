from fractions import Fraction

from orchestrator.media.clip.timeline import Timeline


def times(told: list[int | None], time_base: Fraction, rate: int = 30) -> tuple[list[Fraction], list[str]]:
    timeline = Timeline(time_base, Fraction(rate))
    return [timeline.next(one) for one in told], timeline.notes()


def test_times_count_from_the_first_frame_exactly():
    base = Fraction(1001, 30000)
    assert times([7, 8, 9], base) == ([0, base, 2 * base], [])


def test_milliseconds_that_were_rounded_are_a_steady_rate():
    assert times([0, 33, 67, 100, 133], Fraction(1, 1000))[1] == []


def test_a_rate_that_varies_is_kept_and_noted():
    found, notes = times([0, 1, 4, 5], Fraction(1, 30))
    assert found == [0, Fraction(1, 30), Fraction(4, 30), Fraction(5, 30)]
    assert len(notes) == 1 and "varies" in notes[0]


def test_missing_times_are_computed_from_the_rate():
    found, notes = times([None, None, 62, None], Fraction(1, 30))
    assert found == [0, Fraction(1, 30), Fraction(2, 30), Fraction(3, 30)]
    assert len(notes) == 1 and "computed" in notes[0]


def test_times_that_fall_or_stay_are_computed_until_they_rise_again():
    found, notes = times([0, 2, 2, 1, 8], Fraction(1, 60))
    assert found == [Fraction(number, 60) for number in (0, 2, 4, 6, 8)]
    assert len(notes) == 1 and "computed" in notes[0]


def test_computed_times_are_never_closer_than_the_time_base():
    found, _ = times([None] * 3, Fraction(1, 10), rate=30)
    assert found == [0, Fraction(1, 10), Fraction(2, 10)]
