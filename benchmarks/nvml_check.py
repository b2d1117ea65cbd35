"""NVML's power, energy, memory and utilisation of a torch CUDA contender, against nvidia-smi's own log taken beside it.

    python benchmarks/nvml_check.py [--gpu 0] [--width 4096] [--window 5s] [--output FILE]

Needs an NVIDIA GPU, nvidia-smi and a PyTorch that can use it; says so and ends where one is missing. nvidia-smi reads
the same sensor through the same library: this checks our reading of it (units, scope, windows, clocks), not the sensor.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import page

import whichpu
from whichpu.results.summary import Figures

QUERY = ("timestamp", "index", "power.draw", "power.draw.instant", "utilization.gpu", "memory.used")
EVERY_MS = 100
SETTLED_S = 2.0
"""The log runs so long before the measurement and behind it."""

LIMITS = {"power": 0.05, "energy per inference": 0.05, "memory": 0.02, "utilisation": 0.10}
"""How far NVML may be from nvidia-smi, as a share of the latter."""

BESIDE = ("power.draw.instant", "power.draw")
"""nvidia-smi's power, the better one first."""


class Row(NamedTuple):
    """One quantity as both tell it, in ``unit``; ``None`` where it is not known, and then why."""

    quantity: str
    unit: str
    ours: float | None
    theirs: float | None
    why_not: str

    @property
    def ratio(self) -> float | None:
        """NVML's over nvidia-smi's."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def verdict(self) -> str:
        """``pass``, ``**fail**``, or that there is nothing to compare, and why."""
        if self.ratio is None:
            return f"not compared: {self.why_not or 'nvidia-smi says 0'}"
        return "pass" if abs(self.ratio - 1) <= LIMITS[self.quantity] else "**fail**"


# ---------------------------------------------------------------- the run


def trouble() -> str | None:
    """Why this machine can't run the check."""
    if shutil.which("nvidia-smi") is None:
        return "there is no nvidia-smi here, so no NVIDIA driver"
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed: pip install torch"
    return None if torch.cuda.is_available() else f"PyTorch {torch.__version__} can't use a GPU here"


def write_model(path: Path, width: int) -> Path:
    """Eight square layers with seeded weights on 256 samples at once: work for a GPU."""
    import torch

    torch.manual_seed(1)
    layers = [layer for _ in range(8) for layer in (torch.nn.Linear(width, width), torch.nn.ReLU())]
    program = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.zeros(256, width),))
    torch.export.save(program, path)
    return path


@contextmanager
def nvidia_smi(log: Path, gpu: int) -> Iterator[None]:
    """nvidia-smi writes its log meanwhile."""
    known = subprocess.run(["nvidia-smi", "--help-query-gpu"], capture_output=True, text=True, check=True).stdout
    fields = [name for name in QUERY if f'"{name}"' in known]
    command = ["nvidia-smi", f"--id={gpu}", f"--query-gpu={','.join(fields)}", "--format=csv", f"-lms={EVERY_MS}"]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file) as process:
        try:
            time.sleep(SETTLED_S)
            yield
            time.sleep(SETTLED_S)
        finally:
            process.terminate()


def measured(model: Path, folder: Path, options: argparse.Namespace) -> Figures:
    """The contender's figures, by NVML and by nvidia-smi's log joined to the run."""
    campaign, log = folder / "run.whichpu.json", folder / "nvidia-smi.csv"
    command = [sys.executable, "-m", "whichpu", "run", str(model), "--on", "torch:cuda", "-o", str(campaign)]
    command += ["--meters", "windows", "--meter-window", options.window, "--budget", options.budget, "--overwrite"]
    # In this order CUDA counts as NVML does.
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(options.gpu)}
    with nvidia_smi(log, options.gpu):
        subprocess.run(command, env=environment, check=True)
    return whichpu.load(campaign).join(log).figures[0]


# ---------------------------------------------------------------- the table


def rows(figures: Figures, gpu: int) -> list[Row]:
    """Each quantity once."""
    energy = {row.source: row for row in figures.energy}
    gauges = {row.source: row for row in figures.gauges}
    sources = [f"nvidia-smi:gpu{gpu} {name}" for name in BESIDE]
    theirs = next((energy[key] for key in sources if key in energy and energy[key].power_w is not None), None)
    ours = energy.get(f"nvml:gpu{gpu} energy") or energy.get(f"nvml:gpu{gpu} power instant")
    missing = [f"{row.source}: {row.missing['power_w']}" for row in figures.energy if "power_w" in row.missing]
    why_not = "; ".join(missing) or "nvidia-smi's log holds no power"
    pairs = [
        Row("power", "W", ours.power_w if ours else None, theirs.power_w if theirs else None, why_not),
        Row("energy per inference", "J", ours.gross_j if ours else None, theirs.gross_j if theirs else None, why_not),
    ]
    for quantity, unit, factor, our_name, their_name in (
        ("memory", "MiB", 2.0**-20, "memory", "memory.used"),
        ("utilisation", "%", 100.0, "utilisation", "utilization.gpu"),
    ):
        found = [gauges.get(f"nvml:gpu{gpu} {our_name}"), gauges.get(f"nvidia-smi:gpu{gpu} {their_name}")]
        values = [None if one is None or one.mean is None else one.mean * factor for one in found]
        reasons = [one.missing or "" if one else "no such channel" for one in found]
        pairs.append(Row(quantity, unit, values[0], values[1], "; ".join(filter(None, reasons))))
    return pairs


def render(found: list[Row], facts: page.Facts, gpu: int) -> list[str]:
    """The page."""
    query = ["nvidia-smi", f"--id={gpu}", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    name = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    cells = [
        [
            row.quantity,
            *(f"{value:.4g} {row.unit}" if value is not None else "-" for value in (row.ours, row.theirs)),
            f"{row.ratio:.4f}" if row.ratio is not None else "-",
            f"{LIMITS[row.quantity]:.0%}",
            row.verdict,
        ]
        for row in found
    ]
    head = ["# NVML against nvidia-smi", "", *facts.lines(), f"- GPU: {name}", ""]
    return head + page.table(["quantity", "NVML", "nvidia-smi", "ratio", "limit", "verdict"], cells)


def main() -> int:
    """Exit status 0 when all agree, 2 when not, 1 with a sentence where it can't run."""
    parser = page.parser(__doc__)
    parser.add_argument("--gpu", type=int, default=0, help="number in nvidia-smi (default 0)")
    parser.add_argument("--width", type=int, default=4096, help="of the model's layers (default 4096)")
    parser.add_argument("--window", default="5s", help="length of a metered window (default 5s)")
    parser.add_argument("--budget", default="60s")
    options = parser.parse_args()
    reason = trouble()
    if reason is not None:
        raise SystemExit(f"nvml_check was not run: {reason}.")
    facts = page.Facts()
    with tempfile.TemporaryDirectory(prefix="whichpu-nvml-") as text:
        folder = Path(text)
        figures = measured(write_model(folder / "wide.pt2", options.width), folder, options)
    found = rows(figures, options.gpu)
    page.show(render(found, facts, options.gpu), options.output)
    return 0 if all(row.verdict == "pass" for row in found) else 2


if __name__ == "__main__":
    sys.exit(main())
