"""`whichpu doctor`: findings on five machines, what it says, and the noise of a loop."""

import io
import json

import msgspec
import pytest
import trees
from rich.console import Console

from whichpu.campaign import doctor as gathering
from whichpu.reports import conditions as line
from whichpu.reports import doctor as report
from whichpu.results import store
from whichpu.results.doctor import Busy, Examination, Finding, Noise, findings, spread_of
from whichpu.results.schema import Look, MachineState, Watched
from whichpu.worker import conditions as worker
from whichpu.worker import machine, wire
from whichpu.worker.backends import Refused, null

GOLDEN = store.load(trees.GOLDEN)
QUIET = Noise(blocks=90, median_ns=75_000.0, spread=0.004, worst=0.01, p99=1.1, seconds=2.0)


def looks(root):
    request = wire.LookNow(root=str(root), surroundings=True, pids=[9])
    first, last = worker.look(request), worker.look(request)
    last.at_ns = first.at_ns + 1_000_000_000
    return first, last


def found(root, change=None, **more):
    """Findings by kind; ``change`` happens to the tree between the two looks."""
    first, last = looks(root)
    if change is not None:
        change()
        last = looks(root)[1]
        last.at_ns = first.at_ns + 1_000_000_000
    return {one.kind: one for one in findings(first, last, machine.look(str(root)), **more)}


def severities(rows):
    return {kind: one.severity for kind, one in rows.items()}


def test_a_laptop_on_battery(tmp_path):
    rows = found(trees.laptop(tmp_path))
    assert {kind for kind, one in rows.items() if one.severity == "trouble"} == {"governor", "supply", "clock-source"}
    assert rows["governor"].command == "sudo cpupower frequency-set -g performance"
    assert rows["clock-source"].command.startswith("echo tsc | sudo tee ")
    assert rows["siblings"].command == "whichpu run ... --cpus 0,1"
    assert "1024 MiB" in rows["swap"].says
    assert "core 28, package 30" in rows["throttling"].says
    assert rows["throttling"].severity == "note"
    assert rows["boost"].severity == "note"
    assert rows["temperature"].says == "hottest: Package id 0, 72 °C; slows down in 28 °C"


def test_a_quiet_desktop_has_no_trouble(tmp_path):
    rows = found(trees.desktop(tmp_path), noise=QUIET)
    assert set(severities(rows).values()) == {"good", "not-readable"}
    assert {kind for kind, one in rows.items() if one.severity == "not-readable"} == {
        "throttling", "clock-source", "swap"
    }  # fmt: skip


@pytest.mark.parametrize(("flags", "severity"), [("0", "good"), ("50000", "note"), ("50005", "trouble")])
def test_a_raspberry_pis_firmware_is_heard(tmp_path, flags, severity):
    rows = found(trees.raspberry(tmp_path, flags=flags))
    assert rows["firmware"].severity == severity
    assert severity == "good" or "under-voltage, throttled" in rows["firmware"].says
    assert rows["governor"].severity == "trouble"


def test_a_jetsons_mode_gives_its_command(tmp_path):
    rows = found(trees.jetson(tmp_path))
    assert rows["power-mode"].says == "the board is in its power mode MODE_15W, not in MAXN"
    assert rows["power-mode"].command == "sudo nvpmodel -m 0"
    assert rows["capped-clock"].says == "the clock is capped at 1114 MHz; the hardware allows 2202"
    assert found(trees.jetson(tmp_path, mode=0))["power-mode"].severity == "good"


def test_a_virtual_machine_says_what_it_can_not_tell(tmp_path):
    rows = found(trees.virtual(tmp_path))
    assert {kind for kind, one in rows.items() if one.severity == "not-readable"} == {
        "governor", "capped-clock", "boost", "temperature", "throttling", "siblings", "swap"
    }  # fmt: skip
    assert rows["virtual"].says == "this is a virtual machine (QEMU Standard PC)"
    assert rows["steal"].severity == "trouble"  # a third of all time since boot
    assert rows["quota"].says == "a control group allows 1.5 of 2 CPUs; it halted this group 12 times so far"


def test_an_empty_tree_gives_no_trouble(tmp_path):
    assert "trouble" not in severities(found(tmp_path)).values()


