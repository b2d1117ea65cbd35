"""From readings to joules: exact, refused where a sensor doesn't tell, net of idle, judged by rounds."""

import itertools

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_metered import CPU_TIME, MS, Made
from made_metered import campaign as lifelike

from whichpu.results import energy
from whichpu.results.column import pack, unpack
from whichpu.results.comparison import compare
from whichpu.results.energy import ratios
from whichpu.results.energy.doubts import energy_doubts
from whichpu.results.energy.metered import SCOPES
from whichpu.results.energy.sensor import UNITS, Refused
from whichpu.results.schema import Memory, Metered, MeterWindow, Trace
from whichpu.results.summary import summarize
from whichpu.stats import integrate, intervals
from whichpu.worker import meters
from whichpu.worker.wire import Channel, Missing

FEW = settings(max_examples=40, deadline=None)
S = 10**9
COUNTER = Channel("rapl", "package-0", "energy", "uJ", "package", "energy_uj", "CPU package 0", counter=True,
                  wraps_at=1_000_000, period_ns=MS)  # fmt: skip
GAUGE = Channel("jetson", "VDD_IN", "power", "mW", "module", "in1", "the module", period_ns=10 * MS)
COUNTER_LONG = Channel("rapl", "package-0", "energy", "uJ", "package", "energy_uj", "CPU package 0", counter=True,
                       period_ns=MS)  # fmt: skip
BOARD = Channel("bench", "out", "power", "mW", "board", "log.csv", "the board's supply", period_ns=10 * MS)
GPU = Channel("nvml", "GPU 0", "power", "mW", "gpu", "nvmlDeviceGetPowerUsage", "the whole GPU", period_ns=10 * MS)

# ---------------------------------------------------------------- by hand


