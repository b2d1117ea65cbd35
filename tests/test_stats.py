"""Statistics are tested with statistics, and with figures worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.stats import best, describe
from whichpu.stats.intervals import CONFIDENCE, Estimate, holm, of_logs, p_value, t_quantile
from whichpu.stats.verdicts import ALPHA, verdict

logs = st.lists(st.floats(-5, 5), min_size=2, max_size=12)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_t_interval_by_hand():
    # Four rounds, ratios 1.00, 1.02, 0.98, 1.04: mean of logs and t(0.975, 3) = 3.18245 (any t table).
    values = [math.log(ratio) for ratio in (1.00, 1.02, 0.98, 1.04)]
    mean = sum(values) / 4
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / 3) / 2
    found = of_logs(values, confidence=0.95)
    assert t_quantile(0.975, 3) == pytest.approx(3.182446, abs=1e-6)
    assert found.value == pytest.approx(math.exp(mean))
    assert found.low == pytest.approx(math.exp(mean - 3.182446 * error))
    assert found.high == pytest.approx(math.exp(mean + 3.182446 * error))


def test_one_round_says_nothing_about_spread():
    found = of_logs([0.3])
    assert (found.low, found.high, found.half_width) == (None, None, None)
    assert p_value([0.3]) is None


@given(logs)
def test_interval_holds_its_figure_and_mirrors_when_contender_and_baseline_change_places(values):
    forward, backward = of_logs(values), of_logs([-value for value in values])
    assert forward.low <= forward.value * (1 + 1e-12)
    assert forward.value <= forward.high * (1 + 1e-12)
    assert backward.value == pytest.approx(1 / forward.value)
    assert backward.low == pytest.approx(1 / forward.high)
    assert p_value(values) == pytest.approx(p_value([-value for value in values]))


@given(logs)
def test_p_and_interval_agree(values):
    found, p = of_logs(values), p_value(values)
    outside = found.low > 1 + 1e-9 or found.high < 1 - 1e-9
    inside = found.low < 1 - 1e-9 and found.high > 1 + 1e-9
    assert not (outside and p > 1 - CONFIDENCE + 1e-9)
    assert not (inside and p < 1 - CONFIDENCE - 1e-9)


def test_a_claim_asks_for_more_than_the_interval():
    assert ALPHA < 1 - CONFIDENCE


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(20261120)
    draws = generator.normal(0.05, 0.02, size=(4000, 5))
    found = [of_logs(draw, confidence=0.95) for draw in draws]
    hits = sum(estimate.low <= math.exp(0.05) <= estimate.high for estimate in found)
    assert 0.938 <= hits / 4000 <= 0.962  # 95 % +- 3.5 standard errors


def test_stopping_at_the_first_narrow_interval_still_covers_as_often_as_it_says():
    # The stop rule looks after every round from the fifth on; equal contenders, spread 3 % between rounds.
    generator = np.random.default_rng(4)
    hits = 0
    for logs in generator.normal(0, 0.03, size=(1500, 60)):
        looks = (of_logs(logs[:rounds]) for rounds in range(5, 61))
        found = next((look for look in looks if look.half_width <= 0.02), of_logs(logs))
        hits += found.low <= 1 <= found.high
    assert 0.925 <= hits / 1500 <= 0.97


def test_holm_by_hand():
    # Holm 1979: sorted p times (4, 3, 2, 1), made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.01, 0.02], family=5) == pytest.approx([0.05, 0.08])


def test_equal_contenders_are_rarely_called_different_when_the_fastest_is_the_baseline():
    # Eight equal contenders, ten rounds: the baseline is picked by the same data, so all 28 pairs are the family.
    generator = np.random.default_rng(8)
    wrong = 0
    for _ in range(600):
        logs = generator.normal(0, 0.02, size=(8, 10))
        base = int(np.argmin(logs.mean(axis=1)))
        p_values = [p_value(logs[other] - logs[base]) for other in range(8) if other != base]
        wrong += min(holm(p_values, family=28)) < ALPHA
    assert wrong / 600 <= 0.05


@given(probabilities)
def test_holm_is_never_kinder_and_keeps_the_order(values):
    adjusted = holm(values)
    assert all(new >= old - 1e-12 for new, old in zip(adjusted, values, strict=True))
    assert all(new <= 1 for new in adjusted)
    ranked = sorted(zip(values, adjusted, strict=True))
    assert [new for _, new in ranked] == sorted(new for _, new in ranked)


def test_percentiles_the_sample_can_not_support_are_refused_by_name():
    assert describe.unsupported(999, 99) == "p99 needs 1000 inferences, 999 were measured"
    assert describe.unsupported(1000, 99) is None
    assert describe.unsupported(199, 95) == "p95 needs 200 inferences, 199 were measured"
    assert describe.unsupported(200, 95) is None


def test_a_percentile_is_the_geometric_mean_of_the_rounds_and_its_interval_theirs():
    # Type 8 of 10, 20, 30, 40: p50 is 25; of ten times that 250: geometric mean sqrt(25 * 250).
    rounds = [np.array([10, 20, 30, 40]), np.array([100, 200, 300, 400])]
    found = describe.percentile(rounds, 50)
    assert found.value == pytest.approx(math.sqrt(25 * 250))
    assert found == of_logs([math.log(25), math.log(250)], 0.95)
    assert describe.percentile(rounds[:1], 50).half_width is None


def test_short_rounds_do_not_read_the_tail_too_low():
    """Type 8's median is right where linear interpolation (type 7) reads p99 of 200 inferences low."""
    generator = np.random.default_rng(1)
    rounds = [np.exp(generator.standard_normal(200) * 0.3) * 1e6 for _ in range(2_000)]
    truth = math.exp(0.3 * 2.3263) * 1e6
    low = [float(np.percentile(sample, 99)) < truth for sample in rounds]
    right = [describe.percentile([sample], 99).value < truth for sample in rounds]
    assert 0.47 < np.mean(right) < 0.53
    assert np.mean(low) > 0.55


