"""RKNN-Toolkit2, Rockchip's compiler: it runs on x86 and tells in its verbose log where each layer goes.

The toolkit rewrites a model by named rules (``fuse_ops``) before it compiles it; the log tells which nodes each rule
removed and added, so that every layer can be traced to the operators it was made from. Rockchip's licence lets users
install the toolkit; it is not bundled. Source: RKNN-Toolkit2 2.5.0.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph, Operator

PACKAGE = "rknn"
TIMEOUT_S = 300.0
COLOUR = re.compile("\x1b\\[[0-9;]*m")
VERSION = re.compile(r"rknn-toolkit2 version: (\S+)")
LAYER = re.compile(
    r"D RKNN: \[[\d:.]+\] \d+ +(?P<type>\S+) +(?P<dtype>\S+) +(?P<unit>NPU|CPU|GPU) +\S+ +\S+ +"
    r"(?P<ddr>\d+)/(?P<npu>\d+)/(?P<total>\d+) +(?P<kilobytes>\d*) *\S+?:(?P<name>.*\S)"
)
REWRITE = re.compile(r"^D +\w+: remove node = \[(?P<removed>.*?)\](?:, add node = \[(?P<added>.*?)\])?$", re.MULTILINE)
QUOTED = re.compile(r"'([^']*)'")
EDGES = ("InputOperator", "OutputOperator")
LAYOUT = ("Reshape", "exDataConvert")
"""Layers that change the form of a tensor only; the toolkit adds them, and where they run says nothing of the rest."""
EMPTIED = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
"""Source operators that are changes of layout themselves."""
AROUND = ("QuantizeLinear", "DequantizeLinear")
"""Part of the operators they stand around."""


@dataclass(frozen=True)
class Layer:
    """One row of the compiler's table of layers."""

    type: str
    dtype: str
    unit: str
    name: str
    cycles: int
    kilobytes: int


def why_not(target: Target) -> str | None:
    """Why RKNN-Toolkit2 can't be asked; None when it can."""
    install = f"pip install rknn-toolkit2 in an environment of its own, then {target.capability.name}:python=PATH"
    return process.not_held(target, PACKAGE, "rknn-toolkit2", install)


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Compile a copy of the model. Raises :class:`UserError` for a model that is no ONNX."""
    process.onnx_only(path, "RKNN-Toolkit2")
    with tempfile.TemporaryDirectory(prefix="whichpu-rknn-") as temporary:
        folder = Path(temporary)
        process.copied(path, folder)
        child = Path(__file__).with_name("rknn_child.py")
        precision = target.options.get("precision", "w8a8")
        platform = target.capability.name
        sizes = {tensor.name: tensor.shape for tensor in graph.inputs if tensor.elements is not None}
        (folder / "sizes.json").write_text(json.dumps(sizes))
        words = [target.python or sys.executable, str(child), "model.onnx", platform, precision]
        ended = process.run([*words, "nodes.json", "sizes.json"], folder, TIMEOUT_S)
        nodes = folder / "nodes.json"
        names = json.loads(nodes.read_text()) if nodes.is_file() else {}
    return answer(ended, graph, names)


def answer(ended: process.Ended, graph: Graph, names: Mapping[str, str]) -> Answer:
    """What the log tells. ``names``: output tensor of each node as the child named it."""
    log = COLOUR.sub("", ended.log)
    version = VERSION.search(log)
    tool = f"rknn-toolkit2 {version[1]}" if version else "rknn-toolkit2"
    found = layers(log)
    if ended.how or not found:
        return Answer(tool, {}, refused=refusal(log, ended), log=log)
    made = {tensor.name: operator for operator in graph.operators for tensor in operator.outputs}
    by_name = {name: made[output] for name, output in names.items() if output in made}
    verdicts = _verdicts(graph, by_name, found, log, tool)
    figures: dict[str, Any] = {
        "cycles": sum(layer.cycles for layer in found),
        "memory_traffic_kilobytes": sum(layer.kilobytes for layer in found),
        "layers_on_npu": sum(layer.unit == "NPU" for layer in found),
        "layers_on_cpu": sum(layer.unit != "NPU" for layer in found),
        "layers": [f"{layer.type} {layer.dtype} {layer.unit} {layer.name}" for layer in found],
    }
    return Answer(tool, verdicts, regions=_runs(found), figures=figures, log=log)


def layers(log: str) -> list[Layer]:
    """Rows of the layer table, the model's own inputs and outputs left out."""
    rows = (match.groupdict() for match in LAYER.finditer(log))
    return [
        Layer(row["type"], row["dtype"], row["unit"], row["name"], int(row["total"]), int(row["kilobytes"] or 0))
        for row in rows
        if row["type"] not in EDGES
    ]


