"""The machine watched while measuring: what is read from five machines, what it makes doubtful, a whole campaign."""

import json
import os

import msgspec
import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st

import whichpu
from whichpu.campaign import plan as planning
from whichpu.campaign.lookout import Lookout, condensed, state_of
from whichpu.campaign.run import run
from whichpu.campaign.watch import Silence
from whichpu.models import artefact
from whichpu.results import conditions, store
from whichpu.results.schema import Block, Campaign, Doubt, Look, MachineState, Reading, Result, Sustained, Watched
from whichpu.results.summary import summarize
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.worker import conditions as worker
from whichpu.worker import wire

GOLDEN = trees.GOLDEN


def look(root, **more):
    return worker.look(wire.LookNow(root=str(root), surroundings=True, **more))


# ---------------------------------------------------------------- five machines


def test_a_laptop_is_read(tmp_path):
    seen = look(trees.laptop(tmp_path))
    assert [clock.cpu for clock in seen.clocks] == [0, 1, 2, 3]
    assert seen.clocks[0] == wire.CpuClock(0, 3400.0, 4200.0, 4200.0, 400.0, "powersave")
    assert (seen.clock_from, seen.boost) == ("cpufreq", True)
    assert seen.governors_offered == ["performance", "powersave"]
    assert seen.throttles == {"core": 28, "package": 30}  # each CPU tells its package's count
    assert [(zone.name, zone.celsius, zone.trip_c) for zone in seen.zones] == [
        ("x86_pkg_temp", 71.0, None),  # a trip point at 0 is none
        ("Package id 0", 72.0, 100.0),
    ]
    assert (seen.load_1min, seen.runnable, seen.switches, seen.pressure_s) == (0.5, 2, 5000, 2.5)
    around = seen.surroundings
    assert (around.siblings, around.isolated) == ([[0, 2], [1, 3]], [])
    assert (around.battery, around.on_mains, around.clock_source) == (True, False, "hpet")
    assert (around.swap_used_bytes, around.hypervisor, around.interrupts_balanced) == (1048576 * 1024, None, True)
    assert seen.power_mode is None
    assert seen.flags is None


def test_a_desktop_is_read(tmp_path):
    seen = look(trees.desktop(tmp_path))
    assert seen.boost is False
    assert [(zone.name, zone.celsius) for zone in seen.zones] == [("Tctl", 48.5)]  # the disk's sensor is none of ours
    assert seen.throttles is None
    assert seen.pressure_s is None
    assert seen.surroundings.siblings == []
    assert seen.surroundings.battery is None


def test_a_raspberry_pi_is_read(tmp_path):
    seen = look(trees.raspberry(tmp_path, flags="50005"))
    assert seen.flags == 0x50005
    assert [(zone.name, zone.trip_c) for zone in seen.zones] == [("cpu-thermal", None)]


@pytest.mark.parametrize(
    ("text", "bits"), [("throttled=0x50000\n", 0x50000), ("0", 0), ("e0008", 0xE0008), ("error=1", None), ("", None)]
)
def test_both_ways_to_tell_a_raspberry_pis_bits(text, bits):
    assert worker.throttled_bits(text) == bits


def test_a_jetson_is_read(tmp_path):
    seen = look(trees.jetson(tmp_path))
    modes = {"0": "MAXN", "1": "MODE_15W", "2": "MODE_30W"}
    assert seen.power_mode == wire.PowerMode(1, "MODE_15W", modes)
    assert seen.throttles == {"oc1": 0, "oc3": 15}
    assert [(zone.name, zone.trip_c) for zone in seen.zones] == [("cpu-thermal", 99.0)]  # a sensor that is off is none


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", (0, "MAXN")),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_15W_6CORE\n2\n", (2, "MODE_15W_6CORE")),
        ("NV Power Mode: MAXN_SUPER\n2", (2, "MAXN_SUPER")),
        ("nvpmodel: permission denied", None),
    ],
)
def test_what_nvpmodel_says(text, mode):
    assert worker.nvpmodel_said(text) == mode


