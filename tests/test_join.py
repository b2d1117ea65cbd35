"""Logs of other programs joined to a run: formats, clocks, windows, and joules held against hand computations."""

from __future__ import annotations

import datetime
from fractions import Fraction
from pathlib import Path

import made_metered
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whichpu
from whichpu.errors import UserError
from whichpu.results import energy, importers, join, store
from whichpu.results.column import unpack
from whichpu.results.importers import Options, times
from whichpu.results.join import Clock
from whichpu.results.schema import Metered, MeterWindow
from whichpu.stats.align import Pattern, Span, find

S = 10**9
MS = 10**6
LOGS = Path(__file__).parent / "golden" / "logs"
UTC = datetime.UTC
NOON = datetime.datetime(2026, 11, 20, 18, 0, 0, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * S
NAMES = tuple(made_metered.CONTENDERS)[:2]


def golden(name, **options):
    return importers.read((LOGS / name).read_bytes(), name, Options(zone=UTC, **options))


def read(text, **options):
    return importers.read(text.encode(), "log.csv", Options(zone=UTC, **options))


def campaign(spans, utc_ns=NOON_NS, count=1_000):
    """A run without sensors whose windows are ``spans`` of (begin in s, length in s, contender or ``None``)."""
    made = made_metered.campaign(rounds=1, contenders={name: made_metered.CONTENDERS[name] for name in NAMES})
    windows = [
        MeterWindow(
            round=number // 5, position=number, contender=name, count=count if name else 0,
            began_ns=round(7_000 * S + begin * S), wall_ns=round(length * S), utc_ns=utc_ns + round(begin * S),
        )
        for number, (begin, length, name) in enumerate(spans)
    ]  # fmt: skip
    made.created = NOON.isoformat(timespec="seconds")
    made.metered = Metered(window_s=spans[0][1], windows=windows)
    return made


def rounds(length, rounds=2, gap=4.0):
    """In each round idle, a contender, idle, the other, idle; the run is one of uneven pauses."""
    at, spans = gap, []
    for number in range(rounds):
        for name in (None, NAMES[number % 2], None, NAMES[1 - number % 2], None):
            spans.append((at, length, name))
            at += length + gap
        at += 3.0 + 2 * number
    return spans


def watts_at(spans, second, levels=(2.0, 5.0, 8.0), pad=2.0):
    """The power at a second of the run, a fifth of a watt more in every other second."""
    for begin, length, name in spans:
        if name is not None and begin - pad <= second <= begin + length + pad:
            return levels[1 + NAMES.index(name)] + 0.2 * (second % 2)
    return levels[0] + 0.2 * (second % 2)


def energies(made, key):
    """Energy per inference of both contenders in each round."""
    by_name = {result.name: result for result in made.results}
    source = energy.source_named(made, key)
    return [list(energy.energy_rounds(made, by_name[name], source).values()) for name in NAMES]


# ---------------------------------------------------------------- joules by hand

# Windows of 20 s, a reading each second: alternately 5.0 and 5.2 W (8.0 and 8.2 W), so 20 trapezoids of 5.1 W (8.1 W)
# make 102 J (162 J), and over 1,000 inferences 0.102 J (0.162 J).
SPANS = rounds(20)
SECONDS = range(-5, 280)
BY_HAND = [[0.102, 0.102], [0.162, 0.162]]


def stamp(second, form):
    return (NOON + datetime.timedelta(seconds=second)).strftime(form)


def lines_of(form, scale=1000, spans=SPANS):
    """A line for each second: ``form`` gets the second, and the power as a whole number."""
    return "\n".join(form(second, round(scale * watts_at(spans, second))) for second in SECONDS) + "\n"


def first_line(name):
    return (LOGS / name).read_text().splitlines()[0]


def nano(second, mw):
    head = first_line("tegrastats-jetpack4-nano.log").split(" POM_5V_IN")[0]
    return f"{head} POM_5V_IN {mw}/{mw} POM_5V_GPU 0/0 POM_5V_CPU 204/204"


def orin_nano(second, mw):
    head = first_line("tegrastats-jetpack6-orin-nano.log").split(" ", 2)[2].split(" VDD_IN")[0]
    return f"{stamp(second, '%m-%d-%Y %H:%M:%S')} {head} VDD_IN {mw}mW/{mw}mW VDD_CPU_GPU_CV 5mW/5mW VDD_SOC 9mW/9mW"


def agx_orin(second, mw):
    head = first_line("tegrastats-jetpack5-agx-orin.log").split(" ", 2)[2].split(" VDD_GPU_SOC")[0]
    rails = f"VDD_GPU_SOC {mw - 700}mW/0mW VDD_CPU_CV 300mW/0mW VIN_SYS_5V0 400mW/0mW VDDQ_VDD2_1V8AO 150mW/0mW"
    return f"{stamp(second, '%m-%d-%Y %H:%M:%S')} {head} {rails}"


def dmon(second, watts):
    head = "#Date       Time        gpu   pwr    sm\n#YYYYMMDD   HH:MM:SS    Idx     W     %\n"
    again = "" if second % 25 and second != SECONDS[0] else head
    return f"{again} {stamp(second, '%Y%m%d   %H:%M:%S')}      0  {watts:4d}    50"


def query(second, watts):
    head = "timestamp, index, power.draw [W], utilization.gpu [%]\n" if second == SECONDS[0] else ""
    return f"{head}{stamp(second, '%Y/%m/%d %H:%M:%S')}.000, 0, {watts}.00 W, 50 %"


def table(second, mw):
    head = "Time;Voltage (V);Current (mA)\n" if second == SECONDS[0] else ""
    return f"{head}{stamp(second, '%Y-%m-%dT%H:%M:%SZ')};5,0;{mw // 5}"


def test_tegrastats_of_jetpack_4_by_hand():
    began = Clock(began_ns=NOON_NS + SECONDS[0] * S)
    joined = join.join(campaign(SPANS), lines_of(nano).encode(), "t.log", Options(), began)
    assert energies(joined, "tegrastats:POM_5V_IN") == BY_HAND
    assert joined.metered.joined[0].aligned_by == "its beginning, as told"


def test_tegrastats_of_jetpack_5_by_hand():
    joined = join.join(campaign(SPANS), lines_of(agx_orin).encode(), "t.log", Options(zone=UTC))
    sums = {channel.sums_to for channel in joined.metered.channels if channel.sums_to}
    assert len(sums) == 1
    rows = energies(joined, f"tegrastats:{sums.pop()}")
    # GPU+SOC, CPU+CV and the 5 V rail: the 1.8 V rail hangs on the last one.
    assert rows == [[0.102, 0.102], [0.162, 0.162]]


def test_tegrastats_of_jetpack_6_by_hand():
    joined = join.join(campaign(SPANS), lines_of(orin_nano).encode(), "t.log", Options(zone=UTC))
    assert energies(joined, "tegrastats:VDD_IN") == BY_HAND


@pytest.mark.parametrize("form", [dmon, query])
def test_logs_of_nvidia_smi_by_hand(form):
    # Each value is a mean over the second before it, so the first second of a window doesn't count, and
    # the 22 others, 22 periods, stand for all 23 s: 51 W x 23 s / 1,000 is 1.173 J, 81 W x 23 s / 1,000 is 1.863 J.
    spans = rounds(23, gap=3.0)
    joined = join.join(campaign(spans), lines_of(form, 10, spans).encode(), "gpu.log", Options(zone=UTC))
    key = next(f"{one.meter}:{one.name}" for one in joined.metered.channels if one.quantity == "power")
    assert energies(joined, key) == [[1.173, 1.173], [1.863, 1.863]]


def test_a_bench_meters_table_by_hand():
    joined = join.join(campaign(SPANS), lines_of(table).encode(), "bench.csv", Options(zone=UTC))
    assert energies(joined, "csv:power") == BY_HAND
    (channel,) = joined.metered.channels
    assert (channel.scope, channel.unit, channel.period_ns) == ("board", "uW", S)


def test_a_log_that_skips_half_seconds_is_cut_between_its_readings():
    # Windows begin half way between readings: the alternation makes each half second's trapezoid 5.1 W on average.
    spans = [(begin + 0.5, length, name) for begin, length, name in SPANS]
    joined = join.join(campaign(spans), lines_of(table).encode(), "bench.csv", Options(zone=UTC))
    assert energies(joined, "csv:power") == BY_HAND


def test_an_energy_counter_by_hand():
    # 5 J each second in windows of the one, 8 J in those of the other, 2 J elsewhere.
    total, rows = 0, ["time (s),energy (J)"]
    for second in SECONDS:
        rows.append(f"{NOON_NS // S + second},{total}")
        total += round(watts_at(SPANS, second, pad=0.0) - 0.2 * (second % 2))
    joined = join.join(campaign(SPANS), "\n".join(rows).encode(), "bench.csv", Options(zone=UTC))
    assert energies(joined, "csv:energy") == [[0.1, 0.1], [0.16, 0.16]]


# ---------------------------------------------------------------- formats


def test_ptdaemon():
    log = golden("ptdaemon.txt")
    (series,) = log.series
    assert (log.format, log.clock) == ("ptdaemon", "utc")
    assert series.at_ns == [NOON_NS + 100 * MS, NOON_NS + 1105 * MS, NOON_NS + 3100 * MS]
    assert series.values == [23_430_000, 33_520_000, 41_330_000]


def test_joulescope():
    log = golden("joulescope-statistics.csv")
    (series,) = log.series
    assert (log.format, log.clock) == ("csv", "start")
    assert series.at_ns == [0, 500 * MS, S]
    assert series.values == [1_895_250, 1_904_750, 1_900_000]
    told = golden("joulescope-statistics.csv", columns={"energy": "energy:J"})
    assert told.series[0].channel.counter
    assert told.series[0].values == [0, 952_375, 1_902_375]


def test_ppk2_needs_the_voltage():
    with pytest.raises(UserError, match=r"'Current\(uA\)' is a current, and there is no voltage"):
        golden("ppk2.csv")
    log = golden("ppk2.csv", voltage_v=Fraction("3.3"))
    assert log.series[0].at_ns == [0, 10_000, 20_000]
    assert log.series[0].values == [165_002, 198_000, 198_000]  # 165,001.65 and 198,000.4125 µW, rounded
    assert any("at 3.3 V, as told" in note for note in log.notes)
    assert any("D0, D1" in note for note in log.notes)


def test_monsoon_says_ms_and_writes_seconds():
    log = golden("monsoon.csv")
    # Two readings share each time: they are spread over it.
    assert log.series[0].at_ns == [500 * MS, 550 * MS, 600 * MS, 650 * MS]
    assert log.series[0].values == [842_100, 844_200, 833_810, 840_000]


def test_fnirsi_is_apart_by_blanks():
    log = golden("fnirsi-fnb58.txt")
    assert log.clock == "utc"
    assert log.series[0].at_ns[0] == 1_795_165_200_775 * MS
    assert log.series[0].values == [290_143, 291_399, 291_334]  # 290,142.92, 291,398.7325 and 291,334 µW


def test_decimal_commas_absent_values_and_a_cut_off_line():
    log = golden("bench-meter-commas.csv")
    assert log.series[0].at_ns == [NOON_NS, NOON_NS + 500 * MS]
    assert log.series[0].values == [1_234_500, 1_235_000]
    assert any("line 6, the last, is cut off" in note for note in log.notes)
    assert any("1 lines without a value" in note for note in log.notes)
    assert any("columns left out: Voltage (V), Power max (mW)" in note for note in log.notes)


def test_a_serial_log_stamped_by_ts():
    log = golden("serial-ts.csv")
    assert log.clock == "utc"
    assert log.series[0].at_ns == [1_795_165_200_100_250_000, 1_795_165_200_200_500_000]
    assert log.series[0].values == [1_004_000, 1_054_000]


@pytest.mark.parametrize(
    ("text", "options", "says", "remedy"),
    [
        ("time,power\n0,5\n1,6\n", {}, "doesn't say its unit", "--column 'time=time:s'"),
        ("time (s),power\n0,5\n1,6\n", {}, "'power' doesn't say its unit", "--column 'power=power:W'"),
        ("time (s),Main (mW),USB (mW)\n0,5,6\n1,6,7\n", {}, "several columns hold power", "--column 'Main"),
        ("time (s),heat (C)\n0,5\n1,6\n", {}, "no column of power", "--column 'heat (C)=power:W'"),
        ("power (W),note\n5,1\n6,1\n", {}, "no column of time", "--interval"),
        ("time (s),power (W)\n0,5\n1,six\n2,7\n", {}, "line 3: 'six' in column 'power (W)' is not", "repair"),
        ("time (s),power (W)\n0,5\n1\n2,7\n", {}, "line 3 doesn't hold 2 values: '1'", "repair"),
        ("time (s),power (W)\n0,5\n2,5\n1,6\n", {}, "line 4 goes back in time, by 1 s", "one recording"),
        ("time (s),power (W)\n0,\n1,\n", {}, "no line of values", "a line of names"),
        ("time (s),power (W)\n0,5\n1,OL\n", {"columns": {"power (W)": "skip"}}, "no column of power", "--column"),
        ("time (s),power (W),x\n0,,5\n1,-,6\n", {}, "'power (W)' hold no value in any of 2 lines", "--column"),
        ("5,6\n7,8\n", {}, "no line of as many names", "write one above"),
        ("time (s),power (W)\n0,5\n", {"columns": {"P": "power:W"}}, "no column is named 'P'", "power"),
        ("time (s),x\n0,5\n", {"columns": {"x": "power:GW"}}, "power has no unit 'GW'", "W"),
        ("time (s),x\n0,5\n", {"columns": {"x": "light:lx"}}, "no quantity 'light'", "power"),
        ("time (s),x\n0,5\n", {"columns": {"x": "power"}}, "names no unit", "power:W"),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_asked_for(text, options, says, remedy):
    with pytest.raises(UserError) as found:
        importers.read(text.encode(), "log.csv", Options(zone=UTC, **options), "csv")
    assert says in str(found.value)
    assert remedy in str(found.value.remedy)


def test_columns_may_be_told():
    log = read("t,P1,P2\n0,5,7\n250,6,8\n", columns={"t": "time:ms", "P2": "power:mW"})
    assert log.series[0].at_ns == [0, 250 * MS]
    assert log.series[0].values == [7_000, 8_000]
    assert any("columns left out: P1" in note for note in log.notes)


def test_words_and_empty_fields_are_no_values():
    log = read("state,time (s),power (W)\non,0,5\non,1,\noff,2,n/a\non,3,6\n")
    assert log.series[0].at_ns == [0, 3 * S]
    assert log.series[0].values == [5_000_000, 6_000_000]


def test_lines_without_times_are_as_far_apart_as_told():
    log = read("power (W),state\n5,1\n6,1\n", period_ns=100 * MS)
    assert (log.clock, log.series[0].at_ns) == ("start", [0, 100 * MS])


def test_numbers_that_are_epochs_are_in_their_own_unit():
    log = read("Time (s),power (W)\n1795165200123,5\n1795165200223,6\n")
    assert (log.clock, log.series[0].at_ns[0]) == ("utc", 1_795_165_200_123 * MS)


def test_date_and_time_in_two_columns():
    log = read("Date,Time,power (W)\n2026/11/20,18:00:00.5,5\n2026/11/20,18:00:01.5,6\n")
    assert (log.clock, log.series[0].at_ns[0]) == ("utc", NOON_NS + S // 2)


def test_utf_16_and_latin_1_are_read():
    text = "Time (s),Power (µW),Temp (°C)\n0,5,6\n1,6,7\n"
    for data in (text.encode("utf-16"), text.encode("latin-1"), text.encode("utf-8-sig")):
        assert importers.read(data, "log.csv", Options()).series[0].values == [5, 6]


@pytest.mark.parametrize("text", ["", "  \n", "hello\nworld\n", "\0\1\2"])
def test_other_files_are_refused(text):
    with pytest.raises(UserError):
        read(text)


def test_an_unknown_format_is_refused():
    with pytest.raises(UserError, match="'wav' is no format of logs"):
        importers.read(b"x", "log", Options(), "wav")


@pytest.mark.parametrize("path", sorted(LOGS.iterdir()), ids=lambda path: path.name)
def test_each_golden_log_has_one_format(path):
    assert importers.recognised(path.read_text(), path.name) in importers.FORMATS


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 10**8)), min_size=2, max_size=20),
    st.sampled_from([",", ";", "\t", " "]),
    st.sampled_from(["W", "mW", "uW"]),
    st.booleans(),
)
def test_what_is_written_is_read(steps, separator, unit, comma):
    at_ms, values_uw, rows, at = [], [], [separator.join(("time_ms", f"power_{unit}", "x"))], 0
    exponent = {"W": 6, "mW": 3, "uW": 0}[unit]
    for step, value in steps:
        text = f"{value // 10**exponent}.{value % 10**exponent:0{exponent}d}" if exponent else str(value)
        mark = "," if comma and separator in ";\t" else "."
        rows.append(separator.join((str(at), text.replace(".", mark), "1")))
        at_ms.append(at)
        values_uw.append(value)
        at += step
    log = read("\n".join(rows))
    assert log.series[0].at_ns == [each * MS for each in at_ms]
    assert log.series[0].values == values_uw


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(LOGS.iterdir())), st.integers(0, 5_000), st.integers(0, 60), st.binary(max_size=8),
    st.sampled_from([None, *importers.FORMATS]),
)  # fmt: skip
def test_damage_is_told_and_never_breaks(path, at, size, other, format):
    data = path.read_bytes()
    at %= len(data)
    try:
        log = importers.read(data[:at] + other + data[at + size :], path.name, Options(zone=UTC), format)
    except UserError:
        return
    for series in log.series:
        assert len(series.at_ns) == len(series.values)
        assert all(earlier <= later for earlier, later in zip(series.at_ns, series.at_ns[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-20T18:00:00Z", 0), ("2026-11-21 03:00:00.5+09:00", 0.5), ("2026/11/20 18:00:01,25", 1.25),
        ("2026-11-20 18:00:00 +0000", 0),
    ],
)  # fmt: skip
def test_moments(text, seconds):
    assert times.utc_ns(text, UTC) == NOON_NS + round(seconds * S)


@pytest.mark.parametrize("text", ["20/11/2026 18:00:00", "2026-13-20 18:00:00", "2026-11-20", "18:00", "now", ""])
def test_what_is_no_moment(text):
    assert times.utc_ns(text, UTC) is None


def test_times_that_are_shared_are_spread():
    assert times.spread([0, 0, 10, 10, 10, 40, 40]) == [0, 5, 10, 20, 30, 40, 50]


# ---------------------------------------------------------------- clocks

SHORT = rounds(2.0, rounds=4, gap=1.0)


def bench(shift_s=0.0, every_s=0.1, spans=SHORT, clock="utc", noise=0.02, last_s=None):
    """A bench meter's table of the run, its clock off by ``shift_s``; ``start``: its times count from 3 s before it."""
    random = np.random.default_rng(3)
    end_s = last_s or spans[-1][0] + 10
    rows = ["time (s),power (W)"]
    for index in range(int((end_s + 3) / every_s)):
        second = -3 + index * every_s
        power = watts_at(spans, second, pad=0.0) - 0.2 * (second % 2) + random.normal(0, noise)
        shown = second + 3 if clock == "start" else NOON_NS / S + second + shift_s
        rows.append(f"{shown:.6f},{power:.6f}")
    return "\n".join(rows).encode()


def test_a_right_clock_is_tested():
    joined = join.join(campaign(SHORT), bench(), "bench.csv").metered.joined[0]
    assert (joined.shift_ns, joined.aligned_by) == (0, "its own clock")
    assert any("agrees with the run's pattern" in note for note in joined.notes)


def test_a_clock_that_is_off_is_found_out():
    with pytest.raises(UserError, match=r"clock seems to be off: .*best: \d+% .* at -2\.5\d* s, next") as found:
        join.join(campaign(SHORT), bench(2.5), "bench.csv")
    assert "--align" in str(found.value.remedy)


def test_a_clock_that_is_off_may_be_aligned_shifted_or_kept():
    right = energies(join.join(campaign(SHORT), bench(), "bench.csv"), "csv:power")
    for clock in (Clock(align=True), Clock(shift_ns=-2_500 * MS)):
        joined = join.join(campaign(SHORT), bench(2.5), "bench.csv", None, clock)
        assert abs(joined.metered.joined[0].shift_ns + 2_500 * MS) <= 50 * MS
        assert np.allclose(energies(joined, "csv:power"), right, rtol=0.03)
    kept = join.join(campaign(SHORT), bench(2.5), "bench.csv", None, Clock(shift_ns=0)).metered.joined[0]
    assert kept.shift_ns == 0
    assert any("--align would take that" in note for note in kept.notes)


def test_a_log_without_a_clock_must_be_placed():
    with pytest.raises(UserError, match="count from its own beginning"):
        join.join(campaign(SHORT), bench(clock="start"), "bench.csv")


@pytest.mark.parametrize("clock", [Clock(align=True), Clock(began_ns=NOON_NS - 3 * S), Clock(shift_ns=-3 * S)])
def test_a_log_without_a_clock_is_placed(clock):
    joined = join.join(campaign(SHORT), bench(clock="start"), "bench.csv", None, clock)
    assert abs(joined.metered.joined[0].shift_ns - (NOON_NS - 3 * S)) <= 50 * MS
    assert joined.metered.joined[0].aligned_by


def test_a_log_of_something_else_is_not_aligned():
    random = np.random.default_rng(5)
    rows = [
        "time (s),power (W)",
        *(f"{index / 10},{value:.3f}" for index, value in enumerate(random.normal(5, 1, 900))),
    ]
    with pytest.raises(UserError, match=r"doesn't show the run's pattern at one place clearly \(best: \d+%"):
        join.join(campaign(SHORT), "\n".join(rows).encode(), "bench.csv", None, Clock(align=True))


PERIODIC = [(4.0 * number, 2.0, NAMES[0] if number % 2 else None) for number in range(30)]


def test_a_run_that_repeats_itself_is_aligned_nowhere():
    text = bench(2.5, spans=PERIODIC, noise=0.9)
    with pytest.raises(UserError, match=r"next: \d+% at") as found:
        join.join(campaign(PERIODIC), text, "bench.csv", None, Clock(align=True))
    assert "s takes the best all the same" in found.value.remedy


def test_a_clock_that_fits_nowhere_near_is_off_though_it_is_not_known_by_how_much():
    with pytest.raises(UserError, match="clock seems to be off") as found:
        join.join(campaign(PERIODIC), bench(2.5, spans=PERIODIC, noise=0.9), "bench.csv")
    assert found.value.remedy.startswith("--shift ")


def test_latency_blocks_are_busy_stretches_of_their_own():
    made = campaign([(begin + 2, length, name) for begin, length, name in SHORT])
    first, other = (result.readings[0] for result in made.results)
    (block,) = first.blocks
    other.blocks = []
    # The first window begins 3 s after 7,000 s; the blocks of its round go from 1.0 s to 2.5 s.
    first.blocks = [
        msgspec.structs.replace(block, began_ns=7_000 * S + begin_ms * MS, wall_ns=20 * MS) for begin_ms in (1000, 2480)
    ]
    (extra,) = [span for span in join.Run(made).spans if span.group == join.BLOCKS]
    assert (extra.begin_s, extra.end_s) == (-2.0, -0.5)


def test_too_few_windows_are_no_pattern():
    with pytest.raises(UserError, match="too little to align by"):
        join.join(campaign(SHORT[:4]), bench(), "bench.csv", None, Clock(align=True))


def test_another_hours_log_says_which_zone_would_do():
    with pytest.raises(UserError, match=r"holds nothing of the run: it goes from 2026-11-21 02:59:57 UTC") as found:
        join.join(campaign(SHORT), bench(9 * 3600), "bench.csv", Options(zone=UTC))
    assert found.value.remedy == "--zone +09:00 if its times are of that zone"


def test_another_days_log_is_refused():
    with pytest.raises(UserError, match="holds nothing of the run") as found:
        join.join(campaign(SHORT), bench(-9 * 86_400), "bench.csv", Options(zone=UTC))
    assert "--began" in str(found.value.remedy)


# ---------------------------------------------------------------- alignment, as numbers


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-15, 15), st.sampled_from([0.05, 0.1, 0.2]), st.floats(0, 0.5))
def test_any_shift_is_recovered_within_half_a_period(seed, shift_s, period_s, noise):
    random = np.random.default_rng(seed)
    at, spans, levels = 5.0, [], {0: 2.0, 1: 5.0, 2: 7.0}
    for _ in range(4):
        for group in (0, *random.permutation([1, 2]), 0):
            length = random.uniform(2.0, 2.4)
            spans.append(Span(at, at + length, int(group)))
            at += length + random.uniform(0.3, 1.2)
        at += random.uniform(0, 4)
    seconds = np.arange(-20, at + 20, period_s)
    values = np.full(seconds.shape, 1.0)
    for span in spans:
        values[(seconds >= span.begin_s) & (seconds < span.end_s)] = levels[span.group]
    pattern = Pattern(seconds - shift_s, values + random.normal(0, noise, seconds.size), spans)
    fit = find(pattern, -40, 40)
    assert fit is not None and fit.certain
    assert abs(fit.shift_s - shift_s) <= max(period_s / 2, fit.give_s) + 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.98))
