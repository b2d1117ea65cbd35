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

    monkeypatch.setattr(local.HERE, "start", broken)
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


@pytest.fixture(scope="module")
def settled():
    return measure("null:cpu,delay=200us", meters="windows", meter_window_s=0.3)


def test_a_window_begins_when_a_slow_gauge_has_forgotten_what_was_before(settled):
    """Else idle windows hold some of the running power before them, and windows of contenders some of idle."""
    for before, after in itertools.pairwise(settled.metered.windows):
        assert after.began_ns - (before.began_ns + before.wall_ns) >= 0.1 * 0.3e9


def sensors(*channels):
    """Meters that know these channels, without a process."""
    from whichpu.results.schema import Metered

    meters = metering.Meters.__new__(metering.Meters)
    meters.metered, meters.link, meters.channels, meters.stored = Metered(), None, [], []
    meters._enter(wire.FoundMeters(list(channels), []))
    return meters


def test_a_campaign_that_goes_on_knows_its_sensors_again_though_their_paths_have_changed():
    rails = [channel_of(quantity="power", unit="uW", name=name, sensor=f"hwmon3/{name}") for name in ("in1", "in2")]
    meters = sensors(*rails)
    moved = [channel_of(quantity="power", unit="uW", name=name, sensor=f"hwmon4/{name}") for name in ("in2", "in1")]
    added = channel_of(quantity="energy", unit="uJ", counter=True, sensor="rapl")
    meters._enter(wire.FoundMeters([added, *moved], []))
    assert meters.metered.channels == [*rails, added]
    assert meters.stored == [2, 1, 0]


def test_two_sensors_that_differ_by_their_path_alone_are_two():
    twins = [channel_of(quantity="temperature", unit="mC", name="acpitz", sensor=path) for path in ("zone0", "zone1")]
    meters = sensors(*twins)
    assert meters.stored == [0, 1]
    meters._enter(wire.FoundMeters(twins[::-1], []))
    assert (meters.metered.channels, meters.stored) == (twins, [1, 0])


def test_windows_without_a_sensor_that_is_there_now_are_not_enough():
    from whichpu.results.column import pack
    from whichpu.results.schema import MeterWindow, Trace

    rail, package = (channel_of(quantity="power", unit="uW", name=name, period_ns=10**7) for name in ("rail", "chip"))
    meters = sensors(rail)
    trace = Trace(channel=0, at_ns=pack([0]), values=pack([7]))
    meters.metered.windows = [
        MeterWindow(round=number, position=number, began_ns=0, wall_ns=10**9, contender="a", traces=[trace])
        for number in range(metering.ROUNDS)
    ]
    assert meters.had_enough("a")
    meters._enter(wire.FoundMeters([rail, package], []))
    assert not meters.had_enough("a")


def test_a_campaign_that_goes_on_heeds_what_is_asked_of_its_meters_now(tmp_path):
    models = Path(__file__).parent.parent / "examples" / "apple_stock"
    path, options = tmp_path / "run.json", {"budget_s": 2.0, "seed": 1}
    options |= {"output": path}
    whichpu.measure(models / "gru.onnx", ["null:cpu"], rounds_most=1, **options)
    asked = {"meters": "windows", "meter_window_s": 0.2, "power_limit_w": 15.0}
    on = whichpu.measure(models / "gru.onnx", ["null:cpu"], rounds_most=2, resume=True, **options, **asked).campaign
    assert {window.round for window in on.metered.windows} == {1}
    assert (on.metered.asked, on.metered.window_s, on.metered.limit_w) == ("windows", 0.2, 15.0)


def test_windows_shorter_than_those_asked_for_now_are_not_enough():
    from whichpu.results.schema import MeterWindow

    meters = sensors()
    short = MeterWindow(round=0, position=0, began_ns=0, wall_ns=10**9, contender="a")
    meters.metered.windows = [short] * metering.ROUNDS
    assert meters.had_enough("a")
    meters.metered.window_s = 2.5
    assert not meters.had_enough("a")
    short.count = metering.COUNT_MOST
    assert meters.had_enough("a")


def test_a_window_as_long_as_a_slow_sensor_needs_is_run_without_more_being_asked():
    meters = sensors(channel_of(quantity="power", unit="uW", period_ns=10**9))
    meters.link = object()
    assert not meters.wanted
    meters.metered.window_s = 25.0
    assert meters.wanted


def test_meters_that_are_killed_or_hang_cost_their_windows_and_no_more(tmp_path, monkeypatch):
    import os
    import signal

    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in {"name": "package-0", "energy_uj": "123456", "max_energy_range_uj": "262143328850"}.items():
        (zone / name).write_text(f"{text}\n")
    windows = []
    run, idle = metering.Meters.run, metering.Meters.idle

    def killed(self, link, *arguments):
        os.kill(self.link.pid, signal.SIGKILL)
        run(self, link, *arguments)

    def noted(self, *arguments):
        windows.append(self.link is not None)
        idle(self, *arguments)

    monkeypatch.setattr(metering.Meters, "run", killed)
    monkeypatch.setattr(metering.Meters, "idle", noted)
    models = Path(__file__).parent.parent / "examples" / "apple_stock"
    from whichpu.campaign import plan
    from whichpu.campaign.run import run as measured
    from whichpu.campaign.watch import Silence
    from whichpu.models import artefact

    wishes = plan.Wishes(on=("null:cpu", "b=null:cpu"), budget_s=2.0, rounds_most=2, root=str(tmp_path))
    campaign = measured(plan.make(artefact.load(models / "gru.onnx", [], {}, True), wishes, Silence()), None, Silence())
    assert windows == [True, False]
    assert {result.status for result in campaign.results} == {"measured"}
    assert all(len(result.readings) == 2 for result in campaign.results)
    assert "SIGKILL" in campaign.metered.trouble
    assert [window.contender is None for window in campaign.metered.windows] == [True, False]