def test_a_counter_by_hand():
    # 100 µJ at 0 s, 300 at 1 s, 700 at 2 s: at 0.5 s 200, at 1.25 s 400; 200 µJ.
    assert energy.joules(COUNTER, [0, S, 2 * S], [100, 300, 700], S // 2, S + S // 4) == 200e-6


def test_a_counter_that_wraps_by_hand():
    # 999,900 µJ, then 50: after + wraps_at - before is 150 µJ; at the middle of it 75 are counted.
    assert energy.joules(COUNTER, [0, S, 2 * S], [999_900, 50, 200], 0, 2 * S) == 300e-6
    assert energy.joules(COUNTER, [0, S, 2 * S], [999_900, 50, 200], S // 2, 2 * S) == 225e-6


def test_a_gauge_by_hand():
    # 4 W rising to 8 W in 1 s, then 8 W: from 0.5 s (6 W) to 1.5 s: 3.5 J + 4 J.
    assert energy.joules(GAUGE, [0, S, 2 * S], [4000, 8000, 8000], S // 2, S + S // 2) == 7.5


def test_edges_between_the_same_two_readings():
    assert energy.joules(GAUGE, [0, 4 * S], [1000, 5000], S, 3 * S) == 6.0  # 2 W to 4 W for 2 s


def test_of_two_readings_at_one_instant_the_later_counts():
    assert energy.joules(GAUGE, [0, 0, S], [9000, 1000, 1000], 0, S) == 1.0


@pytest.mark.parametrize(
    ("at_ns", "values", "says"),
    [
        ([2 * S, 4 * S], [1, 2], "the readings begin 1 s after the window"),
        ([0, 2 * S], [1, 2], "the readings end 1 s before the window does"),
        ([], [], "told nothing"),
        ([0, 5 * S, 4 * S], [1, 2, 3], "times go back"),
    ],
)
def test_readings_that_miss_the_window_are_refused(at_ns, values, says):
    for channel in (COUNTER, GAUGE):
        with pytest.raises(Refused, match=says):
            energy.joules(channel, at_ns, values, S, 3 * S)


@pytest.mark.parametrize(
    ("wraps_at", "values"),
    [
        (None, [500, 600, 10, 20]),  # it never wraps
        (1_000_000, [500, 600, 10, 20]),  # a step over half of its range
        (1_000_000, [700_000, 700_100, 10, 110]),  # 300,010 where others are 100
    ],
)
def test_a_counter_set_anew_is_refused(wraps_at, values):
    channel = Channel("m", "n", "energy", "uJ", "package", "s", counter=True, wraps_at=wraps_at)
    with pytest.raises(Refused, match=f"went back from {max(values)} to 10: it was set anew"):
        energy.joules(channel, [0, S, 2 * S, 3 * S], values, 0, 3 * S)


def test_what_tells_no_energy_is_refused():
    with pytest.raises(Refused, match="temperature in mC tells no energy"):
        energy.joules(Channel("m", "n", "temperature", "mC", "package", "s"), [0, S], [1, 2], 0, S)


# ---------------------------------------------------------------- properties

times = st.lists(st.integers(1, 10**7), min_size=2, max_size=30).map(lambda gaps: list(itertools.accumulate(gaps)))
readings = times.flatmap(
    lambda at_ns: st.tuples(st.just(at_ns), st.lists(st.integers(0, 10**6), min_size=len(at_ns), max_size=len(at_ns)))
)


def inside(draw, at_ns, count):
    return sorted(draw(st.lists(st.integers(at_ns[0], at_ns[-1]), min_size=count, max_size=count, unique=True)))


@FEW
@given(readings, st.data())
def test_the_parts_of_a_window_add_up(read, data):
    at_ns, values = read
    assume(at_ns[-1] - at_ns[0] >= 3)
    begin, middle, end = inside(data.draw, at_ns, 3)
    whole = integrate.area(at_ns, values, begin, end)
    assert whole == integrate.area(at_ns, values, begin, middle) + integrate.area(at_ns, values, middle, end)


@FEW
@given(readings, st.integers(1, 1000))
def test_energy_scales_with_power(read, factor):
    at_ns, values = read
    once = integrate.area(at_ns, values, at_ns[0], at_ns[-1])
    assert integrate.area(at_ns, [factor * value for value in values], at_ns[0], at_ns[-1]) == factor * once


@FEW
@given(times, st.integers(0, 10**9), st.data())
def test_constant_power_is_power_times_time(at_ns, level, data):
    assume(at_ns[-1] - at_ns[0] >= 2)
    begin, end = inside(data.draw, at_ns, 2)
    assert integrate.area(at_ns, [level] * len(at_ns), begin, end) == level * (end - begin)


@FEW
@given(st.lists(st.integers(1_000, 9_000), min_size=2, max_size=60), st.integers(0, 99_999))
def test_a_counter_counts_through_its_wraps(steps, begins):
    wraps_at, total = 100_000, list(itertools.accumulate(steps, initial=begins))
    at_ns = [index * MS for index in range(len(total))]
    seen = [value % wraps_at for value in total]
    found = integrate.unwrapped(at_ns, seen, wraps_at)
    assert found[-1] - found[0] == sum(steps)


@FEW
@given(readings, st.floats(0, 1e6))
def test_the_share_above_a_limit_is_a_share_and_falls_with_it(read, limit):
    at_ns, values = read
    above, higher = (integrate.share_above(at_ns, values, each) for each in (limit, limit + 1000))
    assert 0 <= higher <= above <= 1


def test_the_share_above_a_limit_by_hand():
    # From 0 to 10 W in 1 s, then 10 W for 1 s: above 5 W for 1.5 s of 2 s.
    assert integrate.share_above([0, S, 2 * S], [0, 10, 10], 5) == 0.75
    assert integrate.share_above([0, S], [5, 5], 5) == 0
    assert integrate.share_above([0], [5], 4) is None


def test_the_steepest_rise_by_hand():
    assert integrate.steepest([0, 1, 2, 3], [0, 4, 5, 6], 1) == 4
    assert integrate.steepest([0, 1, 2, 3], [0, 4, 5, 6], 2) == 2.5
    assert integrate.steepest([0, 1], [4, 1], 1) == 0
    assert integrate.steepest([0, 1], [4, 1], 2) is None


def test_units_and_scopes_are_those_of_the_worker():
    assert {name: (quantity, float(one)) for name, (quantity, one) in UNITS.items()} == meters.UNITS
    assert SCOPES == meters.SCOPES


# ---------------------------------------------------------------- windows by hand

EVERY_NS = 10 * MS


def window(position, contender, tellers, number=0, count=100, wall_ns=S, around_ns=50 * MS):
    """A window whose channels are told by functions of the time (ns) since the campaign began."""
    began_ns = (2 * position + 1) * S
    at_ns = range(began_ns - around_ns, began_ns + wall_ns + around_ns + 1, EVERY_NS)
    traces = [
        Trace(channel=index, at_ns=pack([each - at_ns[0] for each in at_ns]), values=pack([tell(t) for t in at_ns]))
        for index, tell in enumerate(tellers)
    ]
    return MeterWindow(
        round=number, position=position, began_ns=began_ns, wall_ns=wall_ns, contender=contender,
        count=count if contender else 0, from_ns=at_ns[0], traces=traces,
    )  # fmt: skip


def steady(milliwatts, ripple=40):
    """A gauge of noise within a few steps, around a level."""
    return lambda t: milliwatts + (t // EVERY_NS * 7919) % (2 * ripple + 1) - ripple


def counting(watts):
    """A counter in µJ of constant power."""
    return lambda t: t * watts // 1000


def simple(channels, idle, running, rounds=3, contenders=("a", "b"), **more):
    """Idle, each contender, idle, ... in each round; ``running`` are the tellers of each contender."""
    windows, place = [], itertools.count()
    for number in range(rounds):
        windows.append(window(next(place), None, idle, number, **more))
        for name in contenders:
            windows.append(window(next(place), name, running[name], number, **more))
            windows.append(window(next(place), None, idle, number, **more))
    made = lifelike(contenders={name: Made(10 * MS, 9.0) for name in contenders}, rounds=rounds)
    made.metered = Metered(window_s=1.0, channels=list(channels), windows=windows)
    return made


def only(made, name="a", source=None):
    own = next(each for each in made.results if each.name == name)
    rows = {row.source: row for row in energy.energy_figures(made, own)}
    return rows[source] if source else next(iter(rows.values()))


def constant(milliwatts):
    return lambda t: milliwatts


def test_figures_by_hand():
    # 9 W in 1 s over 100 inferences are 90 mJ each; idle takes 3 W, so 60 mJ are its own.
    made = simple([COUNTER_LONG], [counting(3)], {"a": [counting(9)], "b": [counting(4)]})
    row = only(made)
    assert (row.gross_j, row.net_j, row.power_w, row.idle_w) == (0.09, 0.06, 9.0, 3.0)
    assert (row.gross_low_j, row.net_low_j) == (pytest.approx(0.09), pytest.approx(0.06))
    assert (row.idle_least_w, row.idle_most_w, row.windows, row.window_s) == (3.0, 3.0, 3, 1.0)
    assert row.per_joule == 1 / 0.09
    assert row.inverse_edp == 100 / 0.09  # 100 inferences a second
    assert row.steadiness.mean_w == 9.0 and row.steadiness.std_w == pytest.approx(0, abs=1e-9)


def test_every_absent_figure_has_its_reason():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [constant(0)]}, rounds=1)
    for row in (only(made, "a"), only(made, "b")):
        absent = {name for name in row.__struct_fields__ if getattr(row, name) is None} - {"period_ns", "seen_ns"}
        assert absent and all(row.missing[name] for name in absent)


def test_one_window_has_no_interval_and_is_exact():
    made = simple([COUNTER_LONG], [counting(3)], {"a": [counting(7)], "b": [counting(4)]}, rounds=1)
    row = only(made)
    assert row.gross_j == 0.07 and row.gross_low_j is None
    assert row.missing["gross_low_j"] == "one window says nothing about spread"


def test_no_idle_window_gives_no_net_figure():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [steady(5000)]})
    made.metered.windows = [each for each in made.metered.windows if each.contender or each.round == 0]
    assert only(made).net_j is not None  # of the round that has some
    made.metered.windows = [each for each in made.metered.windows if each.contender]
    row = only(made)
    assert row.gross_j == pytest.approx(0.09, rel=0.01)
    assert row.net_j is None and row.missing["net_j"] == row.missing["idle_w"] == "no idle window in the same round"


