"""Doubts found in the latencies: each in readings made to show it, and none in plain ones."""

import msgspec
import numpy as np
import pytest

import whichpu
from whichpu.results.column import pack
from whichpu.results.irregular import latency_doubts
from whichpu.results.latencies import block_medians, median
from whichpu.results.schema import Block, Reading, Result
from whichpu.stats import modes

TURNS, COUNT = 10, 40


def result(blocks_of, rounds=6, first_ns=None):
    """A result whose blocks are ``blocks_of(round, turn, generator)`` latencies in ns, half a second a turn."""
    generator = np.random.default_rng(7)
    made = Result(name="x", target="x", backend="x", device="cpu", status="measured")
    for number in range(rounds):
        pieces = [blocks_of(number, turn, generator) for turn in range(TURNS)]
        blocks = [
            Block(
                position=turn,
                turn=turn,
                count=len(piece),
                opening=0,
                began_ns=int(1e9 * (100 + 8 * number + 0.5 * turn)),
                wall_ns=1,
                cpu_ns=1,
            )
            for turn, piece in enumerate(pieces)
        ]
        latencies = pack(np.concatenate(pieces).astype(np.int64))
        made.readings.append(Reading(round=number, blocks=blocks, latencies_ns=latencies, first_ns=first_ns))
    return made


def plain(number, turn, generator):
    return 1e5 * np.exp(generator.normal(0, 0.02, COUNT))


def doubts(made):
    return {doubt.kind: doubt for doubt in latency_doubts(made, median(made)) if doubt is not None}


def test_plain_latencies_raise_no_doubt():
    assert doubts(result(plain)) == {}


def test_processes_that_differ_are_no_step():
    factors = np.exp(np.random.default_rng(3).normal(0, 0.05, 6))
    assert "step" not in doubts(
        result(lambda number, turn, generator: factors[number] * plain(number, turn, generator))
    )


def test_a_step_in_mid_campaign_is_found_with_its_time():
    def stepped(number, turn, generator):
        return plain(number, turn, generator) * (1.3 if (number, turn) >= (3, 4) else 1.0)

    found = doubts(result(stepped))["step"]
    assert found.facts["at_s"] == pytest.approx(3 * 8 + 4 * 0.5, abs=1.1)
    assert found.facts["ratio"] == pytest.approx(1.3, rel=0.02)
    assert "26" in found.says and "+30 %" in found.says


def test_a_step_in_every_round_is_the_contenders_own():
    found = doubts(result(lambda number, turn, generator: plain(number, turn, generator) * (1.2 if turn >= 6 else 1)))
    assert found["step"].says.startswith("in 6 of 6 rounds its latency stepped by +20 %, 3.0 s after")


def test_a_campaign_that_went_on_after_the_machine_was_started_anew():
    resumed = result(plain)
    start_ns = resumed.readings[3].blocks[0].began_ns
    for reading in resumed.readings[3:]:
        reading.blocks = [msgspec.structs.replace(it, began_ns=it.began_ns - start_ns) for it in reading.blocks]
    times, _ = block_medians(resumed.readings)
    assert (np.diff(times) > 0).all()
    assert doubts(resumed) == {}


def test_a_slow_rise_is_a_drift():
    def rising(number, turn, generator):
        return plain(number, turn, generator) * (1 + 0.004 * (10 * number + turn))

    found = doubts(result(rising))
    assert found["drift"].facts["total"] == pytest.approx(0.24, abs=0.04)
    assert "step" not in found


def test_two_kinds_of_rounds():
    found = doubts(result(lambda number, turn, generator: plain(number, turn, generator) * (1.4 if number % 2 else 1)))
    assert found["two-modes"].facts["low_ns"] == pytest.approx(1e5, rel=0.03)
    assert found["two-modes"].facts["high_ns"] == pytest.approx(1.4e5, rel=0.03)
    assert "rounds fall into two groups: 50 %" in found["two-modes"].says


def test_two_kinds_of_inferences():
    def mixed(number, turn, generator):
        return plain(number, turn, generator) * np.where(generator.random(COUNT) < 0.3, 1.5, 1.0)

    found = doubts(result(mixed))["two-modes"]
    assert found.facts["share_high"] == pytest.approx(0.3, abs=0.05)
    assert "inferences" in found.says


def test_outliers_are_counted_and_kept():
    def hit(number, turn, generator):
        return plain(number, turn, generator) * np.where(np.arange(COUNT) == 7, 9.0, 1.0)

    found = doubts(result(hit))["outliers"]
    assert found.facts["count"] >= 60
    assert found.facts["share_of_time"] == pytest.approx(8 / 40, rel=0.1)
    assert found.touches == "p99"


def test_a_slow_first_inference():
    assert "slow-first" in doubts(result(plain, first_ns=50_000_000))
    assert "slow-first" not in doubts(result(plain, first_ns=500_000))


@pytest.mark.parametrize("draw", ["normal", "uniform", "exponential", "standard_cauchy", "laplace"])
def test_one_mode_is_not_two(draw):
    for seed in range(50):
        sample = getattr(np.random.default_rng(seed), draw)(size=2_000)
        assert modes.two_modes(0.1 * sample, smallest=0.05) is None


def test_groups_of_a_few_values():
    assert modes.two_groups(np.log([80, 81, 119, 120, 80]), 0.05).share == pytest.approx(0.4)
    assert modes.two_groups(np.log([80, 81, 79, 80, 119]), 0.05) is None  # one alone is an outlier
    assert modes.two_groups(np.log([80, 90, 100, 110, 120]), 0.05) is None


def test_the_null_backends_step_is_found_in_an_ordinary_campaign(models):
    """A step put half-way into each round's blocks (half a second and more) is found, in the rounds."""
    target = "n=null:cpu,delay=5ms,step=10ms@600ms"
    measured = whichpu.measure(models.mlp, target, rounds_most=3, seed=1, loop="python")
    step = next(doubt for doubt in measured.figures[0].doubts if doubt.kind == "step")
    assert 1.2 < step.facts["ratio"] < 3.2  # 2, if nothing else ran
