"""What meters cost: latency with them and without.

    python benchmarks/meter_tax.py [--pairs 10] [--rounds 30] [--output results/meter-tax-YYYY-MM-DD.md]

This machine need not have a sensor: the meters read a small tree of files laid out like a laptop's powercap, hwmon and
thermal sensors, as often as they would read those. What a real sensor takes to answer beside the CPU is not in it.

1. Campaigns with meters and without, in pairs of random order: the median latency that a user is shown. No meter runs
   while latency is measured, so nothing should move.
2. Within one campaign of many rounds: the latency in windows with meters over that in windows without.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import page

from whichpu.campaign import metering, plan, run
from whichpu.campaign.watch import Silence
from whichpu.campaign.wishes import Wishes
from whichpu.models import artefact
from whichpu.results.energy import meter_cost
from whichpu.results.latencies import median
from whichpu.results.schema import Campaign
from whichpu.stats.intervals import Estimate, of_logs

EXAMPLES = Path(__file__).parent.parent / "examples" / "apple_stock"
GOAL = 0.01
TREE = {
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": 262_000_000,
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": 131_000_000,
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:0:1/name": "dram",
    "sys/class/powercap/intel-rapl:0:1/energy_uj": 31_000_000,
    "sys/class/powercap/intel-rapl:0:1/max_energy_range_uj": 65_712_999_613,
    "sys/class/hwmon/hwmon0/name": "ina226",
    "sys/class/hwmon/hwmon0/power1_input": 8_125_000,
    "sys/class/hwmon/hwmon0/update_interval": 10,
    "sys/class/hwmon/hwmon1/name": "coretemp",
    "sys/class/hwmon/hwmon1/temp1_label": "Package id 0",
    "sys/class/hwmon/hwmon1/temp1_input": 61_000,
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "sys/class/thermal/thermal_zone0/temp": 61_000,
}


def tree(root: Path) -> Path:
    """The sensors' files; what /proc tells is the machine's own."""
    for name, value in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (root / "proc").symlink_to("/proc")
    return root


def campaign(model: Path, meters: str, root: Path, on: str, seed: int, rounds: int = 5) -> Campaign:
    """One campaign of so many rounds on one target."""
    wishes = Wishes(on=(on,), seed=seed, rounds_least=rounds, rounds_most=rounds, meters=meters, root=str(root))
    return run.run(plan.make(artefact.load(model, [], {}, False), wishes, Silence()), None, Silence())


def pairs(model: Path, root: Path, options: argparse.Namespace) -> Estimate:
    """Median latency of campaigns with meters over that of those without."""
    random, logs = np.random.default_rng(options.seed), []
    for number in range(options.pairs):
        found = {}
        for meters in random.permutation(["auto", "off"]):
            measured = campaign(model, str(meters), root, options.on, options.seed + number)
            if meters == "auto" and not _read(measured):
                sys.exit("no meter was read: the tree is not understood")
            estimate = median(measured.results[0])
            assert estimate is not None
            found[str(meters)] = estimate.value
        logs.append(float(np.log(found["auto"] / found["off"])))
        print(f"pair {number + 1}: {found['auto'] / 1e3:.2f} us with, {found['off'] / 1e3:.2f} us without", flush=True)
    return of_logs(logs)


def _read(measured: Campaign) -> bool:
    return measured.metered is not None and any(window.traces for window in measured.metered.windows)


def main() -> int:
    """Run both checks; exit with 2 when one misses the goal."""
    asking = page.parser(__doc__ or "")
    asking.add_argument("--pairs", type=int, default=10)
    asking.add_argument("--rounds", type=int, default=30)
    asking.add_argument("--model", type=Path, default=EXAMPLES / "lstm.onnx")
    asking.add_argument("--on", default="onnxruntime:cpu")
    asking.add_argument("--seed", type=int, default=1)
    options = asking.parse_args()
    facts = page.Facts()
    with tempfile.TemporaryDirectory() as folder:
        root = tree(Path(folder))
        shown = pairs(options.model, root, options)
        metering.ROUNDS = options.rounds
        long = campaign(options.model, "auto", root, options.on, options.seed, options.rounds)
    within = meter_cost(long, long.results[0])
    assert within is not None and long.metered is not None
    latency = median(long.results[0])
    assert latency is not None
    windows = [window for window in long.metered.windows if window.contender is not None]
    per_s = sum(window.sweeps for window in windows) / (sum(window.wall_ns for window in windows) / 1e9)
    rows = [
        ["campaigns with meters over without", f"{options.pairs} pairs", *_told(shown.value, shown.low, shown.high)],
        ["windows with meters over without", f"{within.rounds} rounds", *_told(within.ratio, within.low, within.high)],
    ]
    lines = [
        "# What meters cost: latency with them over latency without",
        "",
        f"Goal: the median of {options.model.name} moves by less than {100 * GOAL:g} %.",
        "",
        *facts.lines(),
        f"- Setting: {options.model.name} on {options.on}, {latency.value / 1e6:.3f} ms, 1 thread; {options.pairs}"
        f" pairs of campaigns of 5 rounds, then one of {options.rounds} rounds; seed {options.seed}",
        f"- Meters: {len(long.metered.channels)} channels of a made-up tree of files (the machine has no sensor), read"
        f" in {per_s:.0f} sweeps/s, which took {100 * (within.busy or 0):.2f} % of another CPU",
        "",
        *page.table(["what", "from", "ratio of medians", "95 % interval", f"within {100 * GOAL:g} %"], rows),
        "",
        "The first row is what a user is shown: no meter runs while latency is measured. The second is the latency in"
        " the windows in which energy is read.",
    ]
    page.show(lines, options.output)
    return 0 if all(row[-1] == "yes" for row in rows) else 2


def _told(value: float, low: float | None, high: float | None) -> list[str]:
    known = low is not None and high is not None
    inside = known and low > 1 - GOAL and high < 1 + GOAL  # type: ignore[operator]
    interval = f"{low:.4f} to {high:.4f}" if known else "-"
    return [f"{value:.4f}", interval, "yes" if inside else ("not shown" if abs(value - 1) < GOAL else "no")]


if __name__ == "__main__":
    sys.exit(main())
