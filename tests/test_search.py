"""The search for the highest rate: on systems that hold every rate up to a limit, and on noisy ones."""

import random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.campaign import search

TOLERANCE = 0.03


class Told(NamedTuple):
    valid: bool
    hopeless: bool = False


class System:
    """Holds rates up to ``limit``; within ``noise`` (relative) of it, chance decides."""

    def __init__(self, limit, noise=0.0, seed=0, hopeless=False):
        self.limit, self.noise, self.hopeless = limit, noise, hopeless
        self.random = random.Random(seed)
        self.tests = []

    def __call__(self, rate, purpose):
        bound = self.limit * (1 + self.random.uniform(-self.noise, self.noise))
        valid = rate <= bound and not self.hopeless
        self.tests.append((rate, purpose, valid))
        return Told(valid, self.hopeless)

    def of(self, purpose):
        return [(rate, valid) for rate, asked, valid in self.tests if asked == purpose]


@given(limit=st.floats(0.1, 1e6), off=st.floats(1 / 40, 500))
def test_a_steady_system_is_found_within_the_tolerance(limit, off):
    system = System(limit)
    found = search.highest_rate(system, limit * off if off < 60 else limit / off, TOLERANCE)
    assert found is not None
    assert limit / (1 + TOLERANCE) <= found <= limit
    assert system.of("confirm") == [(found, True)]
    assert system.of("overload") == [(search.OVERLOAD * found, False)]
    assert len(system.tests) < 45


@given(limit=st.floats(1, 1e4), noise=st.floats(0, 0.3), seed=st.integers(0, 1_000_000))
def test_what_is_found_was_confirmed_however_noisy_the_boundary(limit, noise, seed):
    system = System(limit, noise, seed)
    found = search.highest_rate(system, limit * 0.7, TOLERANCE)
    if found is None:
        assert not any(valid for _, valid in system.of("confirm"))
    else:
        assert (found, True) in system.of("confirm")
        assert found <= limit * (1 + noise)
    assert len(system.tests) < 120


def test_a_rate_that_failed_its_confirmation_is_stepped_below():
    class Longer(System):
        """Its longer tests hold less."""

        def __call__(self, rate, purpose):
            told = super().__call__(rate * (1.0 if purpose == "search" else 1.2), purpose)
            self.tests[-1] = (rate, purpose, told.valid)
            return told

    system = Longer(100.0)
    found = search.highest_rate(system, 50.0, TOLERANCE)
    tried = [rate for rate, _ in system.of("confirm")]
    assert tried == sorted(tried, reverse=True)
    assert found == tried[-1]
    assert 100 / 1.2 / 1.13 < found <= 100 / 1.2


def test_a_rate_whose_overload_held_is_searched_above():
    class Disturbed(System):
        """Something else takes two thirds of it until the first confirmation."""

        def __call__(self, rate, purpose):
            disturbed = not self.of("confirm")
            told = super().__call__(rate * (3 if disturbed else 1), purpose)
            self.tests[-1] = (rate, purpose, told.valid)
            return told

    found = search.highest_rate(Disturbed(90.0), 20.0, TOLERANCE)
    assert found == pytest.approx(90, rel=TOLERANCE + 0.01)


def test_nothing_holds():
    system = System(0.001)
    assert search.highest_rate(system, 100.0, TOLERANCE) is None
    assert len(system.tests) == 1 + search.HALVINGS


def test_what_no_lower_rate_can_mend_is_tried_once():
    system = System(1.0, hopeless=True)
    assert search.highest_rate(system, 100.0, TOLERANCE) is None
    assert len(system.tests) == 1


class Limited(System):
    """Its time is over after some tests of the search, or of all."""

    def __init__(self, limit, searches, others=99):
        super().__init__(limit)
        self.left = {"search": searches, "confirm": others, "overload": others}

    def __call__(self, rate, purpose):
        self.left[purpose] -= 1
        if self.left[purpose] < 0:
            raise search.Spent
        return super().__call__(rate, purpose)


def test_when_the_time_of_the_search_is_over_what_held_is_confirmed():
    system = Limited(100.0, searches=3)
    assert search.highest_rate(system, 40.0, TOLERANCE) == 90.0  # 40, 60 and 90 held
    assert [(purpose, valid) for _, purpose, valid in system.tests[3:]] == [("confirm", True), ("overload", False)]


@pytest.mark.parametrize(("searches", "others", "found"), [(0, 99, None), (3, 0, None)])
def test_nothing_is_found_without_time(searches, others, found):
    assert search.highest_rate(Limited(100.0, searches, others), 40.0, TOLERANCE) is found