def test_channels_in_any_order_give_the_same_figures():
    tellers = {"a": [steady(9000), counting(8)], "b": [steady(5000), counting(5)]}
    one = simple([GAUGE, COUNTER_LONG], [steady(3000), counting(2)], tellers)
    turned = {name: list(reversed(each)) for name, each in tellers.items()}
    other = simple([COUNTER_LONG, GAUGE], [counting(2), steady(3000)], turned)
    for source in ("jetson:VDD_IN", "rapl:package-0"):
        assert only(one, "a", source) == only(other, "a", source)
    assert energy.primary(one) == energy.primary(other) == "jetson:VDD_IN"


def test_sums_count_once_and_parts_never():
    rails = [
        Channel("jetson", name, "power", "mW", "rails", "in", name, period_ns=10 * MS, sums_to="all rails")
        for name in ("GPU", "CPU", "CV")
    ]
    part = Channel("jetson", "half", "power", "mW", "rail", "in", "half of GPU", period_ns=10 * MS, part_of="GPU")
    # A rail that is off reads 0 and belongs to the sum.
    running = [steady(4000), steady(2000), constant(0), steady(1500)]
    made = simple([*rails, part], [steady(1000), steady(500), constant(0), steady(700)], {"a": running, "b": running})
    whole = only(made, "a", "jetson:all rails")
    assert whole.power_w == pytest.approx(6.0, rel=0.01) and whole.covers == "GPU; CPU; CV"
    assert energy.primary(made) == "jetson:all rails"
    alone = only(made, "a", "jetson:CV")
    assert alone.gross_j is None and alone.missing["gross_j"].startswith("it reads 0 W while a model runs")
    # One of them vanishes: no sum in this window.
    first = next(each for each in made.metered.windows if each.contender == "a")
    first.traces[1] = msgspec.structs.replace(first.traces[1], trouble="it can't be read any more")
    whole = only(made, "a", "jetson:all rails")
    assert whole.windows == 2 and "CPU: it can't be read any more" in whole.missing["windows"]


