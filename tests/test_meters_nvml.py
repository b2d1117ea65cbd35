"""NVML through a stand-in library with the vendor's names, signatures and structures, built here from C."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trees import write

from whichpu.worker import wire
from whichpu.worker.meters import METERS, UNITS, Around, Channel, Gone, nvml, sampler

SOURCE = Path(__file__).parent / "standins" / "nvml.c"
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
GIB = 1 << 30


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The stand-in as a new and as an old driver has it."""
    if COMPILER is None:
        pytest.skip("no C compiler on this machine: the stand-in for NVML can't be built")
    folder = tmp_path_factory.mktemp("nvml")
    made = {old: folder / f"{'old' if old else 'new'}.so" for old in (False, True)}
    for old, path in made.items():
        flags = ["-Wall", "-Werror", "-shared", "-fPIC", *(["-DOLD"] if old else [])]
        subprocess.run([COMPILER, *flags, "-o", path, SOURCE], check=True, timeout=60)
    return made


class Machine:
    """A tree with the stand-in in it, and the words a test says to it."""

    def __init__(self, root: Path, library: Path) -> None:
        self.around = Around(str(root))
        path = root / "usr" / "lib" / nvml.LIBRARY
        path.parent.mkdir(parents=True)
        shutil.copy(library, path)  # a file of its own: the loader gives each its own state
        self.library = ctypes.CDLL(str(path))

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.library.standin_set(name.encode(), ctypes.c_longlong(value))

    def fail(self, function: str, code: int) -> None:
        self.library.standin_fail(function.encode(), code)

    def process(self, pid: int, held: int = GIB, graphics: bool = False, parent: int = 1) -> None:
        self.library.standin_process(pid, ctypes.c_longlong(held), int(graphics))
        write(Path(self.around.root), {f"proc/{pid}/stat": f"{pid} (a (b) c) S {parent} {pid} 0"})

    def sample(self, pid: int, time_us: int, percent: int) -> None:
        self.library.standin_sample(pid, ctypes.c_ulonglong(time_us), percent)

    def found(self) -> dict[str, Channel]:
        return {one.facts.name: one for one in nvml.find(self.around) if isinstance(one, Channel)}

    def missing(self) -> list[wire.Missing]:
        return [one for one in nvml.find(self.around) if isinstance(one, wire.Missing)]


@pytest.fixture
def machine(libraries: dict[bool, Path], tmp_path: Path) -> Callable[..., Machine]:
    count = itertools.count()
    return lambda old=False: Machine(tmp_path / str(next(count)), libraries[old])


def read(channel: Channel) -> int:
    channel.begin()
    return channel.read()


def test_everything_a_new_driver_tells_is_read_in_its_own_unit(machine):
    here = machine()
    here.process(4711, 3 * GIB)
    here.around.pids = [4711]
    values = {name: (read(one), one.facts.unit) for name, one in here.found().items() if "utilisation of" not in name}
    assert values == {
        "gpu0 energy": (123456789012345, "mJ"),
        "gpu0 power instant": (70125, "mW"),
        "gpu0 utilisation": (87, "percent"),
        "gpu0 memory utilisation": (31, "percent"),
        "gpu0 memory": (5 * GIB, "B"),
        "gpu0 temperature": (61, "C"),
        "gpu0 SM clock": (1410, "MHz"),
        "gpu0 memory clock": (1215, "MHz"),
        "gpu0 memory of the process": (3 * GIB, "B"),
    }
    assert here.missing() == []
    facts = {name: one.facts for name, one in here.found().items()}
    assert facts["gpu0 energy"].counter and not facts["gpu0 power instant"].counter
    assert facts["gpu0 energy"].sensor == "nvmlDeviceGetTotalEnergyConsumption"
    assert "whoever uses it" in facts["gpu0 energy"].covers and "NVIDIA Stand-in 16GB" in facts["gpu0 energy"].covers
    assert (facts["gpu0 power instant"].period_ns, facts["gpu0 power instant"].averages_ns) == (100_000_000, 0)
    assert facts["gpu0 memory of the process"].part_of == "gpu0 memory"
    asked = {name: sampler.every_ns(one) for name, one in facts.items()}
    assert asked.pop("gpu0 energy") == sampler.UNKNOWN_PERIOD_NS
    assert min(asked.values()) == 50_000_000  # each question costs the driver that the contender needs
    assert all(one.meter in METERS and one.unit in UNITS for one in facts.values())


