"""Meters of kernel files: RAPL, hwmon, batteries, a Raspberry Pi's power chip; and how the sampler reads them."""

import errno
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import PMIC, hwmon, laptop, powercap, rapl_laptop, raspberry_pmic, virtual, write

from whichpu.worker import wire
from whichpu.worker.meters import SCOPES, UNITS, Around, Channel, find, raspberry, sampler

OURS = ["rapl", "hwmon", "battery", "raspberry"]
ZONE = "sys/class/powercap/intel-rapl:0"


def channels(root, *meters):
    """Channels found below a root, by name."""
    found = [channel for channel in find(Around(str(root)), list(meters) or OURS) if isinstance(channel, Channel)]
    return {channel.facts.name: channel for channel in found}


def missing(root, *meters):
    return [lack for lack in find(Around(str(root)), list(meters) or OURS) if isinstance(lack, wire.Missing)]


class Run:
    """A window over some channels, with a clock that the test moves."""

    def __init__(self, root, *meters):
        self.now_ns = 0
        found = list(channels(root, *meters).values())
        self.names = [channel.facts.name for channel in found]
        self.sampler = sampler.Sampler(found, Around(str(root)), now=lambda: self.now_ns)
        self.sampler.begin([])

    def at(self, now_ns, root=None, **files):
        """Move the clock, write files, read what is due."""
        self.now_ns = now_ns
        write(root, files) if files else None
        self.sampler.sweep()

    def traces(self):
        self.sampler.end()
        return dict(zip(self.names, self.sampler.sampled.traces, strict=True))


def refuse(monkeypatch, number, *parts):
    """Files with such a part in their path can't be opened."""
    really = os.open

    def opened(path, *arguments, **settings):
        if any(part in str(path) for part in parts):
            raise OSError(number, os.strerror(number), path)
        return really(path, *arguments, **settings)

    monkeypatch.setattr(os, "open", opened)


# ---------------------------------------------------------------- RAPL


def test_a_laptops_counters_their_scopes_and_what_is_part_of_what(tmp_path):
    found = {name: channel.facts for name, channel in channels(rapl_laptop(tmp_path), "rapl").items()}
    assert {name: (facts.scope, facts.part_of, facts.sums_to) for name, facts in found.items()} == {
        "package-0": ("package", None, None),
        "package-0/core": ("cores", "package-0", None),
        "package-0/uncore": ("rail", "package-0", None),
        "package-0/dram": ("dram", None, None),
        "psys": ("platform", None, None),
    }
    package = found["package-0"]
    assert (package.quantity, package.unit, package.counter) == ("energy", "uJ", True)
    assert (package.wraps_at, package.period_ns) == (262143328850, 1_000_000)
    assert package.sensor == str(tmp_path / ZONE / "energy_uj")
    assert not missing(tmp_path, "rapl")


def test_packages_of_a_server_add_up_and_so_does_their_memory(tmp_path):
    zones = {"intel-rapl:0": ("package-0", 1), "intel-rapl:0:0": ("dram", 2)}
    zones |= {"intel-rapl:1": ("package-1-die-0", 3), "intel-rapl:1:0": ("dram", 4), "intel-rapl:10": ("psys", 5)}
    found = channels(powercap(tmp_path, zones), "rapl")
    assert list(found) == ["package-0", "package-0/dram", "package-1-die-0", "package-1-die-0/dram", "psys"]
    assert [channel.facts.sums_to for channel in found.values()] == ["packages", "dram", "packages", "dram", None]
    assert [channel.read() for channel in found.values()] == [1, 2, 3, 4, 5]


def test_the_second_door_to_the_same_counter_is_used_only_where_it_is_the_only_one(tmp_path):
    assert len(channels(rapl_laptop(tmp_path / "both"), "rapl")) == 5
    only = powercap(tmp_path / "only", {"intel-rapl-mmio:0": ("package-0", 9)})
    assert channels(only, "rapl")["package-0"].facts.sensor.endswith("intel-rapl-mmio:0/energy_uj")


def test_counters_for_root_alone_are_one_line_with_a_command_for_this_user_alone(tmp_path, monkeypatch):
    rapl_laptop(tmp_path)
    refuse(monkeypatch, errno.EACCES, "energy_uj")
    assert not channels(tmp_path, "rapl")
    (lack,) = missing(tmp_path, "rapl")
    assert (lack.kind, lack.quantity) == ("not-permitted", "energy")
    assert lack.remedy == f'sudo chown "$USER" {tmp_path}/sys/class/powercap/intel-rapl:*/energy_uj'
    assert lack.says.startswith("package-0, package-0/core, ") and "CVE-2020-8694" in lack.says