def test_a_virtual_machine_is_read(tmp_path):
    seen = look(trees.virtual(tmp_path))
    assert seen.clock_from == "cpuinfo"
    assert seen.clocks[1].mhz == pytest.approx(2596.098)
    assert seen.zones is None
    assert seen.boost is None
    assert seen.cpus.steal_s == pytest.approx(2 * 50 / worker._ticks_per_second())
    assert (seen.surroundings.quota_cpus, seen.surroundings.quota_throttled) == (1.5, 12)
    assert seen.surroundings.hypervisor == "QEMU Standard PC"


def test_an_empty_tree_is_all_unknown(tmp_path):
    """Unknown is never zero."""
    seen = look(tmp_path)
    known = {name for name in wire.Look.__dataclass_fields__ if getattr(seen, name) not in (None, {})}
    assert known == {"at_ns", "took_ns", "clocks", "surroundings"}
    assert all(clock.mhz is None and clock.limit_mhz is None for clock in seen.clocks)
    assert all(getattr(seen.surroundings, name) is None for name in wire.Surroundings.__dataclass_fields__)


def test_this_machine_is_read_over_the_wire():
    from whichpu.targets import local

    with local.start() as link:
        seen = link.ask(wire.LookNow(pids=[link.pid], surroundings=True), wire.Look)
    assert len(seen.clocks) >= 1
    assert seen.took_ns > 0


def test_only_the_cpus_that_matter_count(tmp_path):
    trees.stat(tmp_path, 4, busy=100)
    text = (tmp_path / "proc/stat").read_text().replace("cpu2 100", "cpu2 700")
    (tmp_path / "proc/stat").write_text(text)
    seen = look(tmp_path, cpus=[0, 2])
    assert seen.cpus.busy_s == pytest.approx(800 / worker._ticks_per_second())
    assert seen.machine.busy_s == pytest.approx(400 / worker._ticks_per_second())


@given(st.lists(st.integers(0, 300), max_size=20))
def test_the_kernels_cpu_lists_are_read(cpus):
    assert worker.cpu_list(",".join(map(str, cpus))) == cpus


# ---------------------------------------------------------------- what is stored


def test_a_look_is_stored_as_what_happened_since_the_one_before(tmp_path):
    trees.laptop(tmp_path)
    trees.write(tmp_path, {"proc/9/stat": "9 (a) b) S 1 1 1 0 -1 0 0 0 0 0 40 10 0 0 20 0"})
    before = look(tmp_path, pids=[9, 10])
    trees.stat(tmp_path, 4, busy=150, steal=1)
    trees.write(
        tmp_path,
        {
            f"{trees.CPU}/cpu1/thermal_throttle/core_throttle_count": 9,
            f"{trees.CPU}/cpu0/cpufreq/scaling_cur_freq": 4200000,
            "proc/9/stat": "9 (a) b) S 1 1 1 0 -1 0 0 0 0 0 60 20 0 0 20 0",
            "proc/10/stat": "10 (new) S 1 1 1 0 -1 0 0 0 0 0 500 0 0 0 20 0",
        },
    )
    now = look(tmp_path, pids=[9, 10])
    now.at_ns = before.at_ns + 1_000_000_000
    stored = condensed(before, now, 2, 3)
    tick_s = 1 / worker._ticks_per_second()
    assert (stored.round, stored.turn, stored.span_s) == (2, 3, 1.0)
    assert stored.busy_s == pytest.approx(200 * tick_s)
    assert stored.own_s == pytest.approx(30 * tick_s)  # a process that was not there before has no difference
    assert stored.steal_s == pytest.approx(4 * tick_s)
    assert stored.throttles == {"core": 2}
    assert stored.clock_mhz == (3400.0, 3400.0, 4200.0)
    assert (stored.zone, stored.temperature_c, stored.nearest, stored.headroom_c) == (
        "Package id 0", 72.0, "Package id 0", 28.0,
    )  # fmt: skip
    assert condensed(None, now, 2, 0).span_s is None