# ---------------------------------------------------------------- windows that are refused


def test_a_sensor_too_slow_for_the_window_says_how_long_it_must_be():
    slow = Channel("nvml", "GPU 0", "power", "mW", "gpu", "s", period_ns=100 * MS)
    stairs = [lambda t: 5000 + t // (100 * MS) % 7 * 100]
    row = only(simple([slow], stairs, {"a": stairs, "b": stairs}))
    assert row.gross_j is None
    assert row.missing["gross_j"] == (
        "a window of 1 s holds 10 periods of this sensor (one each 100 ms); it takes 2.0 s: give --meter-window 2.0s"
    )


def test_a_sensor_slower_than_its_maker_says_is_found_out():
    liar = Channel("m", "n", "power", "mW", "board", "s", period_ns=10 * MS)
    stairs = [lambda t: 5000 + t // (100 * MS) * 7919 % 1000]
    row = only(simple([liar], stairs, {"a": stairs, "b": stairs}))
    assert row.seen_ns == 100 * MS and "it takes 2.0 s" in row.missing["gross_j"]


def test_a_sensor_that_tells_no_rate_and_seldom_has_news_is_not_taken_for_a_fast_one():
    nameless = Channel("hwmon", "corsairpsu/power total", "power", "uW", "board", "power1_input", "all")
    second = [lambda t: 5_000_000 + (t + S // 2) // S % 5 * 100_000]
    row = only(simple([nameless], second, {"a": second, "b": second}))
    assert row.gross_j is None
    assert row.missing["gross_j"].startswith("how often this sensor has news is not known")
    quick = [lambda t: 5_000_000 + t // (20 * MS) % 5 * 100_000]
    assert only(simple([nameless], quick, {"a": quick, "b": quick})).gross_j is not None


def test_a_counter_that_was_not_read_near_an_edge_does_not_tell_what_lies_beyond_it():
    made = simple([COUNTER_LONG], [counting(3)], {"a": [counting(9)], "b": [counting(4)]}, rounds=1)
    own = next(each for each in made.metered.windows if each.contender == "a")
    trace = own.traces[0]
    at_ns, values = unpack(trace.at_ns), unpack(trace.values)
    # Read 0.5 s before the window, and then not for 0.5 s of it: 3 W for a half of the gap, 9 W for the other.
    kept = at_ns > 550 * MS
    made_at = [0, *(at_ns[kept] + 450 * MS).tolist()]
    told = [int(values[kept][0]) - 6 * 10**6, *values[kept].tolist()]
    own.from_ns -= 450 * MS
    own.traces[0] = msgspec.structs.replace(trace, at_ns=pack(made_at), values=pack(told))
    assert "nearest to an edge of this window is 0.5 s away" in only(made).missing["gross_j"]
    # A gap within the window is none of its business.
    hole = (at_ns < 300 * MS) | (at_ns > 800 * MS)
    own.from_ns += 450 * MS
    own.traces[0] = msgspec.structs.replace(trace, at_ns=pack(at_ns[hole]), values=pack(values[hole]))
    assert only(made).gross_j == 0.09


def test_an_averaging_sensor_settles_first():
    lazy = Channel("m", "n", "power", "mW", "board", "s", period_ns=10 * MS, averages_ns=500 * MS)

    def settling(t):
        into_ns = (t - S) % (2 * S)
        return round(3000 + 6000 * min(1, max(0, into_ns) / (500 * MS))) + t // EVERY_NS % 3

    row = only(simple([lazy], [steady(3000)], {"a": [settling], "b": [settling]}))
    assert row.power_w == pytest.approx(9.0, rel=1e-3) and row.gross_j == pytest.approx(0.09, rel=1e-3)
    slower = Channel("m", "n", "power", "mW", "board", "s", period_ns=10 * MS, averages_ns=900 * MS)
    row = only(simple([slower], [steady(3000)], {"a": [settling], "b": [settling]}))
    assert "holds 10 periods of this sensor (one each 10 ms) after 900 ms of settling" in row.missing["gross_j"]
    assert "give --meter-window 1.1s" in row.missing["gross_j"]


def test_a_sensor_that_vanishes_refuses_that_window_only():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [steady(5000)]})
    own = [each for each in made.metered.windows if each.contender == "a"]
    gone = "it can't be read any more: No such device"
    own[1].traces[0] = msgspec.structs.replace(own[1].traces[0], trouble=gone)
    row = only(made)
    assert row.windows == 2 and row.gross_low_j is not None
    assert row.missing["windows"] == f"2 of 3 windows have a figure; the others: {gone}"
    own[2].traces.clear()
    row = only(made)
    assert row.windows == 1 and row.gross_j and row.gross_low_j is None
    own[0].traces[0] = own[1].traces[0]
    row = only(made)
    assert row.windows == 0 and row.gross_j is None
    assert row.missing["gross_j"] == f"{gone}; it was not read in this window"
    assert energy.primary(made) is None


def test_a_gauge_that_reads_zero_measures_nothing():
    row = only(simple([GAUGE], [constant(0)], {"a": [constant(0)], "b": [constant(0)]}))
    assert row.missing["gross_j"] == "it reads 0 W while a model runs: it doesn't measure"


def test_a_gauge_that_never_moves_measures_nothing():
    row = only(simple([GAUGE], [constant(5000)], {"a": [constant(5000)], "b": [constant(5000)]}))
    assert row.missing["gross_j"].startswith("it told 5000 mW in every reading, idle and running alike")


def test_a_coarse_gauge_that_moves_between_idle_and_running_measures():
    # Steps of 1 W: one value all through each window.
    made = simple([GAUGE], [constant(5000)], {"a": [constant(8000)], "b": [constant(5000)]})
    assert only(made).power_w == 8.0 and only(made, "b").power_w == 5.0


def test_a_coarse_gauge_that_flickers_when_idle_measures():
    flickers = [lambda t: 152 * (33 + (t // EVERY_NS * 7919) % 5 // 3)]
    made = simple([GAUGE], flickers, {"a": [constant(8056)], "b": [constant(6080)]})
    assert only(made).power_w == pytest.approx(8.056)


def test_a_gauge_that_sticks_within_a_window_is_refused_there():
    made = simple([GAUGE], [steady(3000, 400)], {"a": [steady(9000, 400)], "b": [steady(5000, 400)]})
    stuck = [each for each in made.metered.windows if each.contender == "a"][1]
    values = unpack(stuck.traces[0].values)
    values[40:] = values[40]
    stuck.traces[0] = msgspec.structs.replace(stuck.traces[0], values=pack(values))
    row = only(made)
    assert row.windows == 2 and "it sticks: the last 0.65 s tell" in row.missing["windows"]
    assert only(made, "b").windows == 3


def test_a_gauge_that_sticks_for_good_is_refused_from_there_on():
    fine, stuck = steady(9000, 400), constant(9123)
    made = simple([GAUGE], [steady(3000, 400)], {"a": [fine], "b": [steady(5000, 400)]})
    for each in made.metered.windows[8:]:
        each.traces[0] = window(each.position, each.contender, [stuck]).traces[0]
    assert only(made, "a").windows == 2 and only(made, "b").windows == 1
    assert "it sticks" in only(made, "b").missing["windows"]


def test_a_counter_that_stands_still_is_refused():
    made = simple([COUNTER_LONG], [counting(3)], {"a": [counting(9)], "b": [lambda t: 77]})
    assert "the counter stood still for 1 s while a model ran" in only(made, "b").missing["gross_j"]
    assert only(made, "a").windows == 3
    # While idle it may stand still: then the unit takes nothing that the counter sees.
    made = simple([COUNTER_LONG], [lambda t: 77], {"a": [counting(9)], "b": [counting(9)]})
    assert only(made).net_j == pytest.approx(only(made).gross_j)


def test_a_gauge_with_a_hole_is_refused():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [steady(5000)]}, rounds=2)
    own = next(each for each in made.metered.windows if each.contender == "a")
    at_ns, values = unpack(own.traces[0].at_ns), unpack(own.traces[0].values)
    keep = [index for index in range(at_ns.size) if not 30 <= index < 60]
    own.traces[0] = msgspec.structs.replace(own.traces[0], at_ns=pack(at_ns[keep]), values=pack(values[keep]))
    row = only(made)
    assert row.windows == 1 and "for 0.31 s of this window it was not read" in row.missing["windows"]


# ---------------------------------------------------------------- net, cost, doubts


def kinds(made, name="a"):
    return [doubt.kind for doubt in energy_doubts(made, next(each for each in made.results if each.name == name))]


def test_net_of_nothing_is_doubted_not_hidden():
    made = simple([GAUGE], [steady(5000)], {"a": [steady(5000)], "b": [steady(9000)]})
    row = only(made)
    assert row.net_j == pytest.approx(0, abs=1e-3) and row.gross_j == pytest.approx(0.05, rel=0.01)
    assert kinds(made) == ["not-above-idle"] and kinds(made, "b") == []


def test_idle_that_moves_is_doubted():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(6000)], "b": [steady(7000)]})
    last = made.metered.windows[-1]
    last.traces[0] = window(last.position, None, [steady(4000)]).traces[0]
    assert kinds(made, "b") == ["idle-drift"]


def test_few_windows_are_doubted():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(6000)], "b": [steady(9000)]}, rounds=2)
    assert kinds(made) == ["few-windows"]


