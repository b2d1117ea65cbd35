"""Measure five networks on four runtimes and print the study's two tables: what conversion cost, and how fast each is.

    python tables.py                 # about ten minutes; the machine should do nothing else
    python tables.py --quick         # the same form in a minute: one short round, for a look
    python tables.py --out tables.md --variants fp32 int8

Accuracy is that of the drawn test pictures beside this file; deltas are from PyTorch, on the same pictures.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import whichpu
from whichpu.results.schema import Campaign, Result
from whichpu.results.summary import Figures

HERE = Path(__file__).parent
RUNTIMES = {
    "torch:cpu": "PyTorch",
    "onnxruntime:cpu": "ONNX Runtime",
    "openvino:cpu": "OpenVINO",
    "opencv:cpu": "OpenCV DNN",
}
NETWORKS = {
    "detector": ("Plate detection", "detection"),
    "characters": ("Character recognition", "characters"),
    "resnet18": ("State, ResNet-18", "states"),
    "resnet34": ("State, ResNet-34", "states"),
    "resnet50": ("State, ResNet-50", "states"),
}
METRICS = {"ap50": "mAP@.5", "top1": "accuracy"}
"""As the study calls them."""

UNKNOWN = "–"


def measured(name: str, folder: Path, variants: list[str], budget_s: float, rounds: int | None) -> Campaign:
    """One network on all runtimes, in these precisions."""
    task = HERE / f"{NETWORKS[name][1]}.toml"
    print(f"{name} ...", file=sys.stderr, flush=True)
    found = whichpu.measure(
        folder / f"{name}.onnx",
        list(RUNTIMES),
        data=task,
        variants=variants,
        budget_s=budget_s,
        rounds_most=rounds,
        seed=1,
    )
    return found.campaign


def accuracy_table(campaigns: dict[str, Campaign]) -> list[str]:
    """Table 3 in form: network, runtime, metric, and the delta from PyTorch in percentage points with its interval."""
    lines = [
        "| network | runtime | metric | value | delta from PyTorch, points | 95 % interval | verdict | same answers "
        "| outputs differ by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, campaign in campaigns.items():
        metric = campaign.task.metric if campaign.task else ""
        for result in _answered(campaign):
            cells = [
                NETWORKS[name][0],
                _runtime(result),
                METRICS.get(metric, metric),
                *_accuracy(result, metric),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _accuracy(result: Result, metric: str) -> list[str]:
    """Value, delta, interval, verdict, agreement and difference of outputs as words."""
    told = result.accuracy
    assert told is not None
    value = f"{told.values[metric]:.4f}"
    delta, low, high = told.deltas.get(metric, (None, None, None))
    interval = UNKNOWN if low is None or high is None else f"{100 * low:+.2f} to {100 * high:+.2f}"
    agreement = UNKNOWN if told.agreement is None else f"{100 * told.agreement:.1f} %"
    points = UNKNOWN if delta is None else f"{100 * delta:+.2f}"
    apart = result.difference.relative if result.difference else None
    differ = UNKNOWN if apart is None else f"{apart:.0e}"
    return [value, points, interval, told.verdict or UNKNOWN, agreement, differ]


def speed_table(campaigns: dict[str, Campaign]) -> list[str]:
    """Table 4 in form: network, runtime, time to load, frames a second at batch 1, and memory."""
    lines = [
        "| network | runtime | load, ms | FPS | memory, MiB |",
        "|---|---|---|---|---|",
    ]
    for name, campaign in campaigns.items():
        rows = {row.name: row for row in whichpu.Measurement(campaign).figures}
        for result in _answered(campaign):
            cells = [NETWORKS[name][0], _runtime(result), *_speed(rows[result.name])]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _speed(row: Figures) -> list[str]:
    load = UNKNOWN if row.load_ns is None else f"{row.load_ns / 1e6:.1f}"
    frames = UNKNOWN if row.throughput_per_s is None else f"{row.throughput_per_s:.0f}"
    loaded = row.memory.loaded if row.memory else None
    memory = UNKNOWN if loaded is None or loaded.bytes is None else f"{loaded.bytes / 2**20:.0f}"
    return [load, frames, memory]


def silent(campaigns: dict[str, Campaign]) -> list[str]:
    """Who gave no answers, and the beginning of why."""
    return [
        f"- {NETWORKS[name][0]}, {_runtime(result)}: {_begun(result.why or result.status)}"
        for name, campaign in campaigns.items()
        for result in _ordered(campaign)
        if result.accuracy is None
    ]


def _begun(why: str, most: int = 240) -> str:
    words = " ".join(why.replace("> ", "").split())
    return words if len(words) <= most else f"{words[:most]} ..."


def _runtime(result: Result) -> str:
    name = RUNTIMES[result.target]
    return f"{name}, {result.variant}" if result.variant else name


def _answered(campaign: Campaign) -> list[Result]:
    return [result for result in _ordered(campaign) if result.accuracy is not None]


def _ordered(campaign: Campaign) -> list[Result]:
    """Results as the runtimes are listed above."""
    order = list(RUNTIMES)
    return sorted((one for one in campaign.results if one.target in order), key=lambda one: order.index(one.target))


def page(campaigns: dict[str, Campaign]) -> str:
    """Both tables, with what they were measured with."""
    first = next(iter(campaigns.values()))
    versions = {RUNTIMES[one.target]: " ".join(f"{k} {v}" for k, v in one.versions.items()) for one in _ordered(first)}
    sizes = ", ".join(
        f"{count} {unit}"
        for count, unit in (
            (campaigns[name].task.samples, unit)  # type: ignore[union-attr]
            for name, unit in (("detector", "streets"), ("resnet18", "plates"))
            if name in campaigns and campaigns[name].task
        )
    )
    lines = [
        f"# Licence plates on four runtimes, {datetime.date.today().isoformat()}",
        "",
        "Drawn pictures and small networks: compare runtimes by this, not networks, and not with the study's figures.",
        f"Batch 1, one thread; fp32 where nothing else is said. Test part: {sizes}.",
        f"{'; '.join(versions.values())}. Reference: {first.reference.by if first.reference else UNKNOWN}.",
        "",
        "## Accuracy (the study's table 3)",
        "",
        *accuracy_table(campaigns),
        "",
        "Deltas are in percentage points, with an interval of 95 % by a paired bootstrap over the pictures. Same",
        "answers: in so many pictures an application would do the same with both. Outputs differ by: the largest",
        "difference over the largest value of PyTorch's.",
        "",
        "## Load, speed, memory (the study's table 4)",
        "",
        *speed_table(campaigns),
        "",
        "FPS is completed inferences over wall time, one after the other, from input in host memory to output in host",
        "memory. Memory is what the process holds with the model loaded and warm, the runtime's libraries included.",
        "",
    ]
    missing = silent(campaigns)
    if missing:
        lines += ["## Not measured", "", *missing, ""]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--models", type=Path, default=HERE, help="folder of the networks (default: beside this script)"
    )
    parser.add_argument("--variants", nargs="+", default=[], help="such as fp32 int8 (default: as given)")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each runtime and network (default: 20)")
    parser.add_argument("--quick", action="store_true", help="one short round: for a look, not for figures")
    parser.add_argument("--out", type=Path, help="write the page there too")
    wanted = parser.parse_args()
    budget, rounds = (2.0, 1) if wanted.quick else (wanted.budget, None)
    campaigns = {name: measured(name, wanted.models, wanted.variants, budget, rounds) for name in wanted.only}
    text = page(campaigns)
    print(text)
    if wanted.out:
        wanted.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
