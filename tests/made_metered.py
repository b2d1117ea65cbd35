"""A campaign with meters, made up but lifelike: a package's energy counter, a rail's power gauge, heat, CPU time.

``campaign()`` gives three contenders in five rounds, each with a window of its own and idle windows around them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.results import store
from whichpu.results.column import pack
from whichpu.results.schema import (
    Block,
    Campaign,
    Form,
    Metered,
    MeterWindow,
    ModelInfo,
    Reading,
    Result,
    Settings,
    Trace,
)
from whichpu.worker.wire import Channel, Machine, Missing, Precision, TensorSpec

MS = 1_000_000
WINDOW_NS, AROUND_NS = 1_200 * MS, 60 * MS
IDLE_W = 4.0
WRAPS_AT = 262_143_328_850


class Made(NamedTuple):
    """A contender: its median latency in ns, the power that it takes in W, and a burst that its windows begin with."""

    latency_ns: int
    power_w: float
    burst_w: float = 0.0


CONTENDERS = {
    "onnxruntime:cpu": Made(123_000, 22.0),
    "openvino:cpu": Made(148_000, 27.0, burst_w=7.0),
    "opencv:cpu": Made(930_000, 17.5),
}

PACKAGE = Channel("rapl", "package-0", "energy", "uJ", "package", "/sys/class/powercap/intel-rapl:0/energy_uj",
                  covers="CPU package 0", counter=True, wraps_at=WRAPS_AT, period_ns=MS)  # fmt: skip
CORES = Channel("rapl", "core", "energy", "uJ", "cores", "/sys/class/powercap/intel-rapl:0:0/energy_uj",
                covers="its cores", counter=True, wraps_at=WRAPS_AT, period_ns=MS, part_of="package-0")  # fmt: skip
RAIL = Channel("ina3221", "VDD_CPU", "power", "mW", "rail", "/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3",
               covers="the CPU's rail", period_ns=50 * MS)  # fmt: skip
ZONE = Channel("thermal", "x86_pkg_temp", "temperature", "mC", "package", "/sys/class/thermal/thermal_zone2/temp",
               covers="CPU package 0", period_ns=250 * MS)  # fmt: skip
CPU_TIME = Channel("cpu", "process", "cpu-time", "us", "process", "/proc/PID/stat", covers="the contender's process",
                   counter=True, period_ns=10 * MS)  # fmt: skip
CHANNELS = (PACKAGE, CORES, RAIL, ZONE, CPU_TIME)
SHARES = {"package-0": 1.0, "core": 0.7, "VDD_CPU": 0.6}
"""How much of the power each channel of energy or power tells."""


def campaign(
    path: Path | None = None,
    contenders: Mapping[str, Made] = CONTENDERS,
    rounds: int = 5,
    channels: tuple[Channel, ...] = CHANNELS,
    model: str = "lstm",
    precision: str = "fp32",
    seed: int = 7,
) -> Campaign:
    """A metered campaign; written to ``path`` if one is given."""
    machine = Machine("h", "Linux 6", "x86_64", "3.11", "2.0", "A CPU", 4, 4, None, None, None, None, False, 1, 40)
    settings = Settings(seed=seed, threads=1, cpus=[], budget_s=60, half_width=0.02, matters=0.02, rounds_least=5,
                        rounds_most=None, blocks=10, timeout_s=9, data="random")  # fmt: skip
    form = Form(format="onnx", file=f"{model}.onnx", sha256="f" * 64, bytes=1234, origin="given")
    info = ModelInfo(name=model, sha256="f" * 64, inputs=[TensorSpec("x", "float32", [1, 60, 1])], forms=[form])
    made = Campaign(
        whichpu="0.1.0", created="2026-11-20T11:00:00+00:00", finished="2026-11-20T12:00:00+00:00", model=info,
        machine=machine, settings=settings, metered=metered(contenders, rounds, channels, seed),
        results=[result(name, one, rounds, precision, seed) for name, one in contenders.items()],
    )  # fmt: skip
    if path is not None:
        store.save(made, path)
    return made


def without_sensors() -> Campaign:
    """What a machine without any sensor of power gives: no windows, and reasons."""
    made = campaign()
    missing = [
        Missing("rapl", "energy", "not-present", "no powercap in /sys/class/powercap"),
        Missing("hwmon", "power", "not-present", "no sensor of power or current in /sys/class/hwmon"),
        Missing("nvml", "all", "not-present", "no NVML (libnvidia-ml.so.1)"),
    ]
    made.metered = Metered(channels=[ZONE, CPU_TIME], missing=missing)
    return made


def result(name: str, one: Made, rounds: int, precision: str = "fp32", seed: int = 7) -> Result:
    """Latency blocks of a contender."""
    readings = []
    for number in range(rounds):
        noise = np.random.default_rng([seed, number, len(name)])
        latencies = (one.latency_ns * noise.uniform(0.99, 1.01) * noise.uniform(0.97, 1.06, 300)).astype(np.int64)
        wall_ns = int(latencies[2:].sum())
        block = Block(position=0, count=300, opening=2, began_ns=0, wall_ns=wall_ns, cpu_ns=wall_ns)
        readings.append(
            Reading(round=number, load_ns=5 * MS, first_ns=one.latency_ns * 8, warm_steady=True, blocks=[block],
                    latencies_ns=pack(latencies))
        )  # fmt: skip
    ran = Precision(precision, "the graph's types")
    return Result(name=name, target=name, backend=name.partition(":")[0], device="cpu", status="measured",
                  form_sha256="f" * 64, readings=readings, precision=ran)  # fmt: skip


def metered(contenders: Mapping[str, Made], rounds: int, channels: tuple[Channel, ...], seed: int) -> Metered:
    """In each round: idle, a contender, idle, the next one, ..., idle."""
    windows: list[MeterWindow] = []
    bench = _Bench(channels, seed)
    for number in range(rounds):
        order = list(np.random.default_rng([seed, number]).permutation(list(contenders)))
        for name in [None, *(each for one in order for each in (str(one), None))]:
            windows.append(bench.window(number, len(windows), name, contenders[name] if name else None))
    return Metered(window_s=WINDOW_NS / 1e9, limit_w=25.0, channels=list(channels), windows=windows)


class _Bench:
    """The machine as its sensors see it: time goes on, counters count."""

    def __init__(self, channels: tuple[Channel, ...], seed: int) -> None:
        self.channels = channels
        self.noise = np.random.default_rng(seed)
        self.now_ns = 5_000_000 * MS
        # The package's counter is near its end, so that it wraps in the first round.
        self.counted = {channel.name: WRAPS_AT - 30_000_000 if channel.wraps_at else 0 for channel in channels}

    def window(self, number: int, position: int, name: str | None, one: Made | None) -> MeterWindow:
        from_ns, began_ns = self.now_ns, self.now_ns + AROUND_NS
        level = one.power_w * self.noise.normal(1, 0.006) if one else IDLE_W * self.noise.normal(1, 0.02)
        grid = np.arange(0, WINDOW_NS + 2 * AROUND_NS + 1, MS)
        inside = (grid >= AROUND_NS) & (grid < AROUND_NS + WINDOW_NS)
        power_w = np.where(inside, level, IDLE_W) * self.noise.normal(1, 0.03, grid.size)
        if one is not None and one.burst_w:
            power_w += inside * one.burst_w * np.exp(-(grid - AROUND_NS).clip(0) / (150 * MS))
        made = MeterWindow(round=number, position=position, began_ns=began_ns, wall_ns=WINDOW_NS, contender=name,
                           from_ns=from_ns, utc_ns=1_795_000_000_000_000_000 + began_ns, sweeps=265,
                           busy_ns=9 * MS)  # fmt: skip
        if one is not None:
            latency_ns = one.latency_ns * self.noise.normal(1, 0.004)
            made.count = int(WINDOW_NS / latency_ns)
            made.median_ns, made.bare_ns = latency_ns, latency_ns * self.noise.normal(0.999, 0.002)
        made.traces = [self._trace(index, channel, grid, power_w, one) for index, channel in enumerate(self.channels)]
        self.now_ns += WINDOW_NS + 2 * AROUND_NS + 40 * MS
        return made

    def _trace(
        self, index: int, channel: Channel, grid: npt.NDArray[np.int64], power_w: npt.NDArray[np.float64],
        one: Made | None,
    ) -> Trace:  # fmt: skip
        every = max(5, (channel.period_ns or MS) // MS // 2)
        readers: dict[str, Callable[[], npt.NDArray[np.int64]]] = {
            "energy": lambda: self._counter(channel, np.cumsum(power_w * SHARES.get(channel.name, 1.0) * 1e3)),
            "power": lambda: _held(power_w * SHARES.get(channel.name, 1.0) * 1e3, (channel.period_ns or MS) // MS),
            "temperature": lambda: _held(41_000 + 400 * power_w, (channel.period_ns or MS) // MS) // 1000 * 1000,
            "cpu-time": lambda: self._counter(channel, np.cumsum(np.full(grid.size, 990.0 if one else 3.0))),
        }
        values = readers[channel.quantity]()
        jitter = self.noise.integers(0, 40_000, grid[::every].size)
        return Trace(channel=index, at_ns=pack(grid[::every] + jitter), values=pack(values[::every]))

    def _counter(self, channel: Channel, rise: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        values = self.counted[channel.name] + rise.astype(np.int64)
        self.counted[channel.name] = int(values[-1])
        return values % channel.wraps_at if channel.wraps_at else values


def _held(values: npt.NDArray[np.float64], period: int) -> npt.NDArray[np.int64]:
    """A gauge's values: the mean of each period, told until the next one."""
    means = [values[at : at + period].mean() for at in range(0, values.size, period)]
    return np.repeat(np.array(means), period)[: values.size].astype(np.int64)


def copy(made: Campaign) -> Campaign:
    """A deep copy, to change one thing in."""
    return msgspec.convert(msgspec.to_builtins(made), Campaign)