def test_a_shared_gpu_is_doubted():
    made = simple([GPU], [steady(30_000)], {"a": [steady(60_000)], "b": [steady(90_000)]})
    for each in made.results:
        each.device = "cuda"
    assert kinds(made) == []
    made.metered.missing.append(Missing("nvml", "energy", "not-for-this-process", "GPU 0: 2 other processes"))
    assert kinds(made) == ["shared-sensor"]


def test_the_meters_cost_is_shown_and_doubted_when_it_matters():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(6000)], "b": [steady(9000)]})
    for each in made.metered.windows:
        each.sweeps, each.busy_ns = 100, 8 * MS
        if each.contender:
            each.bare_ns, each.median_ns = 1e6, 1.03e6 + 1000 * each.round
    cost = energy.meter_cost(made, made.results[0])
    assert cost.ratio == pytest.approx(1.031) and 1.02 < cost.low < cost.ratio < cost.high
    assert (cost.rounds, cost.busy) == (3, 0.008)
    assert kinds(made) == ["meter-cost"]
    for each in made.metered.windows:
        each.bare_ns = None
    assert energy.meter_cost(made, made.results[0]) is None


# ---------------------------------------------------------------- comparisons


def gross(rows):
    return {row.contender: row for row in rows if row.metric == ratios.GROSS}


