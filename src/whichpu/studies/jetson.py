"""Jetson AGX Xavier: its GPU against its DLA on five convolutional networks, FP16 and INT8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.studies.study import Asked, Statement, Study, Table, judged, needs, open_

TITLE = "Jetson AGX Xavier: DLA normalised to GPU in power, latency, throughput, energy, FP16 and INT8"
DATA = Path(__file__).parent / "data"
HARDWARE = "a Jetson AGX Xavier (GPU and DLA, TensorRT, MAXN), and its power rails"
PLACEMENT = "layers a DLA can't run"
DEFINITIONS = {
    "power_efficiency": (
        "throughput / power",
        "inferences per joule: one inference after the other, 4.5 times as much is 1/4.5 of the energy",
    ),
    "energy_efficiency": (
        "throughput / energy",
        "the inverse energy-delay product: speed counts twice, so that a GPU can lead while a DLA takes less energy",
    ),
}
"""Of the study's metrics those that are computed: our formula, and what it is."""
ZOO = "python examples/cnn_zoo/build.py alexnet googlenet vgg16 inception_v3 yolov3 -o zoo"


def reproduce(asked: Asked) -> Study:
    """The form of its bars; every finding with what it takes."""
    told = msgspec.json.decode((DATA / "jetson_xavier_gpu_vs_dla.json").read_bytes())
    return Study(
        name="jetson-gpu-vs-dla",
        title=TITLE,
        tables=[_form(told)],
        statements=[*_definitions(told["metrics"]), *_findings(told["findings"]), *_guidance(told["guidance"])],
        notes=["The study's bars are given in words only: no figure of them can be held against another."],
        ways=[
            ZOO,
            "whichpu analyze zoo/*.onnx --npu dla-xavier",
            "whichpu report ALEXNET.json ... --normalise-to tensorrt:gpu",
        ],
    )


def _form(told: dict[str, Any]) -> Table:
    """The cells that the bars would fill, all unknown here."""
    heads = ["DLA over GPU", *(f"{model} {precision}" for model in told["models"] for precision in told["precisions"])]
    metrics = [name.removesuffix("_w").removesuffix("_j").replace("_", " ") for name in told["metrics"]]
    cells = ["–"] * (len(heads) - 1)
    return Table(title="normalised bars, in form", heads=heads, rows=[[name, *cells] for name in metrics])


def _definitions(metrics: dict[str, str]) -> Iterator[Statement]:
    for name, (ours, because) in DEFINITIONS.items():
        says = f"{name.replace('_', ' ')} = {metrics[name]}"
        yield judged(says, metrics[name] == ours, because if metrics[name] == ours else f"ours is {ours}: {because}")


def _findings(findings: Sequence[str]) -> Iterator[Statement]:
    for says in findings:
        if says.startswith(PLACEMENT):
            yield open_(
                says, f"the networks placed: {ZOO}; whichpu analyze zoo/*.onnx --npu dla-xavier, no board needed"
            )
        else:
            yield needs(says, HARDWARE)


def _guidance(guidance: Sequence[str]) -> Iterator[Statement]:
    for says in guidance:
        yield needs(f"advice: {says}", f"{HARDWARE}; whichpu recommend gives it from such results")
