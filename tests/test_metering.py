"""Windows of meters within a campaign: after the latency blocks, idle around each, all else frozen."""

import itertools
from pathlib import Path

import pytest

import whichpu
from whichpu.campaign import metering
from whichpu.errors import UserError
from whichpu.worker import wire


def measure(*targets, **options):
    models = Path(__file__).parent.parent / "examples" / "apple_stock"
    options = {"budget_s": 2.0, "rounds_most": 1, "seed": 1} | options
    return whichpu.measure(models / "gru.onnx", list(targets), **options).campaign


@pytest.fixture(scope="module")
def metered():
    return measure(
        "a=null:cpu,delay=200us", "b=null:cpu,delay=400us", meters="windows", meter_window_s=0.2, rounds_most=2
    )


def test_each_contender_has_a_window_a_round_with_idle_before_and_behind(metered):
    for number in (0, 1):
        names = [window.contender for window in metered.metered.windows if window.round == number]
        assert names[0] is None and names[2] is None and names[4] is None
        assert sorted(names[1::2]) == ["a", "b"]
    assert [window.position for window in metered.metered.windows] == list(range(10))


def test_windows_come_after_all_latency_blocks_of_their_round_and_do_not_overlap(metered):
    for number in (0, 1):
        blocks = [
            block.began_ns + block.wall_ns
            for result in metered.results
            for reading in result.readings
            if reading.round == number
            for block in reading.blocks
        ]
        windows = [window for window in metered.metered.windows if window.round == number]
        assert max(blocks) < min(window.began_ns for window in windows)
        for before, after in itertools.pairwise(windows):
            assert before.began_ns + before.wall_ns <= after.began_ns


def test_a_window_counts_its_inferences_and_knows_both_clocks(metered):
    for window in metered.metered.windows:
        assert window.wall_ns >= 0.2e9
        assert window.utc_ns > 1_700_000_000 * 10**9
        if window.contender is not None:
            delay_ns = 200_000 if window.contender == "a" else 400_000
            assert 0 < window.count <= window.wall_ns / delay_ns
            assert window.median_ns >= delay_ns
            assert window.bare_ns >= delay_ns


def test_no_window_without_a_sensor_unless_asked_for():
    assert measure("null:cpu").metered.windows == []
    assert measure("null:cpu", meters="off").metered.channels == []


def test_windows_take_nothing_of_the_budget(metered):
    wall_s = sum(window.wall_ns for window in metered.metered.windows if window.contender == "a") / 1e9
    assert wall_s >= 0.4
    spent_s = sum(reading.spent_s for reading in metered.results[0].readings)
    lasted_s = (metered.metered.windows[-1].began_ns - metered.results[0].readings[0].blocks[0].began_ns) / 1e9
    assert spent_s < lasted_s


def test_a_window_is_as_long_as_the_slowest_sensor_of_power_needs():
    def channel(quantity, period_ns):
        return wire.Channel("m", "n", quantity, "mW", "board", "file", period_ns=period_ns)

    assert metering.window_s([channel("power", 1_000_000)]) == metering.SHORTEST_S
    assert metering.window_s([channel("power", 100_000_000)]) == pytest.approx(2.5)
    assert metering.window_s([channel("power", 100_000_000), channel("temperature", 10**9)]) == pytest.approx(2.5)
    # One that needs longer than a window may be says so in its figure; it does not stretch all others.
    assert metering.window_s([channel("power", 10**9)]) == metering.SHORTEST_S


def test_meters_that_do_not_start_are_a_reason_and_no_more(monkeypatch):
    from whichpu.targets import local
    from whichpu.targets.link import WorkerTrouble

    start = local.start

    def broken(*arguments, **options):
        if options.get("where") == "the meters":
            raise WorkerTrouble("crashed", "libvendor.so was killed by SIGSEGV")
        return start(*arguments, **options)

    monkeypatch.setattr(local, "start", broken)
    campaign = measure("null:cpu")
    assert campaign.results[0].status == "measured"
    assert "SIGSEGV" in campaign.metered.trouble


def test_unknown_words_for_meters_are_refused():
    with pytest.raises(UserError, match="meters can't be 'sometimes'"):
        measure("null:cpu", meters="sometimes")


def channel_of(**facts):
    return wire.Channel(**{"meter": "m", "name": "n", "scope": "board", "sensor": "file"} | facts)


@pytest.mark.parametrize(
    ("facts", "values", "value", "why_not"),
    [
        ({"quantity": "power", "unit": "mW"}, [1000, 2500], 2.5, None),
        ({"quantity": "energy", "unit": "uJ", "counter": True}, [5_000_000, 8_000_000], 6.0, None),
        ({"quantity": "cpu-time", "unit": "us", "counter": True}, [0, 750_000], 1.5, None),
        ({"quantity": "temperature", "unit": "mC"}, [-1500], -1.5, None),
        ({"quantity": "power", "unit": "uW"}, [0, 0], None, "it doesn't measure"),
        ({"quantity": "energy", "unit": "uJ", "counter": True}, [7, 7], None, "it doesn't measure"),
        ({"quantity": "energy", "unit": "uJ", "counter": True}, [9, 7], None, "began anew"),
        ({"quantity": "power", "unit": "uW"}, [], None, "no reading"),
    ],
)
def test_meters_show_what_a_sensor_says_now_and_never_zero_watts(facts, values, value, why_not):
    from whichpu.reports import meters

    times = [500_000_000 * index for index in range(len(values))]
    found = wire.FoundMeters([channel_of(**facts)], [])
    (row,) = meters.rows(found, wire.Sampled([wire.Trace(0, times, values)], 2, 0))
    assert row.value == value
    assert (why_not is None and row.why_not is None) or why_not in row.why_not


def test_the_list_of_meters_reads_a_tree_and_says_what_is_missing(tmp_path, capsys):
    from whichpu.reports import meters, terminal

    powercap = tmp_path / "sys/class/powercap/intel-rapl:0"
    powercap.mkdir(parents=True)
    for name, text in {"name": "package-0", "energy_uj": "123456", "max_energy_range_uj": "262143328850"}.items():
        (powercap / name).write_text(f"{text}\n")
    found, sampled = metering.look(str(tmp_path), seconds=0.05)
    rows = meters.rows(found, sampled)
    meters.show(rows, found.missing, terminal.console())
    told = capsys.readouterr().out
    assert "rapl:package-0" in told
    assert "it reads 0 W: it doesn't measure" in told
    assert "hwmon (power): not present" in told


def test_a_sensor_too_slow_for_any_window_makes_none_and_says_what_would():
    battery = channel_of(quantity="power", unit="uW", period_ns=10**9, name="BAT0")
    (missing,) = metering.too_slow([battery, channel_of(quantity="power", unit="mW", period_ns=10**7)], 1.0)
    assert missing.kind == "too-slow"
    assert "BAT0 has news every 1 s" in missing.says
    assert "--meter-window 25s" in missing.remedy
    assert metering.too_slow([battery], 30.0) == []


def test_a_slow_sensor_takes_a_tenth_of_a_cpu_at_most():
    from whichpu.worker.meters import Around, Channel, sampler

    clock = [0]

    def slow():
        clock[0] += 4_000_000
        return 1

    facts = wire.Channel("m", "n", "power", "mW", "board", "i2c", period_ns=2_000_000)
    waits = []

    def wait(wait_ns):
        waits.append(wait_ns)
        clock[0] += wait_ns
        return len(waits) > 3

    one = sampler.Sampler([Channel(facts, slow)], Around(), now=lambda: clock[0], wait=wait)
    one.begin([])
    one.run()
    assert waits == [36_000_000] * 4