def test_energy_is_compared_by_rounds():
    made = lifelike()
    rows = ratios.compare_energy(made)
    assert {row.metric for row in rows} == {"energy_per_inference", "energy_per_inference_net"}
    by_latency = {row.contender: row for row in compare(made)}
    row = gross(rows)["opencv:cpu"]
    assert row.baseline == by_latency["opencv:cpu"].baseline == "onnxruntime:cpu"
    assert row.verdict == "worse" and row.low < row.ratio < row.high and row.reason.startswith("5 rounds, p = ")
    against = gross(ratios.compare_energy(made, "opencv:cpu"))
    assert against["onnxruntime:cpu"].verdict == "better"
    assert against["onnxruntime:cpu"].ratio == pytest.approx(1 / row.ratio)


def test_equal_energy_is_a_tie():
    contenders = {name: Made(123_000, 22.0) for name in ("a:cpu", "b:cpu")}
    (row,) = gross(ratios.compare_energy(lifelike(contenders=contenders))).values()
    assert row.verdict == "no-difference"


def test_energy_of_different_scopes_is_refused_by_name():
    package = msgspec.convert(msgspec.to_builtins(GAUGE) | {"meter": "rapl", "name": "p", "scope": "package"}, Channel)
    made = simple([package, GPU], [steady(3000), steady(30_000)],
                  {"a": [steady(9000), steady(31_000)], "b": [steady(5000), steady(90_000)]})  # fmt: skip
    made.results[1].device = "cuda"
    (row,) = gross(ratios.compare_energy(made)).values()
    assert row.verdict == "not-comparable" and row.ratio is None
    assert "other power scope" in row.reason
    assert "a: package, rapl:p" in row.reason and "b: gpu, nvml:GPU 0" in row.reason
    assert "power-elsewhere" in kinds(made, "b") and "power-elsewhere" not in kinds(made, "a")
    # A meter of the whole board compares them.
    made.metered.channels[0] = msgspec.convert(msgspec.to_builtins(package) | {"scope": "board"}, Channel)
    (row,) = gross(ratios.compare_energy(made)).values()
    assert row.ratio is not None and energy.primary(made) == "rapl:p"