def test_a_state_is_stored_when_it_changes(tmp_path):
    trees.jetson(tmp_path)
    first = state_of(look(tmp_path), 0, 0, [])
    assert (first.limit_mhz, first.hardware_mhz, first.power_mode) == (1113.6, 2201.6, "MODE_15W")
    assert state_of(look(tmp_path), 0, 1, [first]) is None
    trees.clock(tmp_path, range(1), scaling_governor="performance")
    assert state_of(look(tmp_path), 0, 2, [first]).governors == ["performance", "schedutil"]


def test_a_nominal_clock_is_not_stored(tmp_path):
    assert condensed(None, look(trees.virtual(tmp_path)), 0, 0).clock_mhz is None


def test_a_long_campaign_stays_small():
    one = Look(
        round=91, turn=10, at_ns=11965048599474, clock_mhz=(1200.0, 1800.5, 4200.0), zone="Package id 0",
        temperature_c=72.5, nearest="Package id 0", headroom_c=27.5, load_1min=2.64, runnable=12, span_s=0.1651,
        busy_s=12.33, own_s=0.08, iowait_s=0.01, steal_s=0.01, pressure=0.976, switches=16900, throttles={"core": 12},
    )  # fmt: skip
    assert len(msgspec.json.encode(Watched(looks=[one] * 92 * 11))) < 500_000


# ---------------------------------------------------------------- doubts


def campaign(looks=(), states=(), rounds=3, cpus=4, missing=None):
    block = Block(position=0, count=1, opening=0, began_ns=0, wall_ns=10**9, cpu_ns=10**9)
    result = Result(name="a", target="t", backend="b", device="cpu", status="measured")
    result.readings = [Reading(round=number, blocks=[block]) for number in range(rounds)]
    made = msgspec.structs.replace(store.load(GOLDEN), results=[result])
    made.watched = Watched(cpus=cpus, looks=list(looks), states=list(states), missing=missing or {})
    return made


def doubts(*looks, **more):
    made = campaign(looks, **more)
    return {doubt.kind: doubt for doubt in conditions.condition_doubts(made, made.results[0])}