def test_zones_that_count_nothing_or_are_not_understood(tmp_path):
    zones = {"intel-rapl:0": ("package-0", 7), "intel-rapl:0:0": ("uncore", 0), "intel-rapl:1": ("fabric", 8)}
    powercap(tmp_path, {**zones, "intel-rapl:2": ("psys", 3), "intel-rapl:3": ("dram", 4), "intel-rapl:4": ("x", 5)})
    (tmp_path / "sys/class/powercap/intel-rapl:2/energy_uj").unlink()
    write(tmp_path, {"sys/class/powercap/intel-rapl:3/energy_uj": "none"})
    (tmp_path / "sys/class/powercap/intel-rapl:4/name").unlink()
    (tmp_path / ZONE / "max_energy_range_uj").unlink()
    found = channels(tmp_path, "rapl")
    assert {name: channel.facts.scope for name, channel in found.items()} == {"package-0": "package", "fabric": "rail"}
    assert found["package-0"].facts.wraps_at is None
    says = [lack.says for lack in missing(tmp_path, "rapl")]
    assert len(says) == 4
    assert "package-0/uncore: it prints 0" in says[0]
    assert "psys: it can't be read: No such file" in says[1]
    assert "dram" in says[2] and "no number" in says[2]
    assert "intel-rapl:4: the zone has no name" in says[3]


def test_no_counters_says_so_once(tmp_path):
    (lack,) = missing(tmp_path, "rapl")
    assert lack.kind == "not-present" and "is not there" in lack.says
    (tmp_path / "sys/class/powercap").mkdir(parents=True)
    (lack,) = missing(tmp_path, "rapl")
    assert "virtual machines and containers hide them" in lack.says


# ---------------------------------------------------------------- hwmon


def test_an_amd_gpu_tells_its_mean_power_and_an_apu_that_of_the_whole_chip(tmp_path):
    hwmon(tmp_path, 0, "k10temp", temp1_input=48500)
    gpu = {
        "power1_average": 42_000_000,
        "power1_input": 50_000_000,
        "power1_label": "PPT",
        "freq1_input": 2_482_000_000,
    }
    hwmon(tmp_path, 5, "amdgpu", in0_label="vddgfx", **gpu)
    found = channels(tmp_path, "hwmon")
    power, clock = found["amdgpu/PPT"], found["amdgpu/freq1"]
    assert (power.facts.scope, power.facts.unit, power.read()) == ("gpu", "uW", 42_000_000)
    assert (clock.facts.quantity, clock.facts.unit, clock.read()) == ("clock", "kHz", 2_482_000)
    hwmon(tmp_path, 5, "amdgpu", in1_label="vddnb")
    assert channels(tmp_path, "hwmon")["amdgpu/PPT"].facts.scope == "package"


def test_two_devices_of_one_driver_bear_their_address(tmp_path):
    for number, slot in ((1, "0000:03:00.0"), (2, "0000:43:00.0")):
        folder = hwmon(tmp_path, number, "amdgpu", power1_input=number)
        (tmp_path / slot).mkdir()
        (folder / "device").symlink_to(tmp_path / slot)
    found = channels(tmp_path, "hwmon")
    assert {name: channel.read() for name, channel in found.items()} == {
        "amdgpu@0000:03:00.0/power1": 1,
        "amdgpu@0000:43:00.0/power1": 2,
    }


def test_a_servers_power_meter_covers_the_machine_and_tells_its_mean(tmp_path):
    hwmon(tmp_path, 0, "power_meter", power1_average=212_000_000, power1_average_interval=1000)
    facts = channels(tmp_path, "hwmon")["power_meter/power1"].facts
    assert (facts.scope, facts.averages_ns, facts.period_ns) == ("board", 1_000_000_000, 1_000_000_000)


def test_sockets_of_amd_energy_add_up_without_their_cores(tmp_path):
    labels = {"energy1_label": "Ecore000", "energy2_label": "Esocket0", "energy3_label": "Esocket1"}
    hwmon(tmp_path, 0, "amd_energy", energy1_input=1, energy2_input=2, energy3_input=3, **labels)
    found = channels(tmp_path, "hwmon")
    assert {name: (channel.facts.scope, channel.facts.sums_to) for name, channel in found.items()} == {
        "amd_energy/Esocket0": ("package", "sockets"),
        "amd_energy/Esocket1": ("package", "sockets"),
    }
    facts = found["amd_energy/Esocket0"].facts
    assert (facts.counter, facts.wraps_at, facts.period_ns) == (True, None, 1_000_000)