def test_noise_is_never_aligned(seed, kept):
    random = np.random.default_rng(seed)
    values = np.zeros(1_500)
    for index in range(1, values.size):
        values[index] = kept * values[index - 1] + random.normal()
    spans = [Span(begin, begin + length, 0 if name is None else 1 + NAMES.index(name)) for begin, length, name in SHORT]
    fit = find(Pattern(np.arange(values.size) * 0.1, values, spans), -150, 80)
    assert fit is None or not fit.certain


def test_a_flat_log_shows_nothing():
    spans = [Span(begin, begin + length, 0 if name is None else 1) for begin, length, name in SHORT]
    fit = find(Pattern(np.arange(900) * 0.1, np.full(900, 5.0), spans), -90, 80)
    assert fit is None or not fit.certain


def test_values_that_fall_while_busy_are_no_power():
    spans = [Span(begin, begin + length, 0 if name is None else 1) for begin, length, name in SHORT]
    seconds = np.arange(0, 80, 0.1)
    values = np.array([-watts_at(SHORT, second, pad=0.0) for second in seconds])
    assert Pattern(seconds, values, spans).explained([0.0])[0] == 0


# ---------------------------------------------------------------- windows


def test_channels_and_traces_stand_beside_those_of_sensors():
    made = made_metered.campaign()
    before = made_metered.copy(made)
    first, last = made.metered.windows[0], made.metered.windows[-1]
    seconds = np.arange(first.utc_ns / S - 5, last.utc_ns / S + 5, 0.05)
    rows = ["time (s),power (W)"]
    for index, second in enumerate(seconds):
        inside = any(
            window.contender and 0 <= second - window.utc_ns / S <= window.wall_ns / S
            for window in made.metered.windows
        )
        rows.append(f"{second:.6f},{(31 if inside else 9) + 0.1 * (index % 3)}")
    joined = join.join(made, "\n".join(rows).encode(), "bench.csv")
    assert msgspec.to_builtins(made) == msgspec.to_builtins(before)  # a copy is changed
    entry = joined.metered.joined[0]
    assert (entry.first_channel, entry.channels) == (5, 1)
    assert len(joined.metered.channels) == 6
    for old, new in zip(before.metered.windows, joined.metered.windows, strict=True):
        assert new.from_ns <= old.from_ns
        for trace, moved in zip(old.traces, new.traces, strict=False):
            assert (unpack(trace.at_ns) + old.from_ns == unpack(moved.at_ns) + new.from_ns).all()
        at_ns = unpack(new.traces[-1].at_ns) + new.from_ns
        assert at_ns[0] < new.began_ns and at_ns[-1] > new.began_ns + new.wall_ns
    figures = energy.energy_figures(joined, joined.results[0])
    mine = next(row for row in figures if row.source == "csv:power")
    assert mine.gross_j is not None and mine.scope == "board"
    assert energy.primary(joined) == "csv:power"