def clocks(*mhz):
    """A look after each turn, ten turns a round; a round's first look is before its blocks."""
    return [
        Look(round=at // 10, turn=1 + at % 10, at_ns=at, clock_mhz=(value / 4, value / 2, value))
        for at, value in enumerate(mhz)
    ]


def test_a_clock_that_falls_gives_both_frequencies():
    found = doubts(*clocks(*[1800.0] * 14, *[1200.0] * 10))
    assert list(found) == ["throttled"]
    assert found["throttled"].says == "the clock fell from 1800 to 1200 MHz while measuring (round 2)"
    assert found["throttled"].facts == {"before_mhz": 1800.0, "after_mhz": 1200.0, "round": 1}
    assert found["throttled"].touches == "latency"


@pytest.mark.parametrize(
    "mhz",
    [
        [1800.0] * 20,
        [1800.0] * 9 + [400.0] + [1800.0] * 10,  # one look found the core idle
        [1800.0] * 9 + [3600.0] + [1800.0] * 10,  # a short boost
        [1200.0] * 5 + [1800.0] * 15,  # it rose
        [1800.0] * 10 + [1700.0] * 10,  # a boost step
        [1800.0],
        [],
    ],
)
def test_a_clock_that_is_held_gives_no_doubt(mhz):
    assert doubts(*clocks(*mhz)) == {}


@given(st.lists(st.floats(1000, 1099), max_size=40))
def test_a_clock_within_a_tenth_never_gives_a_doubt(mhz):
    assert conditions.clock_fall(clocks(*mhz)) is None


@given(st.floats(500, 5000), st.floats(0.2, 0.89), st.integers(3, 30), st.integers(3, 30))
def test_a_held_fall_is_always_found(before, share, many, more):
    held, after, first = conditions.clock_fall(clocks(*[before] * many, *[before * share] * more))
    assert (held, after) == (before, before * share)
    assert first.at_ns == many


def test_counters_bits_and_trip_points_are_throttling():
    looks = [
        Look(round=0, turn=1, at_ns=1, throttles={"core": 3, "package": 1}),
        Look(
            round=0, turn=2, at_ns=2, throttles={"core": 2},
            zone="cpu", temperature_c=101.0, nearest="cpu", headroom_c=-1.0,
        ),
    ]  # fmt: skip
    doubt = doubts(*looks, states=[MachineState(round=0, turn=0, flags=0x50005)])["throttled"]
    assert "slowed itself down 6 times (core, package)" in doubt.says
    assert "the firmware says: under-voltage, throttled" in doubt.says
    assert "cpu reached its trip point" in doubt.says
    assert doubt.facts == {
        "throttle_events": 6, "flags": "under-voltage, throttled", "beyond_c": 1.0, "temperature_c": 101.0
    }  # fmt: skip


def test_bits_since_boot_are_no_doubt():
    assert doubts(states=[MachineState(round=0, turn=0, flags=0x50000)]) == {}


def test_a_limit_that_falls_is_throttling_and_one_that_was_there_is_a_cap():
    high = MachineState(round=0, turn=0, limit_mhz=3600.0, hardware_mhz=3600.0)
    low = MachineState(round=1, turn=3, limit_mhz=1800.0, hardware_mhz=3600.0)
    assert doubts(states=[high]) == {}
    assert doubts(states=[high, low])["throttled"].facts == {"before_limit_mhz": 3600.0, "after_limit_mhz": 1800.0}
    assert doubts(states=[low])["capped-clock"].facts == {"limit_mhz": 1800.0, "hardware_mhz": 3600.0}


def test_states_count_only_in_the_rounds_they_held():
    high = MachineState(round=0, turn=0, limit_mhz=3600.0, hardware_mhz=3600.0)
    later = MachineState(round=3, turn=0, limit_mhz=1800.0, hardware_mhz=3600.0)
    assert doubts(states=[high, later], rounds=3) == {}
    assert set(doubts(states=[high, later], rounds=4)) == {"throttled"}


def test_a_governor_is_doubted_only_where_a_better_one_is_there():
    def state(*offered):
        return MachineState(round=0, turn=0, governors=["schedutil"], governors_offered=list(offered))

    assert doubts(states=[state("schedutil", "performance")])["governor"].facts == {"governor": "schedutil"}
    assert doubts(states=[state("schedutil")]) == {}


@pytest.mark.parametrize(("mode", "modes", "doubted"), [
    ("MODE_15W", {"0": "MAXN", "1": "MODE_15W"}, True),
    ("MAXN", {"0": "MAXN", "1": "MODE_15W"}, False),
    ("MAXN_SUPER", {"0": "15W", "2": "MAXN_SUPER"}, False),
    ("15W", {"0": "15W", "1": "7W"}, False),  # this board has no MAXN
])  # fmt: skip
def test_a_jetson_below_its_largest_mode(mode, modes, doubted):
    capped = {"limit_mhz": 1113.6, "hardware_mhz": 2201.6} if doubted else {}
    found = doubts(states=[MachineState(round=0, turn=0, power_mode=mode, power_modes=modes, **capped)])
    assert set(found) == ({"power-mode"} if doubted else set())  # its cap is the mode's, said once
    assert not doubted or "sudo nvpmodel -m 0" in found["power-mode"].advice


def busy(busy_s, own_s=1.0, steal_s=0.0, rounds=3):
    return [
        Look(round=number, turn=1, at_ns=number, span_s=1.0, busy_s=busy_s, own_s=own_s, steal_s=steal_s)
        for number in range(rounds)
    ]


def test_others_load_is_everybodys_less_ours():
    assert doubts(*busy(1.05)) == {}
    found = doubts(*busy(2.5))["other-load"]
    assert found.says == "other programs kept 1.5 of 4 CPUs busy while measuring"
    assert found.facts == {"other_cores": 1.5, "cpus": 4}
    assert doubts(*busy(2.5), cpus=64) == {}


@pytest.mark.parametrize(("steal_s", "touches"), [(0.005, None), (0.02, "p99"), (0.2, "latency")])
def test_stolen_time_touches_the_tail_first(steal_s, touches):
    found = doubts(*busy(1.0, steal_s=steal_s))
    assert (found["steal"].touches if found else None) == touches


def test_rounds_without_this_contender_do_not_count():
    assert doubts(*busy(4.0)[1:], rounds=1) == {}


def test_one_kind_is_told_once():
    pushed = Doubt(kind="other-load", says="pushed off", advice="stop", facts={"a": 1})
    load = Doubt(kind="other-load", says="kept busy", advice="stop", facts={"b": 2})
    tail = Doubt(kind="steal", says="took", touches="p99")
    assert conditions.merged([pushed, tail, load]) == [
        Doubt(kind="other-load", says="pushed off; kept busy", advice="stop", facts={"a": 1, "b": 2}), tail
    ]  # fmt: skip


def test_a_campaign_that_was_not_watched_says_nothing():
    old = store.load(GOLDEN)
    assert old.watched is None
    assert conditions.conditions_of(old) is None
    assert all(conditions.condition_doubts(old, result) == [] for result in old.results)


def test_a_virtual_machine_has_no_clock_and_says_why():
    made = campaign(busy(1.0), missing={"clock": "the clock is not readable"})
    assert doubts(*busy(1.0)) == {}
    summary = conditions.conditions_of(made)
    assert summary.clock_high_mhz is None
    assert summary.missing["clock"] == "the clock is not readable"
    assert summary.steal_share == 0.0


# ---------------------------------------------------------------- a whole campaign


class Throttles(Silence):
    """Lowers the clock in a tree after the first round."""

    def __init__(self, root):
        self.root = root

    def round_done(self, campaign, active):
        trees.clock(self.root, range(2), scaling_cur_freq=1200000)
        trees.write(self.root, {f"{trees.CPU}/cpu0/thermal_throttle/core_throttle_count": 5})


def measured(root, models, listener, **more):
    on = ("a=null:cpu", "b=null:cpu,delay=50us")
    wishes = planning.Wishes(on=on, rounds_most=2, seed=1, root=str(root), cpus=(), **more)
    plan = planning.make(artefact.load(models.mlp, [], {}, True), wishes, listener)
    run(plan, root / "campaign.json", listener)
    return store.load(root / "campaign.json")


def test_a_throttled_clock_in_a_whole_campaign_gives_the_doubt_with_both_frequencies(tmp_path, models):
    trees.desktop(tmp_path)
    trees.clock(tmp_path, range(2), scaling_cur_freq=1800000)
    trees.write(tmp_path, {f"{trees.CPU}/cpu0/thermal_throttle/core_throttle_count": 0})
    found = measured(tmp_path, models, Throttles(tmp_path))
    assert [(look.round, look.turn) for look in found.watched.looks] == [(n, t) for n in (0, 1) for t in range(11)]
    for row in summarize(found):
        doubt = next(doubt for doubt in row.doubts if doubt.kind == "throttled")
        assert "the clock fell from 1800 to 1200 MHz while measuring (round 2)" in doubt.says
        assert (doubt.facts["before_mhz"], doubt.facts["after_mhz"]) == (1800.0, 1200.0)


def test_a_steady_clock_in_a_whole_campaign_gives_none(tmp_path, models):
    found = measured(trees.desktop(tmp_path), models, Silence())
    assert not {"throttled", "capped-clock", "governor"} & {d.kind for row in summarize(found) for d in row.doubts}
    assert found.watched.missing["throttling"]


def test_a_clock_that_falls_in_a_sustained_run_is_told_apart():
    made = campaign()
    looks = [
        msgspec.structs.replace(look, at_ns=round(look.at_ns * 6e10)) for look in clocks(*[1800.0] * 5, *[900.0] * 5)
    ]
    made.results[0].sustained = Sustained(asked_s=600.0, window_s=1.0, position=0, looks=looks)
    (doubt,) = conditions.condition_doubts(made, made.results[0])
    assert (doubt.kind, doubt.touches) == ("throttled", "sustained")
    assert doubt.says == "in the sustained run the clock fell from 1800 to 900 MHz, 300 s into it"
    assert doubt.facts == {"before_mhz": 1800.0, "after_mhz": 900.0, "after_s": 300.0}


def test_a_sustained_run_is_watched_between_its_windows(tmp_path, models, monkeypatch):
    monkeypatch.setattr("whichpu.campaign.sustained.TOLD_EVERY_S", 0.0)
    found = measured(trees.desktop(tmp_path), models, Silence(), sustained_s=0.3)
    for result in found.results:
        turns = [look.turn for look in result.sustained.looks]
        assert turns == list(range(len(turns)))
        assert len(turns) > 2
        assert result.sustained.looks[-1].clock_mhz == (3600.0, 3600.0, 3600.0)


def test_a_watcher_that_fails_is_a_missing_fact(tmp_path, models, monkeypatch):
    def fails(*_, **__):
        raise WorkerTrouble("crashed", "the watcher ended with exit status 1")

    monkeypatch.setattr(HERE, "start", fails)
    plan_campaign = store.load(GOLDEN)
    with Lookout(plan_campaign) as lookout:
        lookout.begin(0, [])
        lookout.look(0, 1, [])
    assert plan_campaign.watched.looks == []
    assert "exit status 1" in plan_campaign.watched.missing["watcher"]


@pytest.mark.parametrize(("pinned", "ours"), [([], 3), ([1], 1), ([0, 1], 3)])
def test_what_we_do_between_blocks_is_no_others_load_where_it_runs_on_the_measured_cpus(pinned, ours, monkeypatch):
    held = store.load(GOLDEN)
    held.settings = msgspec.structs.replace(held.settings, cpus=pinned)
    if 0 not in os.sched_getaffinity(0):
        pytest.skip("CPU 0, where the watcher would be pinned to, can't be used here")
    held.machine.cpus_preferred = [0, 1]
    asked = []
    with Lookout(held) as lookout:
        ask = lookout.link.ask
        monkeypatch.setattr(lookout.link, "ask", lambda request, *rest: asked.append(request) or ask(request, *rest))
        lookout.begin(0, [4_000_000])
    assert len(asked[0].pids) == ours


def test_a_watcher_that_dies_in_mid_run_does_not_end_the_campaign(tmp_path, models):
    class Kills(Silence):
        def round_done(self, campaign, active):
            import psutil

            for child in psutil.Process().children():
                child.kill()

    found = measured(trees.desktop(tmp_path), models, Kills())
    assert [len(result.readings) for result in found.results] == [2, 2]
    assert {look.round for look in found.watched.looks} == {0}
    assert "not watched" in found.watched.missing["watcher"]


def test_looks_are_kept_over_a_resume(tmp_path, models):
    file = tmp_path / "c.json"
    options = {"on": "null:cpu", "seed": 1, "output": file}
    whichpu.measure(models.mlp, rounds_most=1, **options)
    whichpu.measure(models.mlp, rounds_most=2, resume=True, **options)
    assert {look["round"] for look in json.loads(file.read_text())["watched"]["looks"]} == {0, 1}


def test_schema_of_a_look_leaves_out_what_is_unknown():
    assert msgspec.json.encode(Look(round=0, turn=0, at_ns=5)) == b'{"round":0,"turn":0,"at_ns":5}'
    assert isinstance(store.load(GOLDEN), Campaign)