def test_energy_of_other_boundaries_is_refused():
    made = simple([COUNTER_LONG], [counting(3)], {"a": [counting(9)], "b": [counting(4)]})
    made.results[1].boundary = "compute"
    (row,) = gross(ratios.compare_energy(made, "a")).values()
    assert row.ratio is None and row.reason == "other boundary (compute; the baseline's is end_to_end)"


def test_a_cards_own_meter_holds_the_card_alone():
    rails = Channel("hailo", "rails", "power", "mW", "rails", "power_measurement", "three rails", period_ns=10 * MS)
    made = simple([rails], [steady(900)], {"a": [steady(950)], "b": [steady(2500)]})
    cpu, card = made.results
    card.backend, card.device = "hailo", "0000:01:00.0"
    assert energy.common_source(made, [card]) == "hailo:rails" and energy.common_source(made, [cpu]) is None
    (row,) = gross(ratios.compare_energy(made)).values()
    assert row.verdict == "not-comparable"
    assert row.reason == "other power scope (a: none for its cpu; b: rails, hailo:rails)"


def test_no_figure_is_refused_by_name():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [steady(5000)]})
    for each in made.metered.windows:
        if each.contender == "b":
            each.traces.clear()
    (row,) = gross(ratios.compare_energy(made, "a")).values()
    assert row.reason == "no energy figure: b: it was not read in this window"
    assert ratios.compare_energy(lifelike(rounds=2, channels=(CPU_TIME,))) == []


def test_net_energy_at_idle_is_not_compared():
    made = simple([GAUGE], [steady(5000)], {"a": [steady(5000)], "b": [steady(9000)]})
    row = next(row for row in ratios.compare_energy(made, "b") if row.metric == ratios.NET)
    assert row.verdict == "not-comparable" and "took no more than the machine does idle" in row.reason


def test_the_most_memory_is_compared_by_rounds():
    made = lifelike(rounds=3)
    assert ratios.compare_memory(made) == []
    for at, each in enumerate(made.results):
        for reading in each.readings:
            peak = (60_000_000 << at) + 1000 * reading.round
            reading.memory = Memory(peak_loading=peak, peak_measuring=50_000_000)
    made.results[2].readings[0].memory.peak_measuring = None  # then the larger one is not known
    rows = {row.contender: row for row in ratios.compare_memory(made, "onnxruntime:cpu")}
    assert rows["openvino:cpu"].ratio == pytest.approx(2, rel=1e-3) and rows["openvino:cpu"].verdict == "worse"
    assert rows["opencv:cpu"].reason.startswith("2 rounds")


def test_energy_across_files_is_refused_by_name():
    one, other = simple_pair(GAUGE, GAUGE)
    assert across(one, other).startswith("measured in two campaigns (0.09")
    other.machine.hostname = "another"
    assert across(one, other) == "other machine"
    assert across(*simple_pair(GAUGE, BOARD)) == "other power scope (module: jetson:VDD_IN; board: bench:out)"
    other.model.sha256 = "0" * 64
    assert across(one, other) == "other model bytes"


def simple_pair(first, second):
    running = {"a": [steady(9000)], "b": [steady(5000)]}
    return [simple([channel], [steady(3000)], running) for channel in (first, second)]


def across(one, other):
    rows = ratios.across_energy([("one", one), ("other", other)])
    assert {row.verdict for row in rows} == {"not-comparable"}
    return next(row.reason for row in rows if row.contender == "other: a")


# ---------------------------------------------------------------- the rest


def test_lifelike_figures():
    made = lifelike()
    rows = {row.name: row for row in summarize(made)}
    row = rows["onnxruntime:cpu"]
    package = next(each for each in row.energy if each.source == "rapl:package-0")
    # 22 W at 123 µs; it wraps in the first round; idle takes 4 W.
    assert package.gross_j == pytest.approx(22 * 123e-6, rel=0.02)
    assert package.net_j == pytest.approx(18 * 123e-6, rel=0.02)
    assert package.gross_low_j < package.gross_j < package.gross_high_j
    assert energy.primary(made) == "rapl:package-0" and row.doubts == [] and row.meter_cost.rounds == 5
    gauges = {each.source: each for each in row.gauges}
    assert gauges["cpu:process"].mean == pytest.approx(0.99, rel=0.01) and gauges["cpu:process"].unit == "cores"
    heat = gauges["thermal:x86_pkg_temp"]
    assert heat.least <= heat.mean <= heat.most and 40 < heat.idle < heat.mean < 60
    burst = next(each for each in rows["openvino:cpu"].energy if each.source == "rapl:package-0").steadiness
    assert burst.peak_w > burst.p95_w > burst.mean_w > burst.p5_w > 20 and burst.above_share > 0.5


