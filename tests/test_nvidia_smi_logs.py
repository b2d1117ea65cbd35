"""Logs of nvidia-smi: dmon's in their forms, and tables of --query-gpu; values by hand, errors that name the line.

golden/logs: dmon-2021.log and dmon-dated.log hold lines as published (a tutorial, and notes on -o DT); the others are
made after published forms, with values of our own.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results.importers import Log, Options, read, recognised

LOGS = Path(__file__).parent / "golden" / "logs"
S = 1_000_000_000
UTC = Options(zone=datetime.UTC)


def log(name: str, options: Options = UTC) -> Log:
    return read((LOGS / name).read_bytes(), name, options)


def told(text: str, options: Options = UTC, format: str | None = None) -> Log:
    return read(text.encode(), "some.log", options, format)


def values(found: Log) -> dict[str, list[int]]:
    return {one.channel.name: one.values for one in found.series}


def utc_ns(*moment: int, millisecond: int = 0) -> int:
    return int(datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp()) * S + millisecond * 1_000_000


# ---------------------------------------------------------------- dmon


def test_dmon_without_times_counts_seconds_from_its_start():
    found = log("dmon-2021.log")
    assert (found.format, found.clock) == ("dmon", "start")
    power = found.series[0]
    assert (power.channel.quantity, power.channel.unit, power.channel.scope) == ("power", "mW", "gpu")
    assert power.values == [70_000, 68_000, 69_000, 270_000, 274_000, 278_000]
    assert power.at_ns == [0, 1 * S, 2 * S, 3 * S, 4 * S, 5 * S]
    assert power.channel.period_ns == S and power.channel.averages_ns == S
    assert "gpu0 mtemp" not in values(found)
    assert any("never told: gpu0 mtemp" in note for note in found.notes)
    assert any("--interval" in note for note in found.notes)


def test_energy_over_a_log_of_dmon_is_the_one_by_hand():
    power = log("dmon-2021.log").series[0]
    pairs = zip(power.at_ns, power.values, power.at_ns[1:], power.values[1:], strict=False)
    # 69 + 68.5 + 169.5 + 272 + 276 J by trapezoids of one second
    assert sum((later - at) * (value + next_value) for at, value, later, next_value in pairs) == 855 * 2 * 1000 * S


def test_the_interval_is_told_where_the_log_has_none():
    found = log("dmon-2021.log", Options(period_ns=2 * S))
    assert found.series[0].at_ns == [0, 2 * S, 4 * S, 6 * S, 8 * S, 10 * S]
    assert found.series[0].channel.period_ns == 2 * S


def test_dmon_of_two_gpus_keeps_them_apart_and_unknown_is_not_zero():
    found = log("dmon-two-gpus-pucvmet.log")
    assert values(found)["gpu0 pwr"] == [111_000, 113_000, 115_000]
    assert values(found)["gpu1 pwr"] == [112_000, 114_000]
    assert values(found)["gpu0 fb"] == [11651 << 20, 11651 << 20, 11700 << 20]
    at = {one.channel.name: one.at_ns for one in found.series}
    assert at["gpu0 pwr"] == [0, S, 2 * S] and at["gpu1 pwr"] == [S, 2 * S]
    assert set(values(found)) == {
        f"gpu{gpu} {name}"
        for gpu in (0, 1)
        for name in ("pwr", "gtemp", "mtemp", "sm", "mem", "enc", "dec", "jpg", "ofa", "mclk", "pclk", "fb")
    }
    assert any("not read: bar1, ccpm, dbecc" in note for note in found.notes)


def test_dates_are_of_the_zone_told_and_in_the_middle_of_their_second():
    found = log("dmon-dated.log")
    assert found.clock == "utc"
    first_ns = utc_ns(2021, 1, 2, 19, 12, 31, millisecond=500)
    assert found.series[0].at_ns == [first_ns, first_ns + 2 * S, first_ns + 4 * S]
    assert found.series[0].channel.period_ns == 2 * S
    seoul = Options(zone=datetime.timezone(datetime.timedelta(hours=9)))
    assert log("dmon-dated.log", seoul).series[0].at_ns[0] == first_ns - 9 * 3600 * S


def test_times_of_day_alone_count_from_the_first_line_and_over_midnight():
    found = told(
        "#Time        gpu   pwr gtemp\n#HH:MM:SS    Idx     W     C\n"
        " 23:59:59      0    10    30\n 00:00:00      0    12    30\n 00:00:02      0    14    30\n"
    )
    assert (found.clock, found.series[0].at_ns) == ("start", [0, S, 3 * S])


@pytest.mark.parametrize("units", ["# Idx, W, C, MB\n", ""], ids=["with units", "nounit"])
def test_dmon_as_csv(units):
    found = told(f"# gpu, pwr, gtemp, fb\n{units}0, 23, 41, 512\n0, 24, -, 513\n")
    assert found.format == "dmon"
    assert values(found) == {"gpu0 pwr": [23000, 24000], "gpu0 gtemp": [41], "gpu0 fb": [512 << 20, 513 << 20]}


def test_a_last_line_that_is_cut_off_is_left_out_and_told():
    text = (LOGS / "dmon-2021.log").read_text() + "    0   2"
    found = told(text)
    assert len(found.series[0].values) == 6
    assert any("line 9, the last, is cut off" in note for note in found.notes)


HEAD = "# gpu   pwr gtemp\n# Idx     W     C\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "    0    x7    48\n    0    70    48\n", "line 3: pwr is 'x7', expected a number in W"),
        (HEAD + "Not supported on the device(s)\n    0    70    48\n", "line 3 is 'Not supported on the device"),
        (HEAD + "    0    70\n    0    70    48\n", "line 3 is '0    70', expected 3 fields"),
        (HEAD + "    a    70    48\n", "line 3: the GPU's number is 'a'"),
        ("0    70    48\n" + HEAD, "line 1 is '0    70    48', expected a line of names"),
        ("# gpu   pwr gtemp\n# Idx     W\n", "line 2 has 2 units for 3 names"),
        ("# gpu   pwr gtemp\n# Idx    hp     C\n    0    70    48\n", "line 3: pwr is '70', expected a number in W"),
        (
            "#Date Time gpu pwr\n#YYYYMMDD HH:MM:SS Idx W\n 20211302 19:12:31 0 37\n",
            "line 3: 20211302 19:12:31 is no time",
        ),
        (
            "#Date Time gpu pwr\n#YYYYMMDD HH:MM:SS Idx W\n 20210102 19:12:31 0 37\n 20210102 19:12:29 0 37\n",
            "line 4 goes back in time, by 2 s",
        ),
    ],
)
def test_errors_of_dmon_name_the_line(text, says):
    with pytest.raises(UserError) as problem:
        told(text, format="dmon")
    assert says in str(problem.value) and problem.value.remedy


@given(
    st.lists(
        st.tuples(*[st.none() | st.integers(0, 999)] * 2, st.none() | st.integers(0, 100)), min_size=1, max_size=20
    ).filter(lambda rows: any(row[0] is not None for row in rows)),
    st.integers(1, 3),
    st.integers(1, 7),
)
def test_what_dmon_writes_is_read_back(rows, gpus, every):
    """Headers come again each few lines; unknown values are left out at their own times."""
    lines = []
    for index, row in enumerate(rows):
        if index % every == 0:
            lines += ["# gpu   pwr gtemp    sm", "# Idx     W     C     %"]
        cells = ["-" if value is None else str(value) for value in row]
        lines += [f"{gpu:5d} " + " ".join(f"{cell:>5}" for cell in cells) for gpu in range(gpus)]
    found = told("\n".join(lines) + "\n")
    for gpu in range(gpus):
        for column, (name, factor) in enumerate([("pwr", 1000), ("gtemp", 1), ("sm", 1)]):
            held = [(index * S, row[column] * factor) for index, row in enumerate(rows) if row[column] is not None]
            ours = [one for one in found.series if one.channel.name == f"gpu{gpu} {name}"]
            assert [list(zip(one.at_ns, one.values, strict=True)) for one in ours] == ([held] if held else [])


# ---------------------------------------------------------------- --query-gpu


def test_a_table_of_query_gpu():
    found = log("nvidia-smi-query.csv")
    assert (found.format, found.clock) == ("nvidia-smi-csv", "utc")
    assert values(found) == {
        "gpu0 power.draw": [23450, 61200, 99010],
        "gpu0 power.draw.instant": [24010, 98700, 101020],
        "gpu0 utilization.gpu": [3, 88, 97],
        "gpu0 memory.used": [512 << 20, 640 << 20, 640 << 20],
        "gpu0 temperature.gpu": [41, 44, 46],
        "gpu0 clocks.current.sm": [210, 2460, 2475],
        "gpu1 utilization.gpu": [0, 0],
        "gpu1 memory.used": [2 << 20, 2 << 20],
        "gpu1 temperature.gpu": [33, 33],
        "gpu1 clocks.current.sm": [139, 139],
    }
    first_ns = utc_ns(2024, 1, 2, 10, 11, 12, millisecond=345)
    assert found.series[0].at_ns == [first_ns, first_ns + S // 10, first_ns + S // 5]
    facts = {one.channel.name: one.channel for one in found.series}
    assert facts["gpu0 power.draw"].averages_ns == S and facts["gpu0 power.draw.instant"].averages_ns == 0
    assert {one.scope for one in facts.values()} == {"gpu"}
    assert any("never told: gpu0 temperature.memory, gpu1 power.draw" in note for note in found.notes)


def test_a_table_without_units_and_without_times():
    text = "power.draw [W], utilization.gpu [%]\n23.45, 7\n99.01, 97\n"
    with pytest.raises(UserError, match="carry no time"):
        told(text)
    found = told(text, Options(period_ns=S // 2))
    assert values(found) == {"gpu0 power.draw": [23450, 99010], "gpu0 utilization.gpu": [7, 97]}
    assert (found.clock, found.series[0].at_ns) == ("start", [0, S // 2])


def test_several_gpus_that_no_column_tells_apart_are_refused():
    rows = [f"2024/01/02 10:11:{second:02d}.{gpu:03d}, {50 + 100 * gpu}.00 W" for second in range(4) for gpu in (0, 1)]
    with pytest.raises(UserError, match="several GPUs") as problem:
        told("\n".join(["timestamp, power.draw [W]", *rows]))
    assert "index" in (problem.value.remedy or "")
    one = told("\n".join(["timestamp, power.draw [W]", *rows[::2]]))
    assert values(one) == {"gpu0 power.draw": [50000] * 4}
    assert any("no column tells which GPU" in note for note in one.notes)


def test_names_that_come_again_and_a_cut_off_line():
    head = "timestamp, index, power.draw [W]"
    line = "2024/01/02 10:11:12.345, 0, 23.45 W"
    found = told("\n".join([head, line, head, line.replace("12.345", "13.345"), "2024/01/02 10:1"]))
    assert values(found) == {"gpu0 power.draw": [23450, 23450]}
    assert any("line 5, the last, is cut off" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timestamp, power.draw [W]\n2024/01/02 10:11:12.345, twelve W\n", "line 2: power.draw is 'twelve W'"),
        ("timestamp, power.draw [W]\n2024/01/02 10:11:12.345, 12 hp\n", "line 2: power.draw is '12 hp'"),
        ("timestamp, power.draw [W]\n2024/13/02 10:11:12.345, 12 W\n", "line 2: '2024/13/02 10:11:12.345' is no time"),
        ("timestamp, power.draw [W]\n1, 2, 3\n2024/01/02 10:11:12.345, 12 W\n", "line 2 has 3 fields, expected 2"),
        ("timestamp, power.draw [W]\n2024/01/02 10:11:12.345, 12 W\n2024/01/02 10:11:11, 12 W\n", "line 3 goes back"),
        ("2024/01/02 10:11:12.345, 12 W\n", "line 1 names no column that is known"),
    ],
)
def test_errors_of_tables_name_the_line(text, says):
    with pytest.raises(UserError) as problem:
        told(text, format="nvidia-smi-csv")
    assert says in str(problem.value) and problem.value.remedy


@given(
    st.lists(st.none() | st.integers(0, 99_999), min_size=1, max_size=30).filter(any),
    st.sampled_from(["[N/A]", "[Not Supported]", "N/A", "[Unknown Error]"]),
)
def test_what_query_gpu_writes_is_read_back_to_the_last_digit(centiwatts, absent):
    lines = ["timestamp, index, power.draw [W]"]
    held = []
    for index, value in enumerate(centiwatts):
        text = absent if value is None else f"{value // 100}.{value % 100:02d} W"
        lines.append(f"2024/01/02 10:{index:02d}:12.345, 0, {text}")
        if value is not None:
            held.append((utc_ns(2024, 1, 2, 10, index, 12, millisecond=345), value * 10))
    (power,) = told("\n".join(lines)).series
    assert list(zip(power.at_ns, power.values, strict=True)) == held


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.glob("*") if path.is_file()))
def test_each_log_is_recognised_as_what_it_is(name):
    format = recognised((LOGS / name).read_text(errors="replace"), name)
    ours = {"dmon": name.startswith("dmon"), "nvidia-smi-csv": name.startswith("nvidia-smi")}
    assert {key: format == key for key in ours} == ours