def test_an_intel_gpus_package_is_part_of_its_card(tmp_path):
    labels = {"energy1_label": "card", "energy2_label": "pkg"}
    hwmon(tmp_path, 0, "xe", energy1_input=10, energy2_input=9, **labels)
    hwmon(tmp_path, 1, "i915_gt0", energy1_input=5)
    found = channels(tmp_path, "hwmon")
    assert {name: channel.facts.part_of for name, channel in found.items()} == {"xe/card": None, "xe/pkg": "xe/card"}


def test_volts_and_amperes_of_one_rail_make_its_power(tmp_path):
    rails = {"in1_label": "VDD_5V", "in1_input": 5016, "curr1_input": 304, "in2_input": 12000, "curr2_input": 0}
    hwmon(tmp_path, 0, "ina3221", update_interval=2, curr3_input=7, in7_input=1, in7_label="sum", **rails)
    found = channels(tmp_path, "hwmon")
    assert {name: channel.read() for name, channel in found.items()} == {"ina3221/VDD_5V": 1_524_864, "ina3221/in2": 0}
    assert (found["ina3221/VDD_5V"].facts.scope, found["ina3221/VDD_5V"].facts.period_ns) == ("rail", 2_000_000)


def test_numbers_alone_do_not_pair_volts_with_amperes(tmp_path):
    hwmon(tmp_path, 0, "lm25066", in1_input=12000, in1_label="vin", curr1_input=2000, curr1_label="iin")
    hwmon(tmp_path, 1, "somechip", in1_input=12000, curr1_input=2000)
    hwmon(tmp_path, 2, "labelled", in1_input=5000, in1_label="USB", curr1_input=100, curr1_label="USB")
    assert list(channels(tmp_path, "hwmon")) == ["labelled/USB"]