@pytest.mark.parametrize("percent", [90, 95, 99, 99.9])
def test_a_round_holds_its_percentile_from_a_number_of_inferences_on(percent):
    least = describe.least_in_round(percent)
    below, at = (np.percentile(np.arange(n), percent, method="median_unbiased") for n in (least - 1, least))
    assert below == least - 2  # clipped to the largest
    assert at <= least - 1


def test_slow_inferences_side_by_side_are_one_stretch():
    sample = np.full(1_000, 100)
    sample[[10, 11, 12, 15, 300, 700, 705]] = 200
    assert describe.stretches([sample], 150) == 3
    assert describe.stretches([sample, sample], 150) == 6
    assert describe.too_few_causes([sample, sample], 99, 150) is None
    assert describe.too_few_causes([sample], 99, 150).startswith("p99 rests on 3 stretches of slow inferences")


@pytest.mark.parametrize("step_ns", [10, 41, 77, 1_000])
def test_a_clock_of_coarse_steps_has_percentiles_too(step_ns):
    sample = np.full(400, 3 * step_ns)
    sample[::10] = 4 * step_ns
    found = describe.percentile([sample] * 5, 95)
    assert found.value == pytest.approx(4 * step_ns)
    assert describe.too_few_causes([sample] * 5, 95, found.value) is None


def test_probability_of_best_by_hand():
    # The first is 10 % faster in each round and never anything else.
    sure = best.probabilities([{0: 0.0, 1: 0.0, 2: 0.0}, {0: 0.1, 1: 0.1, 2: 0.1}])
    assert sure == [1.0, 0.0]
    # Ratio logs 0.01, -0.01, 0.03, 0.01: mean 0.01, error 0.00816: P(t(3) < 1.2247) = 0.8460.
    found = best.probabilities(
        [dict.fromkeys(range(4), 0.0), dict(enumerate([0.01, -0.01, 0.03, 0.01]))], draws=200_000
    )
    assert found[0] == pytest.approx(0.846, abs=0.004)
    assert best.probabilities([{0: 0.0}, {0: 1.0}]) is None


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=5))
def test_probabilities_of_best_add_up_to_one(table):
    found = best.probabilities([dict(enumerate(row)) for row in table], draws=500)
    assert sum(found) == pytest.approx(1.0)


def test_twins_are_each_the_best_in_half_of_the_draws():
    generator = np.random.default_rng(3)
    chances = []
    for _ in range(300):
        rounds = generator.normal(0, 0.02, 6)
        chances.append(best.probabilities([dict.fromkeys(range(6), 0.0), dict(enumerate(rounds))], draws=400)[0])
    # A probability that means what it says is uniform when nothing tells the two apart.
    assert np.mean(chances) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(chances) < 0.1) == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize(
    ("ratio", "p", "word"),
    [
        (1.50, 0.2, "no-difference"),
        (1.50, None, "not-comparable"),
        (1.01, 0.001, "too-small-to-matter"),
        (0.99, 0.001, "too-small-to-matter"),
        (1.05, 0.001, "slower"),
        (0.90, 0.001, "faster"),
        (1.50, ALPHA, "no-difference"),
    ],
)
def test_verdicts(ratio, p, word):
    assert verdict(Estimate(ratio, ratio, ratio, 4), p, matters=0.02) == word


def test_too_small_to_matter_only_when_all_of_the_interval_is():
    assert verdict(Estimate(1.012, 1.005, 1.019, 9), 0.001, matters=0.02) == "too-small-to-matter"
    assert verdict(Estimate(1.019, 1.001, 1.038, 9), 0.001, matters=0.02) == "slower"
    assert verdict(Estimate(0.985, 0.97, 0.999, 9), 0.001, matters=0.02) == "faster"