def test_others_are_named_by_what_they_used(tmp_path):
    trees.desktop(tmp_path)
    busy = [Busy(name="blender", pid=7, cores=1.5)]
    ticks = round(worker._ticks_per_second())
    rows = found(tmp_path, lambda: trees.stat(tmp_path, 2, busy=100 + ticks * 3 // 4), busy=busy)
    assert rows["other-load"].severity == "trouble"
    assert rows["other-load"].says == "other programs keep 1.50 of 2 CPUs busy: blender 7 (1.50)"
    assert found(tmp_path)["other-load"].severity == "good"


def test_counters_that_move_are_trouble_now(tmp_path):
    trees.laptop(tmp_path)
    count = {f"{trees.CPU}/cpu0/thermal_throttle/core_throttle_count": 8}
    assert found(tmp_path, lambda: trees.write(tmp_path, count))["throttling"].severity == "trouble"


def test_heat_near_its_trip_point(tmp_path):
    trees.laptop(tmp_path)
    trees.write(tmp_path, {"sys/class/hwmon/hwmon4/temp1_input": 95000})
    assert found(tmp_path)["temperature"].says == "Package id 0 is at 95 °C and slows down at 100 °C"


def test_the_gravest_come_first(tmp_path):
    order = ["trouble", "note", "good", "not-readable"]
    first, last = looks(trees.laptop(tmp_path))
    told = [order.index(one.severity) for one in findings(first, last, machine.look(str(tmp_path)))]
    assert told == sorted(told)


def test_every_trouble_says_why(tmp_path):
    for name, tree in [("a", trees.laptop), ("b", trees.raspberry), ("c", trees.jetson), ("d", trees.virtual)]:
        rows = found(tree(tmp_path / name))
        assert all(one.why for one in rows.values() if one.severity in ("trouble", "not-readable"))


@pytest.mark.parametrize(("spread", "severity"), [(0.005, "good"), (0.02, "note"), (0.2, "trouble")])
def test_noise_is_judged_by_its_spread(tmp_path, spread, severity):
    noise = msgspec.structs.replace(QUIET, spread=spread)
    assert found(tmp_path, noise=noise)["noise"].severity == severity


def test_the_spread_is_half_of_what_nine_in_ten_span():
    noise = spread_of([100.0] * 50 + [110.0] * 50, [100] * 99 + [300], 1.0)
    assert noise.spread == pytest.approx(5 / 105)
    assert noise.worst == pytest.approx(110 / 105 - 1)
    assert noise.blocks == 100


def test_a_program_that_began_meanwhile_counts_whole():
    before, after = {1: ("old", 5.0), 2: ("gone", 1.0)}, {1: ("old", 5.5), 3: ("new", 0.2), 4: ("idle", 0.0)}
    assert gathering.who_was_busy(before, after, 1.0) == [
        Busy(name="old", pid=1, cores=0.5), Busy(name="new", pid=3, cores=0.2)
    ]  # fmt: skip


def test_a_whole_examination_of_this_machine():
    seen = gathering.examine(look_s=0.05, noise_s=0.05)
    assert seen.noise.blocks >= 5
    assert seen.noise.median_ns > 0
    assert seen.clock_cost_ns == seen.machine.clock_cost_ns
    assert {"governor", "other-load", "noise"} <= {one.kind for one in seen.findings}


def test_a_whole_examination_of_a_tree(tmp_path):
    seen = gathering.examine(root=str(trees.laptop(tmp_path)), look_s=0.01, noise_s=0.01)
    assert seen.cpus == [0, 1, 2, 3]
    assert seen.busy == []
    assert "governor" in {one.kind for one in seen.findings if one.severity == "trouble"}


def test_the_loop_takes_turns_and_refuses_nonsense():
    session = null.open(wire.Open("null", "cpu", "", "", options={"work": "3"}))
    assert session.bind([])() is None
    assert session.effective == {"work": "3"}
    with pytest.raises(Refused, match="write it as work=20000"):
        null.open(wire.Open("null", "cpu", "", "", options={"work": "fast"}))


# ---------------------------------------------------------------- what is shown


def examination(*rows, noise=QUIET):
    return Examination(
        machine=GOLDEN.machine, cpus=[0, 1], findings=list(rows), busy=[], clock_resolution_ns=1, clock_cost_ns=50,
        noise=noise, noise_missing=None if noise else "it ended with exit status 1",
    )  # fmt: skip


def shown(seen, width=80):
    stream = io.StringIO()
    report.show(seen, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def test_what_is_shown_fits_80_columns(tmp_path):
    first, last = looks(trees.laptop(tmp_path))
    text = shown(examination(*findings(first, last, machine.look(str(tmp_path)), noise=QUIET)))
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("Trouble") < text.index("Worth knowing") < text.index("Good")
    assert "    Try: sudo cpupower frequency-set -g performance\n" in text
    assert "3 things will make figures noisier" in text


def test_nothing_in_the_way_is_said():
    good = Finding(kind="governor", severity="good", says="governor performance")
    text = shown(examination(good))
    assert "Trouble" not in text
    assert "Nothing here stands in the way" in text
    assert "nine in ten block medians within ±0.4 %" in text


def test_noise_that_was_not_measured_says_why():
    assert "Noise: not measured (it ended with exit status 1)." in shown(examination(noise=None))


def test_the_command_prints_json(monkeypatch, told):
    monkeypatch.setattr(gathering, "examine", lambda cpus, place: examination(noise=None))
    ran = told("doctor", "--json")
    assert ran.status == 0
    assert set(json.loads(ran.out)) == set(Examination.__struct_fields__)


def test_the_command_refuses_cpus_that_are_not_there(told):
    ran = told("doctor", "--cpus", "9999")
    assert ran.status == 1
    assert "CPU 9999 can't be used here" in ran.err


# ---------------------------------------------------------------- the machine while measuring


def watched(**more):
    return msgspec.structs.replace(GOLDEN, watched=Watched(cpus=4, **more))


def test_the_machine_while_measuring_is_one_sentence():
    seen = [
        Look(round=0, turn=0, at_ns=0, clock_mhz=(400.0, 400.0, 400.0)),
        Look(
            round=0, turn=1, at_ns=1, clock_mhz=(400.0, 900.0, 1800.0), zone="cpu", temperature_c=71.4, nearest="cpu",
            headroom_c=28.6, span_s=1.0, busy_s=1.5, own_s=1.0, steal_s=0.0,
        ),
        Look(round=0, turn=2, at_ns=2, clock_mhz=(400.0, 900.0, 1200.0), throttles={"core": 3}),
    ]  # fmt: skip
    states = [MachineState(round=0, turn=0, governors=["performance"], limit_mhz=1800.0, hardware_mhz=3600.0)]
    assert line.sentence(watched(looks=seen, states=states)) == (
        "The machine while measuring: clock 1200 to 1800 MHz, capped at 1800 of 3600; governor performance; at most"
        " 71 °C (cpu, 29 °C below a trip point); throttled 3 times; others kept 0.50 of 4 CPUs busy; a hypervisor took"
        " 0.0 %."
    )


def test_a_firmware_that_throttles_is_not_called_fine():
    seen = [Look(round=0, turn=0, at_ns=0), Look(round=0, turn=1, at_ns=1, span_s=1.0)]
    states = [MachineState(round=0, turn=0, flags=0x5)]
    assert line.sentence(watched(looks=seen, states=states)).endswith(": firmware: under-voltage, throttled.")
    assert line.sentence(watched(looks=seen)).endswith(": not throttled.")


def test_what_is_unknown_says_why():
    seen = [Look(round=0, turn=0, at_ns=0)]
    said = line.sentence(watched(looks=seen, missing={"clock": "no cpufreq"}))
    assert said == "The machine while measuring: clock unknown (no cpufreq)."
    assert "not watched: it died" in line.sentence(watched(missing={"watcher": "not watched: it died"}))
    assert line.sentence(GOLDEN) == "The machine was not watched while measuring: this file is of an earlier version."


def test_stolen_time_is_marked_at_p99():
    from whichpu.reports import html

    stolen = [
        Look(round=number, turn=1, at_ns=number, span_s=1.0, busy_s=1.0, own_s=1.0, steal_s=0.03) for number in range(9)
    ]
    page = html.page([("a.json", watched(looks=stolen))])
    assert "doubt: steal" in page
    assert "a hypervisor took 2.9 %" in page
    assert "doubt: steal" not in html.page([("a.json", GOLDEN)])