def test_power_over_time_has_idle_before_and_behind():
    made = lifelike()
    own = made.results[0]
    for source in ("rapl:package-0", "ina3221:VDD_CPU"):
        points = energy.power_over_time(made, own, source)
        seconds = [second for second, _ in points]
        assert seconds == sorted(seconds) and seconds[0] < -1 and seconds[-1] > 2
        busy = [watts for second, watts in points if 0.1 < second < 1.1]
        idle = [watts for second, watts in points if second < -0.2]
        assert min(busy) > 2 * max(idle)
    assert energy.window_shown(made, own, "rapl:package-0").contender == own.name
    assert energy.power_over_time(made, own, "nothing") == []


def test_campaigns_without_meters_have_no_figure():
    made = lifelike(rounds=2)
    made.metered = None
    rows = summarize(made)
    assert all(not row.energy and not row.gauges and row.meter_cost is None for row in rows)
    assert energy.primary(made) is None and ratios.compare_energy(made) == []


def test_two_logs_of_one_name_stay_two_sources():
    made = simple([BOARD, BOARD], [steady(3000)] * 2, {"a": [steady(9000)] * 2, "b": [steady(5000)] * 2}, rounds=1)
    assert [row.source for row in energy.energy_figures(made, made.results[0])] == ["bench:out", "bench:out (2)"]


def test_values_below_zero_are_kept():
    made = simple([GAUGE], [steady(3000)], {"a": [steady(9000)], "b": [steady(5000)]}, rounds=1)
    for each in made.metered.windows:
        trace = each.traces[0]
        each.traces[0] = msgspec.structs.replace(trace, above=1000, values=pack(unpack(trace.values) + 1000))
    assert only(made).power_w == pytest.approx(9.0, rel=0.01)
    for each in made.metered.windows:
        each.traces[0] = msgspec.structs.replace(each.traces[0], above=20_000)
    assert "W while a model runs: it doesn't measure" in only(made).missing["gross_j"]


def test_an_interval_of_values_of_either_sign():
    mean, low, high = intervals.of_values([-1.0, 0.0, 1.0])
    assert mean == 0 and low == -high and high == pytest.approx(2.63, abs=0.01)  # t = 4.55 of 2, over sqrt(3)
    assert intervals.of_values([2.0]) == (2.0, None, None)


# ---------------------------------------------------------------- several graphics cards


def two_gpus(process=True, device="cuda"):
    """Contender ``a`` runs on the second card; a process's memory is told only where it is."""
    cards = [Channel("nvml", f"gpu{n} energy", "energy", "mJ", "gpu", "s", counter=True, period_ns=MS) for n in (0, 1)]
    held = [Channel("nvml", f"gpu{n} memory of the process", "memory", "B", "process", "s") for n in (0, 1)]
    still, busy = (lambda t, watts=watts: t * watts // 10**6 for watts in (20, 200))
    running = [still, busy, constant(0), constant(10**9)] if process else [still, busy]
    made = simple([*cards, *(held if process else [])], [still, still], {"a": running}, contenders=("a",))
    for each in made.metered.windows:
        each.traces[2:3] = [Trace(channel=2, at_ns=pack([]), values=pack([]), trouble="not at work there")][:process]
        if each.contender is None:
            del each.traces[2:]
    made.results[0].device = device
    return made


def test_of_two_cards_the_one_that_the_process_is_on_tells_its_energy():
    made = two_gpus()
    assert energy.primary(made) == "nvml:gpu1 energy"
    assert energy.primary_figures(made, made.results[0]).power_w == pytest.approx(200, rel=1e-3)
    assert "power-elsewhere" not in kinds(made, "a")


def test_of_two_cards_none_is_taken_for_granted():
    made = two_gpus(process=False)
    doubt = next(each for each in energy_doubts(made, made.results[0]) if each.kind == "power-elsewhere")
    assert "one of several, and it is not shown to have run on that one" in doubt.says


def test_a_card_of_another_maker_does_not_hold_it():
    other = Channel("hwmon", "amdgpu/PPT", "power", "uW", "gpu", "power1_average", period_ns=10 * MS)
    made = simple([other], [steady(9_000_000)], {"a": [steady(9_500_000)]}, contenders=("a",))
    made.results[0].device = "cuda"
    assert "power-elsewhere" in kinds(made, "a")
    made.results[0].device = "rocm"
    assert "power-elsewhere" not in kinds(made, "a")