def test_a_jetsons_rails_are_left_to_its_own_meter(tmp_path):
    hwmon(tmp_path, 0, "ina3221", in1_input=5016, curr1_input=304, in1_label="VDD_IN")
    assert channels(tmp_path, "hwmon")
    write(tmp_path, {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3"})
    assert not channels(tmp_path, "hwmon")
    (tmp_path / "etc/nv_tegra_release").unlink()
    write(tmp_path, {"proc/device-tree/compatible": "nvidia,p3737-0000\0nvidia,tegra234"})
    assert not channels(tmp_path, "hwmon")


@pytest.mark.parametrize(("number", "kind"), [(errno.EACCES, "not-permitted"), (errno.EPERM, "broken")])
def test_a_sensor_that_may_not_be_read_and_one_whose_driver_refuses(tmp_path, monkeypatch, number, kind):
    hwmon(tmp_path, 0, "amdgpu", power1_input=5)
    refuse(monkeypatch, number, "power1_input")
    (lack,) = missing(tmp_path, "hwmon")
    assert lack.kind == kind
    expected = f'sudo chown "$USER" {tmp_path}/sys/class/hwmon/hwmon0/power1_input' if kind == "not-permitted" else None
    assert lack.remedy == expected


def test_sensors_without_data_and_sensors_that_print_0_are_no_channels(tmp_path, monkeypatch):
    hwmon(tmp_path, 0, "ina226", power1_input=0, in1_input=0)
    hwmon(tmp_path, 1, "ina219", power1_input=0, in1_input=3300)
    hwmon(tmp_path, 2, "ina3221", in1_label="CAM", in1_input=0, curr1_input=0)
    hwmon(tmp_path, 3, "power_meter", power1_average=7)
    refuse(monkeypatch, errno.ENODATA, "power1_average")
    assert list(channels(tmp_path, "hwmon")) == ["ina219/power1"], "it has volts: 0 W are measured"
    says = [lack.says for lack in missing(tmp_path, "hwmon")]
    assert says[0] == "ina226/power1: it prints 0, and nothing shows that it measures anything"
    assert says[1].startswith("ina3221/CAM: it prints 0")
    assert says[2] == "power_meter/power1: it can't be read: No data available"


# ---------------------------------------------------------------- battery


def battery(root, **files):
    told = {"type": "Battery", "status": "Discharging", **files}
    write(root, {f"sys/class/power_supply/BAT0/{name}": text for name, text in told.items()})
    return root


def test_a_battery_tells_power_only_while_it_discharges(tmp_path):
    battery(laptop(tmp_path), power_now=11_338_000)
    hwmon(tmp_path, 9, "BAT0", power1_input=11_338_000)
    (tmp_path / "sys/class/hwmon/hwmon9/device").mkdir()
    (tmp_path / "sys/class/hwmon/hwmon9/device/subsystem").symlink_to(tmp_path / "sys/class/power_supply")
    found = channels(tmp_path)
    assert list(found) == ["BAT0"], "the same battery's hwmon device is left out, and so is the mouse's battery"
    facts = found["BAT0"].facts
    assert (facts.scope, facts.period_ns, found["BAT0"].read()) == ("board", 1_000_000_000, 11_338_000)
    battery(tmp_path, status="Charging")
    (lack,) = missing(tmp_path, "battery")
    assert lack.kind == "not-present" and "doesn't run on its battery (Charging)" in lack.says


def test_a_batterys_volts_and_amperes_make_power_whatever_their_sign(tmp_path):
    battery(tmp_path, current_now=-1_234_567, voltage_now=11_000_001)
    assert channels(tmp_path, "battery")["BAT0"].read() == 13_580_238  # 13 580 238.23 µW


def test_plugging_in_ends_the_trace_with_the_reason(tmp_path):
    run = Run(battery(tmp_path, power_now=9_000_000), "battery")
    battery(tmp_path, status="Not charging")
    run.at(250_000_000)
    trace = run.traces()["BAT0"]
    assert trace.values == [9_000_000]
    assert trace.trouble == "the battery doesn't discharge any more (Not charging)"


# ---------------------------------------------------------------- Raspberry Pi


def test_a_raspberry_pis_rails_add_up_to_the_last_digit(tmp_path):
    channel = channels(raspberry_pmic(tmp_path))["PMIC"]
    # By hand, in W: 3V7_WL_SW 0.0072359353920, 3V3_SYS 0.4219483810581, 1V8_SYS 0.3398197711750,
    # DDR_VDD2 0.02386128160284, 1V1_SYS 0.1998303115020, 0V8_SW 0.2090089797087600,
    # VDD_CORE 0.432060456114, 0V8_AON 0.002349469884960, HDMI 0.1305919499940; sum 1.76670653643166.
    assert channel.read() == 1_766_707
    assert (channel.facts.scope, channel.facts.unit, channel.facts.period_ns) == ("rails", "uW", 100_000_000)
    assert "less than the board takes" in channel.facts.covers


@pytest.mark.parametrize(
    ("says", "device", "kind", "words"),
    [
        ('error=1 error_msg="Command not registered"', True, "not-present", "whichpu join"),
        ("Can't open device file: /dev/vcio\nTry creating", True, "not-permitted", "group video"),
        ("Can't open device file: /dev/vcio\nTry creating", False, "not-present", "no /dev/vcio"),
        ("VCHI initialization failed", True, "broken", "VCHI initialization failed"),
        ("", True, "broken", "nothing"),
        ("VDD_CORE_A current(7)=1.0A", True, "broken", "no volts of VDD_CORE"),
    ],
)
def test_a_raspberry_pi_without_power_says_why(tmp_path, says, device, kind, words):
    raspberry_pmic(tmp_path, says)
    if not device:
        (tmp_path / "dev/vcio").unlink()
    (lack,) = missing(tmp_path, "raspberry")
    assert lack.kind == kind and words in lack.says
    assert (lack.remedy is not None) == (kind == "not-permitted")


def test_a_raspberry_pi_without_the_tool_names_its_package(tmp_path):
    (raspberry_pmic(tmp_path) / "usr/bin/vcgencmd").unlink()
    (lack,) = missing(tmp_path, "raspberry")
    assert lack.remedy == "sudo apt install raspi-utils"


def test_hwmon_devices_of_a_raspberry_pi_tell_no_power(tmp_path):
    (lack,) = missing(raspberry_pmic(tmp_path), "hwmon")
    assert lack.says == "no hwmon sensor tells power or energy (cpu_thermal, pwmfan, rp1_adc, rpi_volt)"


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=20))
def test_rails_are_rounded_once_and_not_each(rails):
    lines = [f"  R{number}_A current({number})={amperes / 1e8:.8f}A" for number, (amperes, _) in enumerate(rails)]
    lines += [f"  R{number}_V volt({number})={volts / 1e8:.8f}V" for number, (_, volts) in enumerate(rails)]
    exact = sum(amperes * volts for amperes, volts in rails)  # in 1e-16 W
    assert abs(raspberry.rails_uw("\n".join(lines)) * 10**10 - exact) <= 5 * 10**9


# ---------------------------------------------------------------- all of them