def test_the_same_log_is_not_joined_twice():
    once = join.join(campaign(SHORT), bench(), "bench.csv")
    with pytest.raises(UserError, match=r"is joined already, as bench\.csv"):
        join.join(once, bench(), "copy.csv")


def test_two_meters_are_two_sources():
    both = join.join(join.join(campaign(SHORT), bench(), "a.csv"), bench(noise=0.01), "b.csv")
    assert [channel.meter for channel in both.metered.channels] == ["csv", "csv-2"]
    assert [entry.first_channel for entry in both.metered.joined] == [0, 1]


def test_a_log_that_ends_early_covers_some_windows():
    joined = join.join(campaign(SHORT), bench(last_s=40), "bench.csv")
    entry = joined.metered.joined[0]
    assert any("it covers" in note for note in entry.notes)
    troubles = {trace.trouble for window in joined.metered.windows for trace in window.traces}
    assert troubles == {None, "the log has no reading in this window"}


def test_a_slow_log_is_joined_and_told_how_long_windows_must_be():
    joined = join.join(campaign(SHORT), bench(every_s=1.0), "bench.csv")
    assert any("--meter-window 20s" in note for note in joined.metered.joined[0].notes)
    row = energy.energy_figures(joined, joined.results[0])[0]
    assert row.gross_j is None