def test_an_old_driver_tells_less_and_says_what(machine):
    here = machine(old=True)
    here.set(architecture=4)
    found = here.found()
    assert found["gpu0 power"].read() == 71250
    assert found["gpu0 power"].facts.period_ns is None and found["gpu0 power"].facts.averages_ns == 0
    assert found["gpu0 memory"].read() == 5 * GIB + (300 << 20)
    assert "what the driver reserves included" in found["gpu0 memory"].facts.covers
    assert found["gpu0 temperature"].read() == 61
    assert "gpu0 energy" not in found
    (energy,) = here.missing()
    assert (energy.quantity, energy.kind) == ("energy", "not-present")
    assert "too old" in energy.says and "nvmlDeviceGetTotalEnergyConsumption" in energy.says
    here.process(7, 2 * GIB)  # the first structure, of 16 bytes
    here.around.pids = [7]
    assert read(found["gpu0 memory of the process"]) == 2 * GIB


@pytest.mark.parametrize(
    ("architecture", "capability", "average_ns"),
    [
        (5, (7, 0), 0),
        (7, (8, 0), 0),
        (7, (8, 6), 10**9),
        (8, (8, 9), 10**9),
        (9, (9, 0), 10**9),
        (2**32 - 1, (12, 0), 10**9),
    ],
    ids=["Volta", "GA100", "GA102", "Ada", "Hopper", "unknown"],
)
def test_power_usage_is_a_mean_of_a_second_from_ampere_on_but_for_ga100(machine, architecture, capability, average_ns):
    here = machine()
    here.set(instant_mw=-1, architecture=architecture, major=capability[0], minor=capability[1])
    power = here.found()["gpu0 power"]
    assert (power.read(), power.facts.sensor) == (71250, "nvmlDeviceGetPowerUsage")
    assert power.facts.averages_ns == average_ns


@pytest.mark.parametrize("value_type", [0, 1, 3], ids=["double", "unsigned int", "unsigned long long"])
def test_a_field_is_read_by_the_type_it_says(machine, value_type):
    here = machine()
    here.set(value_type=value_type)
    assert here.found()["gpu0 power instant"].read() == 70125


def test_the_average_is_the_last_resort(machine):
    here = machine()
    here.set(instant_mw=-1)
    here.fail("nvmlDeviceGetPowerUsage", 3)
    power = here.found()["gpu0 power average"]
    assert (power.read(), power.facts.averages_ns) == (71500, 10**9)


def test_a_jetson_that_initialises_and_tells_nothing_is_no_channel(machine):
    here = machine()
    for function in ("TotalEnergyConsumption", "FieldValues", "PowerUsage", "TemperatureV", "Temperature", "ClockInfo"):
        here.fail("nvmlDeviceGet" + function, 3)
    write(Path(here.around.root), {"proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0"})
    (missing,) = nvml.find(here.around)
    assert isinstance(missing, wire.Missing)
    assert (missing.quantity, missing.kind) == ("all", "not-present")
    assert "no energy, no power and no temperature" in missing.says and "Jetson" in missing.says


def test_a_jetson_that_answers_zeros_is_no_channel_either(machine):
    here = machine()
    here.set(energy_mj=0, power_mw=0, instant_mw=0, average_mw=0, celsius=0, sm_mhz=0, gpu_percent=0, memory_mhz=0)
    (missing,) = nvml.find(here.around)
    assert isinstance(missing, wire.Missing) and "Jetson" not in missing.says


