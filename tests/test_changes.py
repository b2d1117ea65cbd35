"""Steps and drifts in series: false ones are rare, true ones are found in their place, each told from the other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.stats import changes

NOISE = 0.02


def series(logs):
    return np.arange(len(logs)) * 0.5, np.exp(logs)


def white(random, count):
    return NOISE * random.standard_normal(count)


def alike(random, count):
    """Each value resembles the one before: lag-1 autocorrelation 0.5."""
    fresh = random.standard_normal(count + 50) * math.sqrt(1 - 0.5**2)
    for at in range(1, fresh.size):
        fresh[at] += 0.5 * fresh[at - 1]
    return NOISE * fresh[50:]


def heavy(random, count):
    return NOISE * random.standard_t(2, count)


def spiky(random, count):
    return white(random, count) + 0.5 * (random.random(count) < 0.05)


@pytest.mark.parametrize("noise", [white, alike, heavy, spiky])
@pytest.mark.parametrize(("count", "tries"), [(12, 150), (60, 150), (150, 60)])
def test_noise_has_no_changes(noise, count, tries):
    random = np.random.default_rng(count)
    drawn = [series(noise(random, count)) for _ in range(tries)]
    steps = sum(bool(changes.find_steps(*one)) for one in drawn)
    drifts = sum(changes.find_drift(*one) is not None for one in drawn)
    # 2 % of the tries; a dozen values can't tell how alike neighbours are.
    allowed = 0.02 * tries + (0.03 * tries if noise is alike and count == 12 else 0)
    assert steps <= allowed
    assert drifts <= allowed


@pytest.mark.parametrize("count", [40, 60, 150])
def test_a_step_of_five_percent_is_found_in_its_place(count):
    random = np.random.default_rng(count)
    tries, found, near = 100, 0, 0
    for _ in range(tries):
        at = int(random.integers(count // 3, count - count // 3 + 1))
        logs = white(random, count) + math.log(1.05) * (np.arange(count) >= at)
        steps = changes.find_steps(*series(logs))
        if len(steps) == 1:
            found += 1
            near += abs(steps[0].at_index - at) <= 3
            assert steps[0].ratio == pytest.approx(1.05, abs=0.025)
            assert steps[0].at_s == 0.5 * steps[0].at_index
    assert found >= 0.95 * tries
    assert near >= 0.95 * found


def test_a_large_step_is_found_though_neighbours_are_alike():
    logs = 0.02 * alike(np.random.default_rng(1), 60) + math.log(1.2) * (np.arange(60) >= 20)
    step = changes.find_step(*series(logs))
    assert step is not None
    assert step.at_index == 20
    assert step.ratio == pytest.approx(1.2, rel=0.01)


def test_up_and_down_again_are_two_steps():
    places = np.arange(300)
    logs = white(np.random.default_rng(2), 300) + math.log(1.2) * ((places >= 100) & (places < 200))
    up, down = changes.find_steps(*series(logs))
    assert abs(up.at_index - 100) <= 3
    assert abs(down.at_index - 200) <= 3
    assert up.ratio == pytest.approx(1.2, rel=0.02)
    assert down.ratio == pytest.approx(1 / 1.2, rel=0.02)
    assert up.after == down.before
    assert len(changes.find_steps(*series(logs), most=1)) <= 1


@pytest.mark.parametrize(
    "shape",
    [lambda x: x, lambda x: 1 - np.exp(-4 * x), lambda x: np.maximum(0, 2 * x - 1)],
    ids=["line", "heat", "bent"],
)
def test_a_drift_is_no_staircase(shape):
    random = np.random.default_rng(3)
    for _ in range(10):
        logs = white(random, 200) + math.log(1.2) * shape(np.linspace(0, 1, 200))
        assert changes.find_steps(*series(logs)) == []
        drift = changes.find_drift(*series(logs))
        assert drift is not None
        assert drift.total > 0.05


def test_the_slope_is_per_minute_with_its_interval():
    random = np.random.default_rng(4)
    times = np.arange(600.0)
    held = 0
    for _ in range(40):
        values = 1e6 * np.exp(white(random, 600) + math.log(1.01) * times / 60)
        drift = changes.trend(times, values)
        assert drift.per_minute == pytest.approx(0.01, abs=0.002)
        held += drift.low <= 0.01 <= drift.high
    assert held >= 34


def test_a_step_is_no_drift():
    logs = white(np.random.default_rng(5), 120) + math.log(1.1) * (np.arange(120) >= 60)
    assert changes.find_drift(*series(logs)) is None
    assert len(changes.find_steps(*series(logs))) == 1


def test_small_changes_are_not_reported():
    logs = 0.001 * np.random.default_rng(6).standard_normal(100) + math.log(1.02) * (np.arange(100) >= 50)
    assert changes.find_steps(*series(logs)) == []
    assert len(changes.find_steps(*series(logs), smallest=0.01)) == 1


def test_neighbours_that_are_alike_widen_the_interval():
    random = np.random.default_rng(7)
    apart, near = (
        np.mean([changes.level(np.exp(noise(random, 100))).half_width for _ in range(30)]) for noise in (white, alike)
    )
    assert near > 1.3 * apart
    held = sum(
        level.low <= 1 <= level.high for level in (changes.level(np.exp(alike(random, 100))) for _ in range(100))
    )
    assert held >= 88


def test_white_noise_is_worth_itself():
    values = np.random.default_rng(8).standard_normal(1_000)
    assert 1 <= changes.inefficiency(values) < 1.6
    assert changes.inefficiency(np.repeat(values, 5)) > 3


def test_series_too_short_or_constant_have_no_changes():
    for count in range(8):
        times, values = np.arange(float(count)), np.full(count, 7.0)
        assert changes.find_steps(times, values) == []
        assert changes.find_drift(times, values) is None
    assert changes.trend([0, 1, 2], [1, 2, 3]) is None


@pytest.mark.parametrize(
    ("times", "values"), [([0, 1], [1]), ([0, 1], [1, 0]), ([1, 0], [1, 1]), ([0, 0], [1, 1]), ([0, 1], [1, math.inf])]
)
def test_what_is_no_series_is_refused(times, values):
    with pytest.raises(ValueError, match=r"times|positive"):
        changes.find_steps(times, values)


@given(
    st.lists(st.floats(1.0, 1e12), min_size=0, max_size=80),
    st.floats(1e-3, 1e3),
)
def test_the_unit_changes_nothing(values, unit):
    times = np.arange(float(len(values)))
    one = changes.find_steps(times, values)
    other = changes.find_steps(times, [value * unit for value in values])
    assert [step.at_index for step in one] == [step.at_index for step in other]
    places = [step.at_index for step in one]
    assert places == sorted(set(places))
    for step in one:
        assert 0 < step.at_index < len(values)
        assert step.ratio == pytest.approx(step.after / step.before)
        assert not 1 / 1.02 < step.ratio < 1.02
        assert 0 <= step.p < changes.ALPHA


def test_blocks_that_jump_within_milliseconds_have_a_slope_without_bound():
    times = np.arange(10) * 0.0225
    values = np.array([1.0, 8.0, 1.0, 7.0, 1.1, 8.0, 1.0, 9.0, 1.2, 9.0])
    assert changes.trend(times, values).high == math.inf
    assert changes.find_drift(times, values) is None


def test_a_fall_to_nearly_nothing_is_a_change_like_any_other():
    random = np.random.default_rng(1)
    times, values = series(np.linspace(0, -80, 60) + white(random, 60))
    assert changes.trend(times, values).total == -1
    assert changes.find_drift(times, values).total == -1
