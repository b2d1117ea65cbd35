"""How does the analysis grow with the network, against what other tools take on the same file?

Residual networks of 1,000, 10,000 and 100,000 nodes, in float and with Q/DQ, are analysed in full (read, lowered,
judged, partitioned, findings, estimate) on one NPU and on three, beside `onnx_ir.load`, `onnx.load` with shape
inference, an ONNX Runtime session without optimisation, and OpenVINO's read and query. Each runs in a process of its
own; its CPU time (imports left out) and its largest memory are told. Goals: at most 3 times onnx_ir.load at 100,000
nodes, growth exponent at most 1.1, memory in proportion.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import page

SIZES = (1_000, 10_000, 100_000)
LIMIT_S = 150
GOAL = 3

CHILD = """
import json, sys, time
from pathlib import Path
path = Path(sys.argv[1])
def mib(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) / 1024
{imports}
before = mib("VmRSS")
began = time.process_time()
{work}
taken = time.process_time() - began
print(json.dumps([taken, mib("VmHWM"), before]))
"""
ANALYSE = "found = analyse(path, targets({names}), ask=False); assert found.graph is not None"
ANALYSE_IMPORTS = """
import onnx, onnx.shape_inference
from whichpu.graphs.analysis import analyse
from whichpu.graphs.capability import tables, targets
tables()
"""
TOOLS = {
    "WhichPU analyze, htp-v73": (ANALYSE_IMPORTS, ANALYSE.format(names=["htp-v73"])),
    "WhichPU analyze, three NPUs": (ANALYSE_IMPORTS, ANALYSE.format(names=["htp-v73", "rk3588", "dla-orin"])),
    "onnx_ir.load": ("import onnx_ir", "onnx_ir.load(str(path))"),
    "onnx.load and shape inference": (
        "import onnx, onnx.shape_inference",
        "onnx.shape_inference.infer_shapes(onnx.load(str(path)))",
    ),
    "ONNX Runtime session, optimisation off": (
        "import onnxruntime as ort\noptions = ort.SessionOptions()\noptions.graph_optimization_level = "
        "ort.GraphOptimizationLevel.ORT_DISABLE_ALL",
        "ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])",
    ),
    "OpenVINO read and query": (
        "import openvino\ncore = openvino.Core()",
        "core.query_model(core.read_model(str(path)), 'CPU')",
    ),
}
MINE, PEER = "WhichPU analyze, htp-v73", "onnx_ir.load"
Figure = tuple[float, float] | str
"""CPU seconds and MiB added, or why there is no figure."""


def network(nodes: int, quantised: bool, path: Path) -> None:
    """A chain of residual blocks (1x1 convolution, ReLU, addition) on [1, 8, 16, 16]."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    made: list[onnx.NodeProto] = []
    stored = {"w": np.ones((8, 8, 1, 1), np.float32), "s": np.float32(0.1), "z": np.int8(0)}
    stored["wq"] = np.ones((8, 8, 1, 1), np.int8)

    def add(kind: str, *inputs: str) -> str:
        made.append(helper.make_node(kind, list(inputs), [f"t{len(made)}"], name=f"n{len(made)}"))
        return f"t{len(made) - 1}"

    def told(tensor: str) -> str:
        return add("DequantizeLinear", add("QuantizeLinear", tensor, "s", "z"), "s", "z") if quantised else tensor

    block = told("x")
    while len(made) < nodes:
        weights = add("DequantizeLinear", "wq", "s", "z") if quantised else "w"
        inner = told(add("Relu", told(add("Conv", block, weights))))
        block = told(add("Add", block, inner))
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 16, 16]) for name in ("x", block)]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    graph = helper.make_graph(made, "residual", edges[:1], edges[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def taken(tool: str, path: Path) -> Figure:
    """CPU seconds and MiB that the work added, or why there is no figure."""
    imports, work = TOOLS[tool]
    code = CHILD.format(imports=imports, work=work)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"over {LIMIT_S}"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:60] if done.stderr.strip() else f"exit {done.returncode}"
    seconds, most, before = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, most - before


def exponent(small: float, large: float) -> float:
    """Growth from 10,000 to 100,000 nodes: the power of n that joins the two."""
    return math.log10(large / small)


def main() -> None:
    """Measure, print and write the table."""
    options = page.parser(__doc__ or "").parse_args()
    facts = page.Facts()
    rows, verdicts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("float", "QDQ"):
            found = measured(kind, Path(folder))
            rows += [
                [kind, tool, *map(_shown, figures), _growth(figures), _memory(figures)]
                for tool, figures in found.items()
            ]
            mine, theirs = found[MINE][-1], found[PEER][-1]
            if isinstance(mine, tuple) and isinstance(theirs, tuple):
                verdicts.append(f"- {kind}, {SIZES[-1]:,} nodes: {mine[0] / theirs[0]:.2f} times {PEER} (goal: {GOAL})")
    head = ["graph", "tool", *(f"{size:,} nodes" for size in SIZES), "growth exponent", "MiB added, 10k / 100k"]
    lines = ["# Analysis of large networks, CPU seconds", "", __doc__ or "", *facts.lines(), ""]
    page.show([*lines, *page.table(head, rows), "", *verdicts], options.output)


def measured(kind: str, folder: Path) -> dict[str, list[Figure]]:
    """Every tool's figures on the three sizes of one kind of graph."""
    paths = [folder / f"{kind}{size}.onnx" for size in SIZES]
    for size, path in zip(SIZES, paths, strict=True):
        network(size, kind == "QDQ", path)
    return {tool: [taken(tool, path) for path in paths] for tool in TOOLS}


def _shown(figure: Figure) -> str:
    return figure if isinstance(figure, str) else f"{figure[0]:.2f}"


def _growth(figures: list[Figure]) -> str:
    middle, last = figures[-2:]
    if isinstance(middle, str) or isinstance(last, str):
        return "-"
    return f"{exponent(middle[0], last[0]):.2f}"


def _memory(figures: list[Figure]) -> str:
    return " / ".join("-" if isinstance(figure, str) else f"{figure[1]:.0f}" for figure in figures[-2:])


if __name__ == "__main__":
    main()