def test_one_zero_is_missing_and_the_rest_stays(machine):
    here = machine()
    here.set(energy_mj=0, gpu_percent=0)
    assert here.found()["gpu0 utilisation"].read() == 0  # an idle GPU, not an unknown one
    (missing,) = here.missing()
    assert missing.quantity == "energy" and "always 0" in missing.says


@pytest.mark.parametrize(
    ("function", "code", "kind", "says", "remedy"),
    [
        ("nvmlInit_v2", 18, "broken", "different versions", "sudo reboot"),
        ("nvmlInit_v2", 9, "not-present", "driver is not loaded", "sudo modprobe nvidia"),
        ("nvmlInit_v2", 4, "not-permitted", "may not ask", "sudo "),
        ("nvmlDeviceGetHandleByIndex_v2", 17, "not-permitted", "GPU 0: the system, or this container", "docker run"),
        ("nvmlDeviceGetHandleByIndex_v2", 15, "broken", "fallen off the bus", None),
        ("nvmlInit_v2", 1234, "broken", "code 1234", None),
    ],
)
def test_why_there_is_nothing_and_what_helps(machine, function, code, kind, says, remedy):
    here = machine()
    here.fail(function, code)
    (missing,) = here.missing()
    assert (missing.quantity, missing.kind) == ("all", kind)
    assert says in missing.says and function in missing.says
    assert missing.remedy is None if remedy is None else (missing.remedy or "").startswith(remedy)