def test_power_below_zero_is_kept():
    text = bench(noise=3.0)
    joined = join.join(campaign(SHORT), text, "bench.csv", None, Clock(shift_ns=0))
    lowest = min(int(unpack(trace.values).min()) - trace.above for w in joined.metered.windows for trace in w.traces)
    assert lowest < 0


def test_a_campaign_without_windows_says_what_makes_them():
    for metered in (None, Metered()):
        made = campaign(SHORT)
        made.metered = metered
        with pytest.raises(UserError, match="no metered windows") as found:
            join.join(made, bench(), "bench.csv")
        assert "--meters windows" in str(found.value.remedy)


# ---------------------------------------------------------------- the command, and Python


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.save(campaign(SHORT), tmp_path / "run.whichpu.json")
    (tmp_path / "bench.csv").write_bytes(bench())
    return tmp_path


def test_the_command(told, folder):
    ran = told("join", "run.whichpu.json", "bench.csv")
    assert ran.status == 0, ran.err
    assert "Joined bench.csv (csv)" in ran.out and "Placed by its own clock" in ran.out
    made = store.load(folder / "run-joined.whichpu.json")
    assert len(made.metered.joined) == 1
    assert store.load(folder / "run.whichpu.json").metered.joined == []
    ran = told("join", "run.whichpu.json", "bench.csv", "--json", "--scope", "module", "-o", "other.whichpu.json")
    assert ran.status == 0, ran.err
    assert '"path": "other.whichpu.json"' in ran.out


