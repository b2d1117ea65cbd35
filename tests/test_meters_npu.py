"""Meters of Hailo, Apple and DRM GPUs: against stand-ins with the makers' names, and trees of the kernel's layout.

None of this was run on hardware.
"""

import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import write

from whichpu.reports import meters as reports
from whichpu.results import energy
from whichpu.worker import meters, wire
from whichpu.worker.meters import apple, drm, hailo
from whichpu.worker.meters.sampler import Sampler

STANDINS = Path(__file__).parent / "standins"
BOARD = "0000:03:00.0"


def channels(found):
    return {one.facts.name: one for one in found if isinstance(one, meters.Channel)}


def missing(found):
    return [one for one in found if isinstance(one, wire.Missing)]


class Clock:
    """CLOCK_MONOTONIC of a test: each sweep takes no time."""

    def __init__(self):
        self.now_ns = 1_000_000_000

    def sampled(self, found, around, windows_ns, pids=(), between=lambda turn: None):
        """One window in which all that is due is read every 10 ms."""
        sampler = Sampler([one for one in found if isinstance(one, meters.Channel)], around, now=lambda: self.now_ns)
        around.pids = list(pids)
        sampler.begin([])
        for turn in range(windows_ns // 10_000_000):
            self.now_ns += 10_000_000
            between(turn)
            sampler.sweep()
        sampler.end()
        return sampler.sampled.traces


# ---------------------------------------------------------------- Hailo


@pytest.fixture
def hailort(monkeypatch):
    """The stand-in for HailoRT, without devices."""
    monkeypatch.syspath_prepend(str(STANDINS))
    monkeypatch.delenv("HAILO_MONITOR", raising=False)
    monkeypatch.delenv("HAILO_MONITOR_TIME_INTERVAL", raising=False)
    import hailo_platform

    hailo_platform.modules.clear()
    yield hailo_platform
    del sys.modules["hailo_platform"]


def test_a_machine_without_a_trace_of_hailo_hears_nothing(tmp_path):
    assert hailo.find(meters.Around(str(tmp_path))) == []


def test_a_device_without_the_package_says_what_to_install(tmp_path):
    write(tmp_path, {"dev/hailo0": ""})
    (gap,) = hailo.find(meters.Around(str(tmp_path)))
    assert (gap.kind, gap.quantity) == ("not-present", "all")
    assert "hailo_platform" in gap.says
    assert "pip install hailort" in gap.remedy


def test_a_package_without_a_device_says_so(hailort, tmp_path):
    (gap,) = hailo.find(meters.Around(str(tmp_path)))
    assert (gap.kind, gap.says) == ("not-present", "HailoRT finds no device")


def test_a_file_that_may_not_be_opened_names_the_command(hailort, tmp_path, monkeypatch):
    write(tmp_path, {"dev/hailo0": ""})
    monkeypatch.setattr(hailo.os, "access", lambda path, mode: False)
    (gap,) = hailo.find(meters.Around(str(tmp_path)))
    assert gap.kind == "not-permitted"
    assert gap.remedy == f"sudo chmod a+rw {tmp_path}/dev/hailo0"


def test_a_modules_power_is_read_in_microwatts(hailort, tmp_path):
    hailort.modules[BOARD] = hailort.Module(watts=[0.9, 1.25, 2.5000004, 0.0])
    around = meters.Around(str(tmp_path))
    power = channels(hailo.find(around))["power"]
    facts = power.facts
    assert (facts.quantity, facts.unit, facts.scope, facts.period_ns) == ("power", "uW", "npu", 2_200_000)
    assert "overcurrent protection" in facts.covers
    assert [power.read(), power.read(), power.read()] == [
        1_250_000,
        2_500_000,
        0,
    ]  # a zero later is the host's to judge


def test_the_evaluation_board_sums_rails(hailort, tmp_path):
    hailort.modules[BOARD] = hailort.Module(watts=[1.5], current_monitoring=False)
    facts = channels(hailo.find(meters.Around(str(tmp_path))))["power"].facts
    assert facts.scope == "rails"
    assert "VDD_CORE" in facts.covers


def test_a_module_without_a_sensor_has_no_power_and_never_zero(hailort, tmp_path):
    hailort.modules[BOARD] = hailort.Module(watts=[])
    found = hailo.find(meters.Around(str(tmp_path)))
    assert set(channels(found)) == {"chip"}
    (gap,) = [one for one in missing(found) if one.quantity == "power"]
    assert gap.kind == "not-present"
    assert "HailoRTUnsupportedOpcodeException" in gap.says
    assert "whichpu join" in gap.says


def test_a_module_that_reads_nothing_but_zero_is_not_measured(hailort, tmp_path):
    hailort.modules[BOARD] = hailort.Module(watts=[0.0])
    found = hailo.find(meters.Around(str(tmp_path)))
    assert "power" not in channels(found)
    assert [one.kind for one in missing(found) if one.quantity == "power"] == ["broken"]


def test_a_device_that_is_held_says_by_whom_to_ask(hailort, tmp_path):
    hailort.modules[BOARD] = hailort.Module(watts=[1.0], in_use=True)
    gap = missing(hailo.find(meters.Around(str(tmp_path))))[0]
    assert gap.kind == "not-permitted"
    assert "HAILO_DEVICE_IN_USE" in gap.says
    assert "fuser" in gap.remedy


def test_two_modules_are_told_apart(hailort, tmp_path):
    other = "0000:04:00.0"
    hailort.modules.update({BOARD: hailort.Module(watts=[1.0]), other: hailort.Module(watts=[2.0])})
    found = channels(hailo.find(meters.Around(str(tmp_path))))
    assert found[f"power {BOARD}"].read() == 1_000_000
    assert found[f"power {other}"].read() == 2_000_000


def test_the_hotter_sensor_is_asked_seldom_and_the_rest_of_the_turns_are_no_news(hailort, tmp_path):
    hailort.modules[BOARD] = module = hailort.Module(watts=[1.0], temperatures=[(40.0, 41.5), (42.25, 41.0), (43, 44)])
    around = meters.Around(str(tmp_path))
    found = hailo.find(around)
    _, chip = Clock().sampled(found, around, 500_000_000)
    assert chip.values == [42_250, 44_000, 44_000]
    assert chip.trouble is None
    assert module.asked.count("temperature") == 4  # one when it was found


def test_a_modules_joules_by_hand(hailort, tmp_path):
    """1 W for 40 ms, a straight line to 3 W in 10 ms, 3 W for 50 ms: 0.04 + 0.02 + 0.15 J."""
    hailort.modules[BOARD] = hailort.Module(watts=[1.0, *[1.0] * 5, *[3.0] * 7])
    around = meters.Around(str(tmp_path))
    found = hailo.find(around)
    clock = Clock()
    power, _ = clock.sampled(found, around, 100_000_000)
    facts = channels(found)["power"].facts
    began_ns = power.at_ns[0]
    assert energy.joules(facts, power.at_ns, power.values, began_ns, began_ns + 100_000_000) == 0.21


def test_a_device_that_falls_off_the_bus_ends_its_trace_alone(hailort, tmp_path):
    hailort.modules[BOARD] = module = hailort.Module(watts=[1.0])
    around = meters.Around(str(tmp_path))

    def vanish(turn):
        if turn == 4:
            module.watts = []

    power, chip = Clock().sampled(hailo.find(around), around, 100_000_000, between=vanish)
    assert len(power.values) == 5
    assert "HailoRTUnsupportedOpcodeException" in power.trouble
    assert chip.trouble is None


# ---------------------------------------------------------------- Hailo's monitor


def varint(number):
    octets = []
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def field(number, value):
    """One field as protobuf writes it: whole numbers, floats as doubles, texts and messages."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def proto_mon(pid, percent, device=BOARD):
    """``ProtoMon`` with a network, its frames, and a device; proto3 leaves a zero out."""
    network = field(1, "yolov6n") + field(2, 120.5) + field(3, 81.0)
    frames = field(1, "yolov6n") + field(2, field(1, "in") + field(2, 1) + field(3, 8))
    told = field(1, device) + (field(2, percent) if percent else b"") + field(3, "HAILO8L")
    return field(1, str(pid)) + field(2, network) + field(3, frames) + field(4, told)


def test_a_device_utilisation_is_read_from_the_monitor():
    assert hailo.utilisation(proto_mon(77, 81.26), BOARD, [77]) == 81.26
    assert hailo.utilisation(proto_mon(77, 0.0), BOARD, [77]) == 0.0  # told, as proto3 tells a zero
    assert hailo.utilisation(proto_mon(77, -1.0), BOARD, [77]) is None  # HailoRT's "not a number"
    assert hailo.utilisation(proto_mon(78, 81.0), BOARD, [77]) is None  # another process
    assert hailo.utilisation(proto_mon(77, 81.0, "0000:05:00.0"), BOARD, [77]) is None
    assert hailo.utilisation(field(1, "77") + field(2, field(1, "old")), BOARD, [77]) is None  # before device_infos


@pytest.mark.parametrize("cut", [1, 7, 30, 60])
def test_a_message_cut_short_is_never_a_figure(cut):
    message = proto_mon(77, 81.0)
    with pytest.raises(meters.Gone, match="can't be read"):
        hailo.utilisation(message[: len(message) - cut], BOARD, [77])


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(message):
    try:
        told = hailo.utilisation(message, BOARD, [77])
    except meters.Gone:
        return
    assert told is None or told >= 0


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 2**64 - 1) | st.binary(max_size=300)), max_size=6))
def test_what_protobuf_writes_is_what_is_read(told):
    assert [*hailo.fields(b"".join(field(number, value) for number, value in told))] == told


def test_only_fresh_files_of_the_measured_process_count(tmp_path):
    around = meters.Around(str(tmp_path), pids=[77])
    monitor = hailo.Monitor(around, BOARD, 1000, now=lambda: 5000.0)
    assert monitor.read() is None
    folder = tmp_path / "tmp" / "hmon_files"
    folder.mkdir(parents=True)
    for name, pid, percent, age_s in [("77abc", 77, 81.26, 1.2), ("78def", 78, 5.0, 0.1), ("77abc.tmp", 77, 9.0, 0.0)]:
        (folder / name).write_bytes(proto_mon(pid, percent))
        os.utime(folder / name, (5000 - age_s, 5000 - age_s))
    assert monitor.read() == 813
    os.utime(folder / "77abc", (4998.4, 4998.4))  # 1.6 s old: frozen since, or dead
    assert monitor.read() is None


def test_utilisation_is_offered_where_it_was_asked_for(hailort, tmp_path, monkeypatch):
    hailort.modules[BOARD] = hailort.Module(watts=[1.0])
    around = meters.Around(str(tmp_path))
    (gap,) = [one for one in missing(hailo.find(around)) if one.quantity == "utilisation"]
    assert gap.remedy == "HAILO_MONITOR=1 whichpu run ..."
    monkeypatch.setenv("HAILO_MONITOR", "1")
    monkeypatch.setenv("HAILO_MONITOR_TIME_INTERVAL", "50")
    busy = channels(hailo.find(around))["busy"]
    assert (busy.facts.unit, busy.facts.period_ns) == ("permille", 50_000_000)
    (trace,) = Clock().sampled([busy], around, 100_000_000, pids=[77])
    assert (trace.values, trace.trouble) == ([], None)  # no news is no figure, and no trouble


# ---------------------------------------------------------------- Apple


FIELDS = ("cpu_total_mj", "gpu_mj", "gpu_sram_mj", "ane_mj", "dram_mj")


class AppleEnergyMonitor:
    """zeus_apple_silicon's, on a chip without a counter for the GPU's SRAM."""

    told: ClassVar[dict] = {}

    def get_cumulative_energy(self):
        return SimpleNamespace(**{field: self.told.get(field) for field in FIELDS})


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(apple.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(apple.platform, "machine", lambda: "arm64")
    package = SimpleNamespace(AppleEnergyMonitor=AppleEnergyMonitor)
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", package)
    monkeypatch.setattr(apple.importlib.util, "find_spec", lambda name: package)
    AppleEnergyMonitor.told = {"cpu_total_mj": 1000, "gpu_mj": 200, "ane_mj": 5, "dram_mj": 300}
    return package


def test_other_systems_hear_nothing_of_apple():
    assert apple.find(meters.Around()) == []


def test_a_mac_without_the_package_says_what_to_install(mac, monkeypatch):
    monkeypatch.setattr(apple.importlib.util, "find_spec", lambda name: None)
    (gap,) = apple.find(meters.Around())
    assert (gap.kind, gap.remedy) == ("not-present", "pip install zeus-apple-silicon")


def test_the_soc_is_the_sum_of_what_this_chip_tells(mac):
    found = channels(apple.find(meters.Around()))
    assert [one.facts.scope for one in found.values()] == ["package", "cores", "gpu", "npu", "dram"]
    assert found["soc"].read() == 1505
    assert {one.facts.part_of for name, one in found.items() if name != "soc"} == {"soc"}
    assert all(one.facts.counter and one.facts.unit == "mJ" for one in found.values())
    assert found["soc"].facts.covers == "the SoC's parts together: cpu, gpu, ane, dram"
    AppleEnergyMonitor.told = dict(AppleEnergyMonitor.told, gpu_mj=None)
    with pytest.raises(meters.Gone, match="no longer tells gpu_mj"):
        found["soc"].read()


def test_a_mac_that_tells_nothing_says_so(mac):
    AppleEnergyMonitor.told = {}
    (gap,) = apple.find(meters.Around())
    assert gap.kind == "not-present"


def test_counters_that_stand_still_refuse_the_sum(mac):
    around = meters.Around()

    def work(turn):
        told = AppleEnergyMonitor.told
        AppleEnergyMonitor.told = dict(told, gpu_mj=told["gpu_mj"] + 3, dram_mj=told["dram_mj"] + 1)

    soc = Clock().sampled(apple.find(around), around, 50_000_000, between=work)[0]
    assert soc.values == [1505, 1509, 1513, 1517, 1521, 1525, 1525]
    assert "did not move the counter cpu_total_mj" in soc.trouble
    assert "powermetrics" in soc.trouble

    def all_work(turn):
        work(turn)
        told = AppleEnergyMonitor.told
        AppleEnergyMonitor.told = dict(told, cpu_total_mj=told["cpu_total_mj"] + 9)  # the ANE may well stand still

    assert Clock().sampled(apple.find(around), around, 50_000_000, between=all_work)[0].trouble is None


# ---------------------------------------------------------------- GPUs in DRM


def card(root, number, driver, slot, **files):
    folder = f"sys/class/drm/card{number}"
    write(root, {f"{folder}/device/uevent": f"DRIVER={driver}\nPCI_CLASS=30000\nPCI_SLOT_NAME={slot}"})
    write(root, {f"{folder}-DP-1/status": "connected", **{f"{folder}/device/{name}": to for name, to in files.items()}})


def client(root, pid, number, opens="/dev/dri/renderD128", **keys):
    """A descriptor of a process; ``drm_client_id=7`` stands for ``drm-client-id:\\t7``."""
    link = root / f"proc/{pid}/fd/{number}"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(opens)
    lines = ["pos:\t0", "flags:\t02", *(f"{key.replace('_', '-')}:\t{value}" for key, value in keys.items())]
    write(root, {f"proc/{pid}/fdinfo/{number}": "\n".join(lines)})


def radeon(root):
    card(root, 1, "amdgpu", BOARD, gpu_busy_percent=37, mem_info_vram_used=1234567168, mem_info_gtt_used=4096)


def test_a_machine_without_such_a_gpu_hears_nothing(tmp_path):
    card(tmp_path, 0, "nvidia", BOARD)
    assert drm.find(meters.Around(str(tmp_path))) == []


def test_a_radeon_is_read(tmp_path):
    radeon(tmp_path)
    found = channels(drm.find(meters.Around(str(tmp_path))))
    assert list(found) == ["card1 busy", "card1 vram", "card1 gtt", "card1 process vram", "card1 gfx", "card1 compute"]
    assert [found[name].read() for name in list(found)[:3]] == [37, 1234567168, 4096]
    assert [one.facts.scope for one in found.values()] == ["gpu"] * 3 + ["process"] * 3
    (tmp_path / "sys/class/drm/card1/device/gpu_busy_percent").unlink()
    with pytest.raises(FileNotFoundError):
        found["card1 busy"].read()


def test_a_radeon_whose_driver_tells_less_says_what_is_missing(tmp_path):
    card(tmp_path, 0, "amdgpu", BOARD, mem_info_vram_used=1, gpu_busy_percent="nothing")
    found = drm.find(meters.Around(str(tmp_path)))
    assert [(one.quantity, one.kind) for one in missing(found)] == [
        ("utilisation", "broken"),
        ("memory", "not-present"),
    ]
    assert "card0 vram" in channels(found)


def test_a_processes_memory_counts_each_client_once(tmp_path):
    radeon(tmp_path)
    around = meters.Around(str(tmp_path), pids=[5, 6])
    vram = channels(drm.find(around))["card1 process vram"]
    vram.begin()
    assert vram.read() is None  # it has not opened the GPU: that is not zero bytes
    keys = {"drm_driver": "amdgpu", "drm_pdev": BOARD}
    client(tmp_path, 5, 3, **keys, drm_client_id=1, drm_memory_vram="2048 KiB")
    client(tmp_path, 5, 4, **keys, drm_client_id=1, drm_memory_vram="2048 KiB")  # the same, opened twice
    client(tmp_path, 5, 5, **keys, drm_client_id=2, drm_resident_vram="1 MiB", drm_memory_vram="7 MiB")
    client(tmp_path, 6, 9, **keys, drm_client_id=3, drm_resident_vram="5")
    client(tmp_path, 6, 10, drm_pdev="0000:0a:00.0", drm_client_id=4, drm_resident_vram="9 MiB")  # another card
    client(tmp_path, 6, 11, opens="/dev/null", **keys, drm_client_id=5, drm_resident_vram="9 MiB")
    client(tmp_path, 7, 3, **keys, drm_client_id=6, drm_resident_vram="9 MiB")  # another process
    vram.begin()
    assert vram.read() == (2 << 20) + (1 << 20) + 5


def test_an_engines_time_never_falls_and_is_kept_in_whole_microseconds(tmp_path):
    card(tmp_path, 0, "i915", "0000:00:02.0")
    around = meters.Around(str(tmp_path))
    found = drm.find(around)
    render = channels(found)["card0 render"]
    assert render.facts.counter
    keys = {"drm_driver": "i915", "drm_pdev": "0000:00:02.0", "drm_client_id": 7}
    busy_ns = iter([1_000_999, 2_000_000, 1_500_000, 3_000_000, 3_000_000, 3_000_000])

    def work(turn):
        client(tmp_path, 5, 3, **keys, drm_engine_render=f"{next(busy_ns)} ns", drm_engine_video="9999999 ns")

    work(0)
    (trace,) = Clock().sampled([render], around, 40_000_000, pids=[5], between=work)
    assert trace.values == [1000, 2000, 2000, 3000, 3000, 3000]
    (trace,) = Clock().sampled([channels(found)["card0 compute"]], around, 10_000_000, pids=[5])
    assert (trace.values, trace.trouble) == ([], None)  # this driver tells no such engine


def test_xe_tells_memory_of_both_tiles(tmp_path):
    card(tmp_path, 0, "xe", BOARD)
    around = meters.Around(str(tmp_path), pids=[5])
    found = channels(drm.find(around))
    assert list(found) == ["card0 process vram"]
    client(tmp_path, 5, 3, drm_pdev=BOARD, drm_client_id=3, drm_resident_vram0="23992 KiB", drm_resident_vram1="8 KiB")
    found["card0 process vram"].begin()
    assert found["card0 process vram"].read() == 24_000 * 1024


def test_all_three_are_in_the_table(tmp_path):
    assert {"drm", "hailo", "apple"} <= set(meters.METERS)
    assert meters.find(meters.Around(str(tmp_path)), ["drm", "hailo", "apple"]) == []
    radeon(tmp_path)
    for one in channels(meters.find(meters.Around(str(tmp_path)), ["drm"])).values():
        assert one.facts.unit in meters.UNITS
        assert one.facts.scope in meters.SCOPES
        assert one.facts.quantity in meters.QUANTITIES


def test_a_counter_of_busy_time_is_told_as_a_share():
    facts = wire.Channel("drm", "card0 render", "utilisation", "us", "process", "fdinfo", counter=True)
    found = wire.FoundMeters([facts], [])
    sampled = wire.Sampled([wire.Trace(0, [1_000_000_000, 1_500_000_000], [7_000, 132_000])], 2, 0)
    (row,) = reports.rows(found, sampled)
    assert (row.quantity, row.unit, row.value) == ("utilisation", "1", 0.25)