def test_no_driver_a_container_without_the_library_and_a_broken_one_are_told_apart(tmp_path):
    (missing,) = nvml.find(Around(str(tmp_path)))
    assert missing == wire.Missing("nvml", "all", "not-present", "no NVIDIA driver: libnvidia-ml.so.1 is not here")
    write(tmp_path, {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14"})
    (missing,) = nvml.find(Around(str(tmp_path)))
    assert isinstance(missing, wire.Missing) and "container" in missing.says and missing.remedy
    write(tmp_path, {"usr/lib/libnvidia-ml.so.1": "no library"})
    (missing,) = nvml.find(Around(str(tmp_path)))
    assert isinstance(missing, wire.Missing) and missing.kind == "broken"


def test_no_gpu_at_all(machine):
    here = machine()
    here.set(gpus=0)
    (missing,) = here.missing()
    assert missing.kind == "not-present" and "no GPU" in missing.says


def test_each_of_several_gpus_has_its_own_channels(machine):
    here = machine()
    here.set(gpus=2)
    names = list(here.found())
    assert len(names) == len(set(names)) == 20
    assert {name.split()[0] for name in names} == {"gpu0", "gpu1"}


def test_memory_of_the_process_is_that_of_the_measured_ones_and_their_children(machine):
    here = machine()
    here.process(100, 1 * GIB)
    here.process(101, 2 * GIB, parent=100)
    here.process(102, 4 * GIB, parent=101)
    here.process(200, 8 * GIB)
    channel = here.found()["gpu0 memory of the process"]
    here.around.pids = [100]
    assert read(channel) == 7 * GIB
    here.around.pids = [200]  # another window, another contender
    assert read(channel) == 8 * GIB


def test_more_processes_than_there_was_room_for(machine):
    here = machine()
    for pid in range(1000, 1300):
        here.process(pid, 1 << 20)
    here.around.pids = list(range(1000, 1300))
    assert read(here.found()["gpu0 memory of the process"]) == 300 << 20


def test_what_a_process_holds_is_unknown_never_zero(machine):
    here = machine()
    here.process(100, -1)  # NVML_VALUE_NOT_AVAILABLE
    channel = here.found()["gpu0 memory of the process"]
    here.around.pids = [100]
    with pytest.raises(Gone, match="not what each holds"):
        read(channel)
    here.around.pids = [300]  # a contender that runs on the CPU
    with pytest.raises(Gone, match="no measured process is at work on GPU 0"):
        read(channel)
    with pytest.raises(Gone, match="no measured process"):
        read(here.found()["gpu0 utilisation of the process"])


def test_process_numbers_of_another_namespace_are_not_taken_for_ours(machine):
    here = machine()
    here.process(100)
    here.library.standin_process(987654, ctypes.c_longlong(GIB), 0)  # not to be seen in this container
    proc = Path(here.around.root) / "proc" / "self" / "ns"
    proc.mkdir(parents=True)
    (proc / "pid").symlink_to("pid:[4026532999]")
    here.around.pids = [100]
    with pytest.raises(Gone, match="--pid=host"):
        read(here.found()["gpu0 memory of the process"])
    (proc / "pid").unlink()
    (proc / "pid").symlink_to(nvml.FIRST_PID_NAMESPACE)
    assert read(here.found()["gpu0 memory of the process"]) == GIB


def test_utilisation_of_the_process_takes_the_latest_sample_of_each(machine, monkeypatch):
    here = machine()
    here.process(100)
    here.process(101, parent=100)
    here.process(200)
    now_us = 1_700_000_000_000_000
    monkeypatch.setattr(nvml.time, "time_ns", lambda: now_us * 1000)
    here.around.pids = [100]
    channel = here.found()["gpu0 utilisation of the process"]
    assert read(channel) == 0  # at work on the GPU, and no sample: it used nothing
    here.sample(100, now_us - 2_000_000, 99)
    assert channel.read() == 0  # of before: a sample period is a second at most
    here.sample(100, now_us - 500_000, 40)
    here.sample(100, now_us - 100_000, 60)
    here.sample(101, now_us - 100_000, 5)
    here.sample(200, now_us - 100_000, 30)
    assert channel.read() == 65


def test_a_shared_gpu_is_told(machine):
    here = machine()
    here.process(100)
    here.process(555, graphics=True)
    here.around.pids = [100]
    (missing,) = here.missing()
    assert (missing.quantity, missing.kind) == ("energy", "not-for-this-process")
    assert "1 other processes use it, too (555)" in missing.says and missing.remedy
    assert "gpu0 energy" in here.found()


def test_mig_is_told(machine):
    here = machine()
    here.set(mig=1)
    here.fail("nvmlDeviceGetUtilizationRates", 3)
    kinds = [(one.quantity, one.kind) for one in here.missing()]
    assert kinds == [("utilisation", "not-present")] * 2 + [("energy", "not-for-this-process")]
    assert "all MIG slices" in here.found()["gpu0 energy"].facts.covers


def test_a_gpu_that_is_lost_in_mid_run_ends_its_trace_and_no_other(machine):
    here = machine()
    channels = [here.found()[name] for name in ("gpu0 energy", "gpu0 temperature")]
    clock = itertools.count(0, 1_000_000)
    reader = sampler.Sampler(channels, here.around, now=lambda: next(clock))
    reader.begin([])
    here.fail("nvmlDeviceGetTotalEnergyConsumption", 15)
    reader.sweep(all_of_them=True)
    energy, temperature = reader.sampled.traces
    assert energy.values == [123456789012345] and "NVML_ERROR_GPU_IS_LOST" in (energy.trouble or "")
    assert temperature.values == [61, 61] and temperature.trouble is None


def test_structures_have_the_sizes_of_nvml_h():
    sizes: dict[Any, int] = {
        nvml.Memory: 24,
        nvml.MemoryV2: 40,
        nvml.Utilization: 8,
        nvml.Temperature: 12,
        nvml.ProcessV1: 16,
        nvml.ProcessV2: 24,
        nvml.ProcessSample: 32,
        nvml.FieldValue: 40,
    }
    assert {one: ctypes.sizeof(one) for one in sizes} == sizes


def test_family_on_this_machine():
    around = Around(pids=[os.getppid()])
    assert os.getpid() in nvml.family(around)