def _runs(found: Iterable[Layer]) -> int:
    """Maximal runs of layers on the NPU, in the order of the table."""
    units = [layer.unit for layer in found]
    return sum(unit == "NPU" and (place == 0 or units[place - 1] != "NPU") for place, unit in enumerate(units))


def refusal(log: str, ended: process.Ended) -> str:
    """The toolkit's last error, in its own words, and the rule it says can be switched off."""
    errors = re.findall(r"^(?:\w+Error|what\(\)|  what\(\)): *(.*\S)", log, re.MULTILINE)
    kinds = re.findall(r"^(\w+Error): .*\S", log, re.MULTILINE)
    rule = re.search(r"disable_rules=\['(\w+)'\]", log)
    said = f"{kinds[-1]}: {errors[-1]}" if kinds and errors else (errors[-1] if errors else "")
    parts = [said or ended.how or "it made no layers", f"in its rule {rule[1]}" if rule else ""]
    if said and ended.status is not None and ended.status < 0:
        parts.append(ended.how)
    return ", ".join(filter(None, parts))


def sources(log: str, names: Iterable[str]) -> dict[str, set[str]]:
    """Source nodes of every node there ever was: what a rule adds comes from what it removed."""
    come: dict[str, set[str]] = {name: {name} for name in names}
    for match in REWRITE.finditer(log):
        removed, added = QUOTED.findall(match["removed"]), QUOTED.findall(match["added"] or "")
        origin = set[str]().union(*(come.get(name, set()) for name in removed))
        for name in added:
            come[name] = origin if name in removed or name not in come else come[name] | origin
    return come


def _verdicts(
    graph: Graph, by_name: Mapping[str, Operator], found: list[Layer], log: str, tool: str
) -> dict[int, Verdict]:
    come = sources(log, by_name)
    mine: dict[int, list[Layer]] = {}
    for layer in found:
        own = layer.name.partition("#")[0]
        made_from = [
            by_name[name] for name in ((own,) if own in by_name else come.get(layer.name, ())) if name in by_name
        ]
        moves = [operator for operator in made_from if layer.type == operator.type == "Transpose"]
        for operator in moves or made_from:  # a Transpose made from one of the model's own is that one
            mine.setdefault(operator.index, []).append(layer)
    verdicts = {index: _of(graph.operators[index], rows, tool) for index, rows in mine.items()}
    for operator in by_name.values():
        if operator.index not in verdicts and operator.type not in AROUND:
            _fused(graph, operator, verdicts, tool)
    return dict(sorted(verdicts.items()))


def _of(operator: Operator, rows: list[Layer], tool: str) -> Verdict:
    """The verdict of one operator's layers: the NPU's when all are there, changes of layout left aside."""
    real = [row for row in rows if row.type not in LAYOUT]
    if operator.type in EMPTIED or not real:
        return Verdict("npu", "a change of layout", said_by=tool)
    off = [row for row in real if row.unit != "NPU"]
    if not off:
        return Verdict("npu", said_by=tool)
    which = ", ".join(dict.fromkeys(f"{row.type} ({row.dtype.lower()})" for row in off))
    return Verdict("host", f"the compiler's layer table has {which} on the CPU", said_by=tool)


def _fused(graph: Graph, operator: Operator, verdicts: dict[int, Verdict], tool: str) -> None:
    """An operator without a layer of its own was fused into a neighbour, the one that makes its input first.

    Two of a kind, one after another, become one (two Slices), wherever that runs.
    """
    for neighbour in _beyond(graph.parents, operator):
        if neighbour.type == operator.type and neighbour.index in verdicts:
            verdicts[operator.index] = verdicts[neighbour.index]
            return
    for neighbour in (*_beyond(graph.parents, operator), *_beyond(graph.children, operator)):
        if neighbour.index in verdicts and verdicts[neighbour.index].status == "npu":
            verdicts[operator.index] = Verdict("npu", f"fused with {neighbour.name}", said_by=tool)
            return


def _beyond(step: Callable[[Operator], Iterable[Operator]], operator: Operator) -> Iterator[Operator]:
    """Neighbours on one side, those behind a Q and DQ for these."""
    for neighbour in step(operator):
        if neighbour.type in AROUND:
            yield from _beyond(step, neighbour)
        else:
            yield neighbour
