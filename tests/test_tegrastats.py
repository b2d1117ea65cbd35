"""Logs of tegrastats in the line forms of JetPack 4 to 7, and whatever may be wrong with one."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results import energy, importers
from whichpu.results.importers import tegrastats
from whichpu.worker.rails import SUM

LOGS = Path(__file__).parent / "golden" / "logs"
S = 1_000_000_000
LINE = "RAM 2448/7858MB (lfb 1x4MB) CPU [1%@729,off] GR3D_FREQ 12%@1300 {}"


def log(text, **more):
    return tegrastats.read(text, importers.Options(**{"zone": datetime.UTC, **more}))


def golden(name, **more):
    data = (LOGS / f"tegrastats-{name}.log").read_bytes()
    return importers.read(data, name, importers.Options(**{"zone": datetime.UTC, **more}))


def values(read, name):
    (series,) = [series for series in read.series if series.channel.name == name]
    return series.values


def power(read):
    """Scope, whole and sum of each rail."""
    found = [series.channel for series in read.series if series.channel.quantity == "power"]
    return {channel.name: (channel.scope, channel.part_of, channel.sums_to) for channel in found}


# ---------------------------------------------------------------- boards


def test_jetpack_4_has_no_times_and_no_units():
    read = golden("jetpack4-agx-xavier")
    assert (read.format, read.clock) == ("tegrastats", "start")
    assert power(read) == dict.fromkeys(("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), ("rails", None, SUM))
    assert values(read, "GPU") == [0, 155, 9180, 9335, 9335, 0]  # not the running mean: 0, 77, 3111, ...
    assert values(read, "SYS5V") == [1482, 1482, 1864, 1864, 1864, 1482]
    assert values(read, "GR3D_FREQ") == [0, 0, 99, 99, 99, 0]
    assert values(read, "GPU temperature") == [37500, 37500, 39500, 39500, 39500, 37500]
    assert values(read, "RAM")[0] == 721 * 2**20
    assert read.series[0].at_ns == [0, S, 2 * S, 3 * S, 4 * S, 5 * S]
    assert "one each 1 s (tegrastats' own interval" in read.notes[0]
    assert not [series for series in read.series if "PMIC" in series.channel.name]


def test_joules_by_hand():
    read = golden("jetpack4-agx-xavier")
    by_hand = {
        # 0.155 / 2 + (0.155 + 9.18) / 2 + (9.18 + 9.335) / 2 + 9.335 + 9.335 / 2
        "GPU": 28.005,
        # (0.311 + 0.466) / 2 + (0.466 + 1.398) / 2 + (1.398 + 1.243) / 2 + 1.243 + (1.243 + 0.311) / 2
        "CPU": 4.661,
        # 0.932 + (0.932 + 2.486) / 2 + 2 x 2.486 + (2.486 + 0.932) / 2
        "SOC": 9.322,
        "CV": 0.775,
        "VDDRQ": 5.901,
        "SYS5V": 8.556,
    }
    found = {
        one.channel.name: energy.joules(one.channel, one.at_ns, one.values, 0, 5 * S)
        for one in read.series
        if one.channel.quantity == "power"
    }
    assert found == by_hand
    (module,) = [one for one in golden("jetpack6-orin-nano").series if one.channel.name == "VDD_IN"]
    # From the middle of the first gap to the last reading: 4.824 x 0.5 + (4.824 + 9.648) / 2 + (9.648 + 9.73) / 2
    assert (
        energy.joules(module.channel, module.at_ns, module.values, module.at_ns[0] + S // 2, module.at_ns[-1]) == 19.337
    )


def test_the_interval_may_be_told():
    read = golden("jetpack4-agx-xavier", period_ns=S // 10)
    assert read.series[0].at_ns[-1] == S // 2
    assert read.series[0].channel.period_ns == S // 10
    assert "0.1 s (as told)" in read.notes[0]


def test_a_nano_has_a_total():
    read = golden("jetpack4-nano")
    part = ("rail", "POM_5V_IN", None)
    assert power(read) == {"POM_5V_IN": ("module", None, None), "POM_5V_GPU": part, "POM_5V_CPU": part}
    assert values(read, "POM_5V_IN") == [1022, 2545, 5214, 5254]
    assert "not the carrier board" in read.series[0].channel.covers


def test_jetpack_5_has_whole_seconds_of_local_time():
    seoul = datetime.timezone(datetime.timedelta(hours=9))
    read = golden("jetpack5-agx-orin", zone=seoul)
    began = datetime.datetime(2022, 8, 14, 10, 11, 27, tzinfo=seoul)
    from_s = int(began.timestamp())
    # Two lines a second; the first second began before the log, the last ended after it.
    assert [at_ns / S - from_s for at_ns in read.series[0].at_ns] == [0.75, 1.25, 1.75, 2.25, 2.75, 3.25]
    assert read.clock == "utc"
    assert read.series[0].channel.period_ns == S // 2
    assert "+0900" in read.notes[0]


def test_dram_of_an_orin_is_part_of_its_5_v_rail():
    read = golden("jetpack5-agx-orin")
    assert power(read) == {
        "VDD_GPU_SOC": ("rails", None, SUM),
        "VDD_CPU_CV": ("rails", None, SUM),
        "VIN_SYS_5V0": ("rails", None, SUM),
        "VDDQ_VDD2_1V8AO": ("rail", "VIN_SYS_5V0", None),
    }
    assert values(read, "VDD_CPU_CV") == [390, 390, 2730, 2730, 2340, 390]
    assert "can't be told from the CPU" in read.series[1].channel.covers


def test_a_sensor_that_is_off_is_left_out():
    read = golden("jetpack5-agx-orin")
    assert values(read, "GPU temperature") == [43500, 43500, 43500]  # 3 of 6 lines; -256 C in the others
    assert not [series for series in read.series if series.channel.name.startswith("CV0")]


def test_jetpack_6():
    read = golden("jetpack6-orin-nano")
    assert power(read)["VDD_IN"] == ("module", None, None)
    assert power(read)["VDD_CPU_GPU_CV"] == ("rail", "VDD_IN", None)
    assert values(read, "VDD_IN") == [4824, 4824, 9648, 9730]
    assert values(read, "GR3D_FREQ") == [0, 0, 97, 97]
    first = datetime.datetime(2025, 6, 18, 11, 25, 24, tzinfo=datetime.UTC).timestamp()
    assert read.series[0].at_ns == [int((first + index + 0.5) * S) for index in range(4)]


def test_jetpack_7_has_three_values():
    read = golden("jetpack7-agx-orin")
    assert values(read, "VDD_CPU_CV") == [797, 1196]
    assert values(read, "tj temperature") == [51343, 51343]
    assert values(read, "GR3D_FREQ") == [5, 32]


def test_thor_tells_no_load():
    read = golden("jetpack7-thor")
    assert power(read)["VIN"] == ("board", None, None)
    assert power(read)["VDD_GPU"] == ("rail", "VIN", None)
    assert not [series for series in read.series if series.channel.quantity == "utilisation"]
    assert any("load of the GPU is not in it" in note for note in read.notes)


@pytest.mark.parametrize("path", sorted(LOGS.glob("tegrastats-*")), ids=lambda path: path.stem)
def test_each_is_recognised(path):
    assert importers.recognised(path.read_text(), path.name) == "tegrastats"


def test_rails_of_an_unknown_board_are_rails():
    read = log(LINE.format("VDD_MYSTERY 120mW/110mW NC 0mW/0mW"))
    assert power(read) == {"VDD_MYSTERY": ("rail", None, None)}
    assert "none of its rails is known to be a total, and no sum of them is" in read.notes


def test_a_sum_needs_all_of_its_rails():
    read = log(LINE.format("VDD_GPU_SOC 2340mW/2340mW VIN_SYS_5V0 4025mW/4025mW"))
    assert set(power(read).values()) == {("rail", None, None)}


def test_a_log_without_power_says_so():
    read = log(LINE.format("cpu@40C"))
    assert any("no power in it: tegrastats may need root" in note for note in read.notes)


# ---------------------------------------------------------------- damage


def lines(count, form="VDD_IN {0}mW/{0}mW VDD_SOC {0}mW/{0}mW"):
    return [LINE.format(form.format(100 + index)) for index in range(count)]


@pytest.mark.parametrize("kept", [4, 60, -30, -8])
def test_a_line_cut_off_at_the_end_is_left_out(kept):
    whole = lines(4)
    read = log("\n".join([*whole[:3], whole[3][:kept]]))
    assert values(read, "VDD_IN") == [100, 101, 102]
    assert "line 4, the last, is cut off: left out" in read.notes


def test_a_cut_in_what_is_not_read_costs_nothing():
    whole = lines(2)
    assert values(log("\n".join([whole[0], whole[1][:-3]])), "VDD_SOC") == [100, 101]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Killed", "line 2 is no line of tegrastats: 'Killed'"),
        (LINE.format("VDD_IN 5mW/5mW"), "line 2 is damaged: it lacks VDD_SOC"),
        (LINE.format("VDD_IN 5mW/5mW VDD_SOC 5mW/5mW VDD_X 1mW/1mW"), "line 2 is unlike the others: it has VDD_X"),
        ("06-18-2025 11:25:24 " + LINE.format("VDD_IN 5mW/5mW VDD_SOC 5mW/5mW"), "line 2 is with a date"),
        ("13-18-2025 11:25:24 " + LINE.format("VDD_IN 5mW/5mW VDD_SOC 5mW/5mW"), "line 2 is no line of tegrastats"),
    ],
)
def test_damage_elsewhere_is_named(line, says):
    whole = lines(3)
    with pytest.raises(UserError, match="^" + says.replace("(", r"\(")) as problem:
        log("\n".join([whole[0], line, *whole[1:]]))
    assert "tegrastats --logfile FILE" in str(problem.value.remedy)


def test_two_logs_in_one_file():
    dated = ["06-18-2025 11:25:24 " + lines(1)[0], "06-18-2025 11:25:20 " + lines(1)[0]]
    with pytest.raises(UserError, match="line 2 goes back in time, by 4 s"):
        log("\n".join(dated))


def test_nothing_in_it():
    with pytest.raises(UserError, match="line 1 is no line of tegrastats"):
        log("hello\n")


# ---------------------------------------------------------------- any line


NAMES = st.from_regex(r"\A(VDD|VIN|POM|SYS)_[A-Z0-9]{1,6}\Z")
POWERS = st.integers(-500, 150_000)


@st.composite
def told(draw):
    """Rails and readings, and the lines that tegrastats would write."""
    rails = draw(st.lists(NAMES, unique=True, max_size=6))
    rows = draw(st.lists(st.tuples(*[POWERS for _ in rails]), min_size=1, max_size=5))
    unit, more, dated = draw(st.sampled_from(["", "mW"])), draw(st.integers(1, 2)), draw(st.booleans())
    heat = draw(st.integers(-40_000, 120_000))
    written = []
    for index, row in enumerate(rows):
        power = " ".join(
            name + " " + "/".join([f"{now}{unit}"] + [f"7{unit}"] * more) for name, now in zip(rails, row, strict=True)
        )
        date = f"01-02-2026 03:04:{index:02} " if dated else ""
        written.append(date + LINE.format(f"cpu@{heat / 1000:.3f}C {power}"))
    return rails, rows, heat, "\n".join(written)


@settings(max_examples=60, deadline=None)
@given(told())
def test_what_is_written_is_read(made):
    rails, rows, heat, text = made
    read = log(text)
    assert tegrastats.recognises(text)
    assert {name: values(read, name) for name in rails} == {
        name: [row[index] for row in rows] for index, name in enumerate(rails)
    }
    assert values(read, "cpu temperature") == [heat] * len(rows)
    assert all(series.at_ns == sorted(set(series.at_ns)) for series in read.series)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(20, 3000), st.integers(2, 60))
def test_times_are_put_near_where_they_were(offset_ms, interval_ms, count):
    true_ns = [(offset_ms + index * interval_ms) * S // 1000 for index in range(count)]
    placed = tegrastats.placed([at_ns // S * S for at_ns in true_ns])
    assert placed == sorted(placed)
    assert [at_ns // S for at_ns in placed] == [at_ns // S for at_ns in true_ns]
    full = [index for index in range(count) if S <= true_ns[index] < true_ns[-1] // S * S]
    for index in full if interval_ms < 500 else []:
        assert abs(placed[index] - true_ns[index]) <= interval_ms * S // 1000
