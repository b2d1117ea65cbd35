"""Rails, load and heat of Jetson boards from fake trees of their real layouts, down to joules reckoned by hand."""

import made_metered
import pytest
import trees

from whichpu.results import energy
from whichpu.results.column import pack
from whichpu.results.schema import Metered, MeterWindow, Trace
from whichpu.worker import meters, wire
from whichpu.worker.meters import cpu, jetson, sampler, thermal
from whichpu.worker.rails import SUM, rails

I2C = "sys/bus/i2c/drivers"
S, MS = 1_000_000_000, 1_000_000


def tegra(root, **files):
    trees.write(root, {"proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0"})
    trees.write(root, files)
    return root


def iio(root, chip, number, rail_mw, mode=1, settings=0x7727):
    """A power monitor under NVIDIA's driver of Jetson Linux 32."""
    folder = f"{I2C}/ina3221x/{chip}/iio:device{number}"
    trees.write(root, {f"{folder}/running_mode": mode, f"{I2C}/ina3221x/{chip}/name": "ina3221x"})
    for index, (name, mw) in enumerate(rail_mw.items()):
        trees.write(root, {f"{folder}/rail_name_{index}": name, f"{folder}/in_power{index}_input": mw})
        trees.write(root, {f"{folder}/in_power{index}_trigger_input": 0})
    path = root / f"{I2C}/ina3221x/{chip}/of_node"
    path.mkdir(parents=True, exist_ok=True)
    (path / "ti,continuous-config").write_bytes(settings.to_bytes(4, "big"))
    (path / "ti,trigger-config").write_bytes((0x7003).to_bytes(4, "big"))


def hwmon(root, chip, number, rails, samples=1):
    """A power monitor under the kernel's driver: mV and mA of each rail."""
    folder = f"{I2C}/ina3221/{chip}/hwmon/hwmon{number}"
    files = {"name": "ina3221", "update_interval": 7, "samples": samples, "curr4_input": 0}
    files |= {"in7_label": "sum of shunt voltages", "in7_input": 3600, "in4_input": 1200}
    for index, (name, mv, ma) in enumerate(rails, 1):
        files |= {f"in{index}_label": name, f"in{index}_input": mv, f"curr{index}_input": ma}
    trees.write(root, {f"{folder}/{name}": value for name, value in files.items()})


def agx_xavier_4(root, gpu=155, cpu=466, soc=932, cv=0, ddr=621, sys5v=1482):
    iio(root, "1-0040", 0, {"GPU": gpu, "CPU": cpu, "SOC": soc})
    iio(root, "1-0041", 1, {"CV": cv, "VDDRQ": ddr, "SYS5V": sys5v})
    return tegra(root)


def agx_xavier_5(root):
    hwmon(root, "1-0040", 3, [("GPU", 19_104, 16), ("CPU", 19_104, 48), ("SOC", 19_104, 80)])
    hwmon(root, "1-0041", 4, [("CV", 19_104, 0), ("VDDRQ", 19_104, 32), ("SYS5V", 4_968, 300)])
    return tegra(root)