def test_a_machine_without_sensors_says_why_in_one_line_for_each_meter(tmp_path):
    assert not channels(virtual(tmp_path))
    lacks = missing(tmp_path)
    assert [(lack.meter, lack.kind) for lack in lacks] == [(meter, "not-present") for meter in ("rapl", "hwmon")]
    assert all(lack.says and "\n" not in lack.says for lack in lacks)


def test_facts_keep_to_the_words_of_the_contract(tmp_path):
    for root in (rapl_laptop(tmp_path / "laptop"), raspberry_pmic(tmp_path / "pi")):
        for channel in channels(root).values():
            assert channel.facts.scope in SCOPES and channel.facts.unit in UNITS and channel.facts.covers


# ---------------------------------------------------------------- the sampler over them


def test_a_laptops_counters_are_read_at_the_sensors_rate_and_kept_raw(tmp_path):
    run = Run(rapl_laptop(tmp_path), "rapl")
    for step in range(1, 4):
        run.at(step * 5_000_000, tmp_path, **{f"{ZONE}/energy_uj": 261_000_000_000 + step * 61})
    run.at(17_000_000)  # 2 ms later: nothing is due
    trace = run.traces()["package-0"]
    assert trace.at_ns == [0, 5_000_000, 10_000_000, 15_000_000, 17_000_000]
    assert trace.values == [261_000_000_000 + step * 61 for step in (0, 1, 2, 3, 3)]
    assert trace.trouble is None


def test_a_sensor_that_vanishes_says_so_and_the_others_go_on(tmp_path):
    run = Run(rapl_laptop(tmp_path), "rapl")
    shutil.rmtree(tmp_path / "sys/class/powercap/intel-rapl:0:2")
    write(tmp_path, {"sys/class/powercap/intel-rapl:0:0/energy_uj": "\0\0"})
    for step in range(1, 4):
        run.at(step * 5_000_000)
    traces = run.traces()
    assert traces["package-0/dram"].values == [50_000_000_000]
    assert traces["package-0/dram"].trouble == "it can't be read any more: No such file or directory"
    assert "no number" in traces["package-0/core"].trouble
    assert len(traces["package-0"].values) == 5 and traces["package-0"].trouble is None


def test_a_sensor_that_sticks_is_seen_to_stick(tmp_path):
    run = Run(raspberry_pmic(tmp_path), "raspberry")
    for step in range(1, 3):
        run.at(step * 50_000_000)
    assert run.traces()["PMIC"].values == [1_766_707] * 4, "raw readings show that nothing moved; none is made up"


def test_the_pi_is_asked_again_for_each_reading(tmp_path):
    run = Run(raspberry_pmic(tmp_path), "raspberry")
    run.at(50_000_000, tmp_path, pmic=PMIC.format(core_a="3.00000000"))
    run.at(100_000_000, tmp_path, pmic="error=1")
    trace = run.traces()["PMIC"]
    assert trace.values == [1_766_707, 3_638_600]  # and 2.43741 A more at 0.7679846 V are 1.87189334 W
    assert trace.trouble == "vcgencmd said: error=1"


def test_a_command_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(raspberry, "LIMIT_S", 0.05)
    raspberry_pmic(tmp_path)
    write(tmp_path, {"usr/bin/vcgencmd": "#!/bin/sh\nexec sleep 5"})
    (lack,) = missing(tmp_path, "raspberry")
    assert lack.kind == "broken" and "did not answer within 0.05 s" in lack.says


def test_a_sum_of_packages_is_told_only_where_all_can_be_read(tmp_path):
    for number, joules in ((0, "1234"), (1, "0")):
        zone = f"sys/class/powercap/intel-rapl:{number}"
        write(tmp_path, {f"{zone}/name": f"package-{number}", f"{zone}/energy_uj": joules})
    (only,) = channels(tmp_path, "rapl").values()
    assert (only.facts.name, only.facts.sums_to) == ("package-0", None)
    assert only.facts.covers.startswith("1 of 2 packages: ")
    assert [lack.kind for lack in missing(tmp_path, "rapl")] == ["broken"]


def test_a_sum_of_sockets_is_told_only_where_all_can_be_read(tmp_path):
    folder = "sys/class/hwmon/hwmon0"
    files = {f"{folder}/name": "amd_energy"}
    for number, joules in ((1, "1234"), (2, "0")):
        files |= {f"{folder}/energy{number}_label": f"Esocket{number - 1}", f"{folder}/energy{number}_input": joules}
    write(tmp_path, files)
    (only,) = channels(tmp_path, "hwmon").values()
    assert only.facts.sums_to is None
    assert [lack.kind for lack in missing(tmp_path, "hwmon")] == ["broken"]
