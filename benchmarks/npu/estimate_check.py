"""Is the estimate any good? Fits to published measurements, told by their error on networks that they have not seen.

    python benchmarks/npu/estimate_check.py NPU_FOLDER [-o TABLE.md] [--toml]

``NPU_FOLDER`` holds ``hailo_zoo_fps.json`` (Hailo Model Zoo 2.18, MIT) and ``qualcomm_aihub_perf.json`` (Qualcomm AI
Hub Models, BSD-3-Clause). ``--toml`` prints the fits as they stand in ``src/whichpu/graphs/hardware.toml``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from whichpu.graphs.calibrate import Array, Calibration, Measurement, calibrate, leave_one_out
from whichpu.graphs.estimate import EFFICIENCY
from whichpu.graphs.hardware import Hardware, named

NETWORKS = {
    "resnet18": (1.814e9, 11.69e6),
    "resnet50": (4.089e9, 25.56e6),
    "resnext50": (4.230e9, 25.03e6),
    "mobilenet_v2": (0.301e9, 3.50e6),
    "mobilenet_v3_large": (0.217e9, 5.48e6),
    "squeezenet1_1": (0.349e9, 1.24e6),
    "densenet121": (2.834e9, 7.98e6),
    "efficientnet_b0": (0.386e9, 5.29e6),
    "googlenet": (1.498e9, 6.62e6),
    "inception_v3": (5.713e9, 23.83e6),
    "mnasnet05": (0.104e9, 2.22e6),
    "resnet101": (7.801e9, 44.55e6),
    "wideresnet50": (11.398e9, 68.88e6),
    "vit": (17.564e9, 86.57e6),
    "yolov8_det": (4.35e9, 3.2e6),
    "yolov11_det": (3.25e9, 2.6e6),
}
"""MACs and parameters of networks in AI Hub: torchvision's model tables, Ultralytics' for YOLO (nano)."""
BOARD = {"htp-v73": "QCS8550 (Proxy)", "htp-v68": "Dragonwing RB3 Gen 2 Vision Kit"}
DLA = [
    ("ResNet-50, batch 2", 8.2e9 / 2, 2037 / 2),
    ("SSD-MobileNetV1, batch 2", 2.47e9 / 2, 2664 / 2),
    ("SSD-ResNet-34", 433e9 / 2, 83 / 2),
]
"""Name, MACs (MLPerf Inference, Reddi et al. 2020), images per second of one DLA of AGX Orin at MAXN in INT8 (NVIDIA,
Deep-Learning-Accelerator-SW README: two DLAs)."""


@dataclass
class Case:
    """One set of measurements of one target."""

    target: str
    what: str
    source: str
    points: list[Measurement]


def figures_of(target: str) -> Hardware | None:
    name, _, options = target.partition(":")
    return named(name, dict(option.split("=") for option in options.split(",") if option))


def cases(folder: Path) -> Iterator[Case]:
    zoo = json.loads((folder / "hailo_zoo_fps.json").read_text())
    for target, chip in (("hailo-8", "HAILO8"), ("hailo-8l", "HAILO8L")):
        rows = [row for row in zoo["rows"] if row["hw"] == chip and row["gops"] and row["params_m"]]
        for batch in (1, 8):
            points = [_zoo_point(row, f"fps_b{batch}") for row in rows if row[f"fps_b{batch}"]]
            source = f"Hailo Model Zoo 2.18, one over the frames per second at batch {batch}"
            yield Case(target, f"batch {batch}", source, points)
    hub = json.loads((folder / "qualcomm_aihub_perf.json").read_text())
    for target, option, precision in (
        ("htp-v73", "", "w8a8"),
        ("htp-v73", ":precision=fp16", "float"),
        ("htp-v68", "", "w8a8"),
    ):
        source = f"Qualcomm AI Hub 2026-02, {BOARD[target]}, {precision}, latency of one inference"
        yield Case(target + option, precision, source, list(_hub_points(hub, BOARD[target], precision)))


def _zoo_point(row: dict[str, Any], rate: str) -> Measurement:
    return Measurement(row["model"], row["gops"] * 1e9 / 2, row["params_m"] * 1e6, 1 / row[rate])


def _hub_points(hub: dict[str, Any], device: str, precision: str) -> Iterator[Measurement]:
    """The fastest of QNN and TFLite where every layer ran on the NPU."""
    column = hub["devices"].index(device)
    for name, (macs, parameters) in NETWORKS.items():
        times = [
            row["ms"][column]
            for row in hub["rows"]
            if row["m"] == name and row["p"] == precision and row["l"].get("npu") == row["l"]["total"]
        ]
        known = [time for time in times if time]
        if known:
            yield Measurement(name, macs, parameters, min(known) / 1e3)


def plain(points: list[Measurement]) -> Array:
    """The naive rule to beat: one share of the peak, the median of all the other points."""
    rates = np.array([one.macs / one.seconds for one in points])
    others = [float(np.median(np.delete(rates, index))) for index in range(len(points))]
    return np.array([one.macs / rate for one, rate in zip(points, others, strict=True)])


def within(predicted: Array, measured: Array, times: float) -> float:
    ratio = predicted / measured
    return float(np.mean((ratio < times) & (ratio > 1 / times)))


def row(case: Case) -> tuple[str, Calibration]:
    figures = figures_of(case.target)
    peak = figures.macs_per_second[1] if figures and figures.macs_per_second else None
    fitted = calibrate(case.points, case.source, 1 / peak if peak else 0.0)
    kept = [one for one in case.points if peak is None or one.seconds > one.macs / peak]
    measured = np.array([one.seconds for one in kept])
    unseen = leave_one_out(kept)
    naive = np.median(np.abs(plain(kept) / measured - 1))
    cells = [
        case.target,
        case.what,
        f"{len(kept)} (+{len(case.points) - len(kept)} faster than the peak)",
        f"{fitted.error:.0%}",
        f"{within(unseen, measured, 2):.0%}",
        f"{fitted.spread[0]:.2f}..{fitted.spread[1]:.2f}",
        f"{naive:.0%}",
        _share(fitted, peak),
    ]
    return "| " + " | ".join(cells) + " |", fitted


def _share(fitted: Calibration, peak: float | None) -> str:
    if peak is None or not fitted.seconds_per_mac:
        return "-"
    return f"{1 / fitted.seconds_per_mac / peak:.0%}"


def efficiencies(found: list[Case]) -> Array:
    """Share of the peak that each Hailo model reached at batch 8: the range for units without a fit."""
    shares = []
    for case in found:
        figures = figures_of(case.target)
        if case.what == "batch 8" and figures and figures.macs_per_second:
            shares += [one.macs / one.seconds / figures.macs_per_second[1] for one in case.points]
    return np.array([share for share in shares if share < 1])


def unfitted() -> Iterator[str]:
    """The range of a unit without a fit beside what NVIDIA measured."""
    figures = figures_of("dla-orin:precision=int8")
    assert figures is not None
    assert figures.macs_per_second is not None
    for name, macs, rate in DLA:
        low = macs / figures.macs_per_second[1] / EFFICIENCY[1]
        high = macs / figures.macs_per_second[0] / EFFICIENCY[0]
        inside = "yes" if low <= 1 / rate <= high else "no"
        yield f"| {name} | {1e3 / rate:.2f} ms | {low * 1e3:.2f}..{high * 1e3:.1f} ms | {inside} |"


def table(folder: Path) -> tuple[str, list[tuple[Case, Calibration]]]:
    found = list(cases(folder))
    rows = [row(case) for case in found]
    shares = efficiencies(found)
    low, high = np.percentile(shares, [10, 90])
    lines = [
        "# The estimate, held to published measurements",
        "",
        f"Made by `benchmarks/npu/estimate_check.py` on {datetime.now(UTC):%Y-%m-%d}. Every error is on networks that"
        " the fit has not seen (leave one out). The naive rule is one share of the peak for all networks.",
        "",
        "| target | of | networks | median error | within 2x | measured / predicted, 10..90 % | naive rule's error"
        " | arithmetic at |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(text for text, _ in rows),
        "",
        "What this says: from MACs and parameters alone about two thirds of the networks are told to within a factor"
        " of two (two fifths on Hailo-8 at batch 1). The wide side is networks cut into several contexts on Hailo,"
        " and networks of many small operators. So the estimate is a range, and a measurement or the compiler's own"
        " figure beside it outranks it.",
        "",
        f"Units without a fit: {len(shares)} networks reached {low:.1%} to {high:.1%} of the peak (10th to 90th"
        f" percentile, Hailo at batch 8); the estimate takes {EFFICIENCY[0]:.0%} to {EFFICIENCY[1]:.0%}. Beside what"
        " NVIDIA measured on one DLA of AGX Orin (MAXN, INT8):",
        "",
        "| network | measured | predicted | inside |",
        "| --- | --- | --- | --- |",
        *unfitted(),
        "",
    ]
    return "\n".join(lines), [(case, fitted) for case, (_, fitted) in zip(found, rows, strict=True)]


def toml(case: Case, fitted: Calibration) -> str:
    name, _, option = case.target.partition(":")
    head = f'{name}.by."{option}".calibration' if option else f"{name}.calibration"
    return (
        f"[{head}]\nfixed_seconds = {fitted.fixed_seconds:.3g}\nseconds_per_mac = {fitted.seconds_per_mac:.3g}\n"
        f"seconds_per_parameter = {fitted.seconds_per_parameter:.3g}\n"
        f"spread = [{fitted.spread[0]:.3g}, {fitted.spread[1]:.3g}]\nerror = {fitted.error:.2g}\n"
        f'points = {fitted.points}\nsource = "{case.source}"\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--toml", action="store_true")
    given = parser.parse_args()
    text, fits = table(given.folder)
    if given.output:
        given.output.write_text(text)
    print(text)
    if given.toml:
        print("\n".join(toml(*one) for one in fits if one[0].what != "batch 8"))


if __name__ == "__main__":
    main()