def agx_orin(root, gpu=(19_800, 160), cpu=(19_800, 40), sys5v=(4_968, 800), ddr=(4_968, 80)):
    hwmon(root, "1-0040", 3, [("VDD_GPU_SOC", *gpu), ("VDD_CPU_CV", *cpu), ("VIN_SYS_5V0", *sys5v)])
    hwmon(root, "1-0041", 4, [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", *ddr), ("NC", 0, 0)])
    return tegra(root)


def found(root, module=jetson):
    around = meters.Around(str(root))
    here = module.find(around)
    channels = [one for one in here if isinstance(one, meters.Channel)]
    return channels, [one for one in here if isinstance(one, wire.Missing)]


def power(channels):
    return {one.facts.name: one for one in channels if one.facts.quantity == "power"}


class Bench:
    """A sampler whose clock stands still until it is told."""

    def __init__(self, channels, around=None):
        self.at_ns = 0
        self.sampler = sampler.Sampler(channels, around or meters.Around(), now=lambda: self.at_ns)
        self.sampler.begin([])

    def at(self, ms):
        self.at_ns = ms * MS
        self.sampler.sweep(all_of_them=True)

    def traces(self):
        """Times in ms and values of each channel."""
        traces = zip(self.sampler.channels, self.sampler.sampled.traces, strict=True)
        return {one.facts.name: ([at_ns // MS for at_ns in trace.at_ns], trace.values) for one, trace in traces}

    def joules(self, name, begin_ms, end_ms):
        """What the analysis makes of one channel."""
        for one, trace in zip(self.sampler.channels, self.sampler.sampled.traces, strict=True):
            if one.facts.name == name:
                return energy.joules(one.facts, trace.at_ns, trace.values, begin_ms * MS, end_ms * MS)
        raise KeyError(name)


# ---------------------------------------------------------------- layouts


def test_agx_xavier_of_jetpack_4_has_six_rails_and_no_total(tmp_path):
    channels, missing = found(agx_xavier_4(tmp_path))
    rails = power(channels)
    assert list(rails) == ["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]
    assert {(one.facts.scope, one.facts.sums_to, one.facts.unit) for one in rails.values()} == {("rails", SUM, "mW")}
    assert [one.read() for one in rails.values()] == [155, 466, 932, 0, 621, 1482]
    # 0x7727: three channels of 1.1 ms for each of both voltages, averaged over 64: 6.6 ms, and 5 x 64 x 6.6 ms.
    assert {(one.facts.period_ns, one.facts.averages_ns) for one in rails.values()} == {(6_600_000, 2_112_000_000)}
    assert "DLA and PVA" in rails["CV"].facts.covers
    assert "not the carrier board" in rails["SYS5V"].facts.covers
    assert [(one.quantity, one.kind) for one in missing] == [("utilisation", "not-present")] * 2


def test_a_monitor_that_converts_when_read_averages_nothing(tmp_path):
    iio(tegra(tmp_path), "7-0040", 0, {"VDD_IN": 5000, "VDD_CPU_GPU_CV": 900, "VDD_SOC": 1300}, mode=0)
    rails = power(found(tmp_path)[0])
    # 0x7003: three channels of 140 us for each of both voltages.
    assert {(one.facts.period_ns, one.facts.averages_ns) for one in rails.values()} == {(840_000, 0)}
    assert [one.facts.scope for one in rails.values()] == ["module", "rail", "rail"]
    assert [one.facts.part_of for one in rails.values()] == [None, "VDD_IN", "VDD_IN"]


def test_without_the_chip_s_settings_its_times_are_unknown(tmp_path):
    root = agx_xavier_4(tmp_path)
    for path in root.glob(f"{I2C}/ina3221x/*/of_node/*"):
        path.unlink()
    assert {one.facts.period_ns for one in power(found(root)[0]).values()} == {None}


def test_agx_xavier_of_jetpack_5(tmp_path):
    rails = power(found(agx_xavier_5(tmp_path))[0])
    assert {name: one.read() for name, one in rails.items()} == {
        "GPU": 305_664, "CPU": 916_992, "SOC": 1_528_320, "CV": 0, "VDDRQ": 611_328, "SYS5V": 1_490_400,
    }  # fmt: skip
    assert {(one.facts.scope, one.facts.unit, one.facts.period_ns) for one in rails.values()} == {
        ("rails", "uW", 7 * MS)
    }


def test_agx_orin_counts_dram_once(tmp_path):
    rails = power(found(agx_orin(tmp_path))[0])
    assert [(name, one.facts.scope, one.facts.sums_to, one.facts.part_of) for name, one in rails.items()] == [
        ("VDD_GPU_SOC", "rails", SUM, None),
        ("VDD_CPU_CV", "rails", SUM, None),
        ("VIN_SYS_5V0", "rails", SUM, None),
        ("VDDQ_VDD2_1V8AO", "rail", None, "VIN_SYS_5V0"),
    ]
    assert "can't be told from the CPU's" in rails["VDD_CPU_CV"].facts.covers


def test_a_chip_that_averages_says_how_long(tmp_path):
    hwmon(tegra(tmp_path), "1-0040", 3, [("VDD_IN", 5_000, 1_000)], samples=16)
    assert power(found(tmp_path)[0])["VDD_IN"].facts.averages_ns == 5 * 16 * 7 * MS


def test_devices_without_their_driver_s_folder(tmp_path):
    folder = "sys/bus/i2c/devices/1-0040"
    trees.write(tegra(tmp_path), {f"{folder}/name": "ina3221", f"{folder}/hwmon/hwmon1/in1_label": "VDD_IN",
                                  f"{folder}/hwmon/hwmon1/in1_input": 5_000,
                                  f"{folder}/hwmon/hwmon1/curr1_input": 1_000})  # fmt: skip
    trees.write(tmp_path, {"sys/bus/i2c/devices/1-0041/name": "ina219"})
    assert [one.read() for one in power(found(tmp_path)[0]).values()] == [5_000_000]


def test_a_rail_that_can_t_be_read_leaves_no_sum(tmp_path, monkeypatch):
    root = agx_orin(tmp_path)
    kept, real = f"{root}/{I2C}/ina3221/1-0040/hwmon/hwmon3/", open
    denied = {kept + "curr2_input": PermissionError(13, "no")}

    def closed(path, *arguments, **more):
        if str(path) in denied:
            raise denied[str(path)]
        return real(path, *arguments, **more)

    monkeypatch.setattr("builtins.open", closed)
    channels, missing = found(root)
    assert {one.facts.sums_to for one in power(channels).values()} == {None}
    told = missing[0]
    assert (told.quantity, told.kind, told.says) == ("power", "not-permitted", "VDD_CPU_CV is only for root")
    assert told.remedy == f"sudo chmod a+r {kept}in2_input {kept}curr2_input"


def test_a_channel_that_is_switched_off_is_left_out(tmp_path, monkeypatch):
    root = agx_orin(tmp_path)
    real = jetson._problem
    off = "curr2_input"
    monkeypatch.setattr(jetson, "_problem", lambda paths: 61 if any(off in path for path in paths) else real(paths))
    channels, missing = found(root)
    assert list(power(channels)) == ["VDD_GPU_SOC", "VIN_SYS_5V0"]
    assert all(one.quantity == "utilisation" for one in missing)


def test_rails_of_an_unknown_board_are_rails(tmp_path):
    folder = f"{I2C}/ina3221/1-0040/hwmon/hwmon3"
    hwmon(tegra(tmp_path), "1-0040", 3, [("CVB_ATX_12V", 12_000, 500), ("CVB_ATX_12V", 12_000, 100)])
    trees.write(tmp_path, {f"{folder}/in3_input": 5_000, f"{folder}/curr3_input": 10})
    rails = power(found(tmp_path)[0])
    assert list(rails) == ["CVB_ATX_12V", "CVB_ATX_12V (2)", "1-0040 channel 3"]
    assert {(one.facts.scope, one.facts.sums_to, one.facts.part_of) for one in rails.values()} == {("rail", None, None)}


def test_other_machines_are_no_jetson(tmp_path):
    channels, missing = found(trees.laptop(tmp_path))
    assert (channels, [one.says for one in missing]) == ([], [])


def test_a_jetson_without_monitor_says_so(tmp_path):
    channels, missing = found(tegra(tmp_path))
    assert channels == []
    assert [(one.quantity, one.kind) for one in missing] == [("power", "not-present")] + [
        ("utilisation", "not-present")
    ] * 2


def test_totals_and_their_parts():
    tx2 = rails(["VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR"])
    assert tx2.pop("VDD_IN").scope == "module"
    assert {rail.part_of for rail in tx2.values()} == {"VDD_IN"}
    assert rails(["VIN"])["VIN"].scope == "rail"  # any board may have one


# ---------------------------------------------------------------- load, clock


@pytest.mark.parametrize(
    "path",
    ["gpu.0", "platform/gpu.0", "17000000.gv11b", "17000000.ga10b", "platform/17000000.ga10b",
     "platform/bus@0/17000000.gpu"],
)  # fmt: skip
def test_load_and_clock_of_the_gpu(tmp_path, path):
    trees.write(tegra(tmp_path), {f"sys/devices/{path}/load": 873})
    trees.write(tmp_path, {"sys/class/devfreq/15340000.vic/cur_freq": 115200000})
    trees.write(tmp_path, {"sys/class/devfreq/17000000.ga10b/cur_freq": 1300500000})
    channels, missing = found(tmp_path)
    told = {one.facts.quantity: (one.read(), one.facts.unit, one.facts.scope) for one in channels}
    assert told == {"utilisation": (873, "permille", "gpu"), "clock": (1_300_500, "kHz", "gpu")}
    assert [one.says for one in missing if one.quantity == "utilisation"] == [
        "a DLA tells no load: the kernel has no file for it"
    ]


# ---------------------------------------------------------------- joules by hand


def test_joules_of_agx_orin(tmp_path):
    channels, _ = found(agx_orin(tmp_path))
    bench = Bench(channels)
    agx_orin(tmp_path, gpu=(19_792, 1_240), cpu=(19_800, 48), sys5v=(4_960, 1_000))
    bench.at(250)
    agx_orin(tmp_path, gpu=(19_784, 1_480), cpu=(19_792, 56), sys5v=(4_960, 1_048))
    bench.at(1_000)
    assert bench.traces()["VDD_GPU_SOC"] == ([0, 250, 1_000], [3_168_000, 24_542_080, 29_280_320])
    # (3.168 + 24.54208) / 2 x 0.25 + (24.54208 + 29.28032) / 2 x 0.75 = 3.46376 + 20.1834
    assert bench.joules("VDD_GPU_SOC", 0, 1_000) == 23.64716
    # (0.792 + 0.9504) / 2 x 0.25 + (0.9504 + 1.108352) / 2 x 0.75 = 0.2178 + 0.772032
    assert bench.joules("VDD_CPU_CV", 0, 1_000) == 0.989832
    # (3.9744 + 4.96) / 2 x 0.25 + (4.96 + 5.19808) / 2 x 0.75 = 1.1168 + 3.80928
    assert bench.joules("VIN_SYS_5V0", 0, 1_000) == 4.92608
    # From 0.1 s on, where the line stands at 3.168 + 0.4 x 21.37408 = 11.717632:
    # (11.717632 + 24.54208) / 2 x 0.15 + 20.1834 = 2.7194784 + 20.1834
    assert bench.joules("VDD_GPU_SOC", 100, 1_000) == 22.9028784


def test_joules_of_agx_xavier_of_jetpack_4(tmp_path):
    channels, _ = found(agx_xavier_4(tmp_path))
    bench = Bench(channels)
    agx_xavier_4(tmp_path, gpu=9_180, cpu=1_398, soc=2_486, ddr=1_553, sys5v=1_864)
    bench.at(500)
    agx_xavier_4(tmp_path, gpu=9_335, cpu=1_243, soc=2_486, cv=775, ddr=1_553, sys5v=1_864)
    bench.at(2_000)
    # (0.155 + 9.18) / 2 x 0.5 + (9.18 + 9.335) / 2 x 1.5 = 2.33375 + 13.88625
    assert bench.joules("GPU", 0, 2_000) == 16.22
    assert bench.joules("CV", 0, 2_000) == 0.58125  # 0.775 / 2 x 1.5
    assert bench.joules("SYS5V", 0, 2_000) == 3.6325  # (1.482 + 1.864) / 2 x 0.5 + 1.864 x 1.5


def test_joules_of_agx_xavier_of_jetpack_5(tmp_path):
    channels, _ = found(agx_xavier_5(tmp_path))
    bench = Bench(channels)
    bench.at(3_000)
    assert bench.joules("VDDRQ", 0, 3_000) == 1.833984  # 19.104 V x 0.032 A x 3 s
    assert bench.joules("SYS5V", 0, 3_000) == 4.4712


def test_a_rail_that_vanishes_ends_alone(tmp_path):
    channels, _ = found(agx_orin(tmp_path))
    bench = Bench(channels)
    (tmp_path / f"{I2C}/ina3221/1-0040/hwmon/hwmon3/curr1_input").unlink()
    bench.at(100)
    traces = bench.sampler.sampled.traces
    assert traces[0].trouble == "it can't be read any more: No such file or directory"
    assert [len(trace.values) for trace in traces[:4]] == [1, 2, 2, 2]


# ---------------------------------------------------------------- GPU against DLA


def campaign(power_w):
    """An AGX Xavier: a contender on the GPU, one on the DLA, idle between them, in five rounds."""
    made = made_metered.campaign(contenders={"a": made_metered.Made(MS, 1.0), "b": made_metered.Made(MS, 1.0)})
    facts = rails(power_w)
    channels = [
        wire.Channel("jetson", name, "power", "mW", facts[name].scope, "x", facts[name].covers, period_ns=7 * MS,
                     sums_to=facts[name].sums_to) for name in power_w
    ]  # fmt: skip
    windows = []
    for position, contender in enumerate([None, "a", None, "b", None] * 5):
        from_ns = position * 2 * S
        times = range(0, 1_100 * MS, 5 * MS)
        traces = [
            Trace(channel=number, at_ns=pack(list(times)),
                  values=pack([mw[contender] + (index * 7 % 5 if mw[contender] else 0) for index in range(len(times))]))
            for number, mw in enumerate(power_w.values())
        ]  # fmt: skip
        windows.append(
            MeterWindow(round=position // 5, position=position, contender=contender, from_ns=from_ns,
                        began_ns=from_ns + 10 * MS, wall_ns=S, count=1000 if contender else 0, traces=traces)
        )  # fmt: skip
    made.metered = Metered(window_s=1.0, channels=channels, windows=windows)
    return made


def test_the_sum_holds_where_a_rail_is_not_used():
    idle = {"CPU": 300, "SOC": 900, "VDDRQ": 600, "SYS5V": 1400}
    power_w = {
        "GPU": {None: 0, "a": 9000, "b": 0},
        "CV": {None: 0, "a": 0, "b": 3000},
        **{name: {None: mw, "a": mw + 100, "b": mw + 100} for name, mw in idle.items()},
    }
    made = campaign(power_w)
    for result, watts in zip(made.results, (9 + 3.6, 3 + 3.6), strict=True):
        (whole,) = [row for row in energy.energy_figures(made, result) if row.source == f"jetson:{SUM}"]
        assert whole.missing == {}
        assert whole.scope == "rails"
        assert whole.power_w == pytest.approx(watts, abs=0.02)
    assert energy.primary(made) == f"jetson:{SUM}"


# ---------------------------------------------------------------- heat, CPU time


def test_temperatures_without_those_that_are_off(tmp_path):
    trees.write(trees.jetson(tmp_path), {"sys/class/thermal/thermal_zone2/type": "PMIC-Die",
                                         "sys/class/thermal/thermal_zone2/temp": 100_000,
                                         "sys/class/thermal/thermal_zone3/type": "GPU-therm",
                                         "sys/class/thermal/thermal_zone3/temp": 47_625})  # fmt: skip
    channels, _ = found(tmp_path, thermal)
    told = [(one.facts.name, one.facts.scope, one.facts.unit, one.read()) for one in channels]
    assert told == [("cpu-thermal", "package", "mC", 52_343), ("GPU-therm", "gpu", "mC", 47_625)]
    trees.write(tmp_path, {"sys/class/thermal/thermal_zone3/temp": -256_000})
    with pytest.raises(meters.Gone, match="the sensor is off"):
        channels[1].read()


def test_temperatures_of_a_laptop_and_of_a_graphics_card(tmp_path):
    trees.write(trees.laptop(tmp_path), {"sys/class/hwmon/hwmon5/name": "amdgpu",
                                         "sys/class/hwmon/hwmon5/temp1_input": 38_000,
                                         "sys/class/hwmon/hwmon6/name": "nvme",
                                         "sys/class/hwmon/hwmon6/temp1_input": 30_000})  # fmt: skip
    channels, _ = found(tmp_path, thermal)
    assert [(one.facts.name, one.facts.scope, one.read()) for one in channels] == [
        ("x86_pkg_temp", "package", 71_000),
        ("coretemp Package id 0", "package", 72_000),
        ("amdgpu temp1", "gpu", 38_000),
    ]


def test_no_temperature_says_so(tmp_path):
    channels, missing = found(tmp_path, thermal)
    assert (channels, [one.kind for one in missing]) == ([], ["not-present"])


def process(root, pid, user, system):
    trees.write(
        root, {f"proc/{pid}/stat": f"{pid} (a ) b) R 1 1 1 0 -1 4194304 1 0 0 0 {user} {system} 9 9 20 0 1 0 1"}
    )


def test_cpu_time(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu.os, "sysconf", lambda name: 100)
    trees.stat(tmp_path, 4, busy=100, idle=1000, steal=7)
    process(tmp_path, 41, 3, 2)
    process(tmp_path, 42, 10, 0)
    around = meters.Around(str(tmp_path), [41, 42])
    ours, all_cpus = cpu.find(around)
    assert (ours.facts.scope, ours.facts.unit, ours.facts.counter, ours.facts.period_ns) == (
        "process",
        "us",
        True,
        10 * MS,
    )
    assert (ours.read(), all_cpus.read()) == (150_000, 4_000_000)
    process(tmp_path, 41, 13, 2)
    assert ours.read() == 250_000
    around.pids = [41, 43]
    with pytest.raises(meters.Gone, match="process 43 ended"):
        ours.read()
    around.pids = []
    with pytest.raises(meters.Gone, match="no process was named"):
        ours.read()


def test_cpu_time_elsewhere(tmp_path):
    (missing,) = cpu.find(meters.Around(str(tmp_path)))
    assert (missing.kind, missing.quantity) == ("not-present", "cpu-time")


def test_cpu_time_of_this_process():
    import os

    around = meters.Around("/", [os.getpid()])
    ours, all_cpus = cpu.find(around)
    before = ours.read()
    while ours.read() == before:
        sum(range(10_000))
    assert 0 < ours.read() <= all_cpus.read()


def test_every_rail_has_words():
    from whichpu.worker.rails import HOLDS, SUMMED, TOTALS

    assert {name for whole in SUMMED for name in whole} <= set(HOLDS)
    assert {name for _, _, parts in TOTALS.values() for name in parts} <= set(HOLDS)