def test_the_original_is_replaced_only_when_told(told, folder):
    ran = told("join", "run.whichpu.json", "bench.csv", "-o", "run.whichpu.json")
    assert ran.status == 1 and "exists" in ran.err
    assert told("join", "run.whichpu.json", "bench.csv", "--overwrite").status == 0
    assert len(store.load(folder / "run.whichpu.json").metered.joined) == 1
    assert not (folder / "run-joined.whichpu.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--align", "--shift", "1s"], "only one can place the log"),
        (["--zone", "Seoul"], "'Seoul' is no zone"),
        (["--scope", "universe"], "'universe' is no scope"),
        (["--began", "yesterday"], "is not read as a moment"),
        (["--voltage", "many"], "is no voltage"),
        (["--column", "power"], "doesn't say what a column holds"),
        (["--column", "a=power:W", "--column", "a=power:W"], "names 'a' twice"),
        (["--shift", "soon"], "'soon' is not a time"),
        (["--format", "wav"], "'wav' is no format"),
    ],
)
def test_mistakes_on_the_command_line(told, folder, arguments, says):
    ran = told("join", "run.whichpu.json", "bench.csv", *arguments)
    assert ran.status == 1
    assert says in ran.err
    assert not list(folder.glob("*joined*"))


def test_a_missing_log(told, folder):
    ran = told("join", "run.whichpu.json", "none.csv")
    assert ran.status == 1 and "can't read none.csv" in ran.err


def test_from_python(folder):
    (folder / "late.csv").write_bytes(bench(2.5))
    measured = whichpu.load("run.whichpu.json")
    joined = measured.join("late.csv", shift_s=-2.5, scope="module")
    assert joined.path is None and measured.campaign.metered.joined == []
    assert joined.campaign.metered.channels[0].scope == "module"


def test_a_clock_that_nothing_confirms_is_a_doubt():
    from whichpu.results.energy.doubts import energy_doubts

    sure = join.join(campaign(SHORT), bench(), "bench.csv")
    blurred = join.join(campaign(SHORT), bench(noise=40.0), "bench.csv")
    assert not blurred.metered.joined[0].tested
    for made, found in ((sure, 0), (blurred, 2)):
        kinds = [doubt.kind for result in made.results for doubt in energy_doubts(made, result)]
        assert kinds.count("clock-untested") == found
