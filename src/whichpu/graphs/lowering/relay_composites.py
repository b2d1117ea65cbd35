"""MergeComposite: calls joined into the composites of TVM's Ethos-N pattern table, in the order of that table.

Source: apache/tvm v0.18.0, python/tvm/relay/op/contrib/ethosn.py and src/relay/transforms/merge_composite.cc. Inner
calls of a match may have no consumer outside of it. Where several patterns fit one call, the first that the support
library takes is chosen. A composite that it refuses stays one operator here, so that its reason is told once; TVM
leaves its calls as they were, which places them the same way. ``parts`` names the calls it was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.lowering.relay_builder import connected

PREFIX = "ethos-n."


@dataclass(frozen=True)
class Pattern:
    """Calls from the last to the first. A call in ``optional`` may lack; ``constants`` are inputs that must be."""

    name: str
    calls: tuple[str, ...]
    optional: tuple[str, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()


PATTERNS = (
    Pattern("qnn_mul_to_reinterpret_quantize", ("qnn.mul",)),
    Pattern("qnn_mul_to_depthwise", ("qnn.mul",)),
    Pattern("qnn_add_to_reinterpret_quantize", ("qnn.add",)),
    Pattern("qnn_add_to_depthwise", ("qnn.add",)),
    Pattern("qnn_add", ("qnn.add",)),
    Pattern(
        "qnn_conv2d",
        ("qnn.requantize", "nn.bias_add", "qnn.conv2d", "nn.pad"),
        ("nn.pad",),
        (("nn.bias_add", 1), ("qnn.conv2d", 1)),
    ),
    Pattern(
        "qnn_conv2d_transpose",
        ("qnn.requantize", "nn.bias_add", "qnn.conv2d_transpose"),
        ("nn.bias_add",),
        (("nn.bias_add", 1), ("qnn.conv2d_transpose", 1)),
    ),
    Pattern("qnn_avg_pool2d", ("cast", "nn.avg_pool2d", "cast")),
    Pattern("qnn_sigmoid", ("qnn.quantize", "sigmoid", "qnn.dequantize")),
    Pattern(
        "qnn_fc",
        ("qnn.requantize", "nn.bias_add", "qnn.dense"),
        (),
        (("nn.bias_add", 1), ("qnn.dense", 1)),
    ),
    Pattern("qnn_mean", ("qnn.requantize", "mean", "cast")),
    Pattern("qnn_tanh", ("qnn.quantize", "tanh", "qnn.dequantize")),
    Pattern("qnn_leaky_relu", ("qnn.quantize", "nn.leaky_relu", "qnn.dequantize")),
    Pattern("qnn_resize", ("image.resize2d",)),
    Pattern("qnn_requantize", ("qnn.requantize",)),
)
WITH_CONSTANT = {pattern.name for pattern in PATTERNS if "_to_" in pattern.name}
BY_ROOT: dict[str, list[Pattern]] = {}
for _pattern in PATTERNS:
    BY_ROOT.setdefault(_pattern.calls[0], []).append(_pattern)


def merged(graph: Graph, target: Target) -> Graph:
    """The graph with composites; its tensors are connected anew."""
    outputs = {id(tensor) for tensor in graph.outputs}
    replaced: dict[int, Operator] = {}
    gone: set[int] = set()
    for root in graph.operators:
        composite = _marked(root) if "composite" in root.attributes else _composite(graph, root, outputs, gone, target)
        if composite is not None:
            replaced[root.index] = composite[0]
            gone |= {call.index for call in composite[1]} - {root.index}
    kept = [replaced.get(one.index, one) for one in graph.operators if one.index not in gone]
    return connected(graph, kept)


def _composite(
    graph: Graph, root: Operator, outputs: set[int], gone: set[int], target: Target
) -> tuple[Operator, list[Operator]] | None:
    """The composite whose last call is ``root``, and its calls; None where no pattern fits."""
    last: tuple[Operator, list[Operator]] | None = None
    for pattern in BY_ROOT.get(root.type, ()):
        calls = _matched(pattern, root, outputs)
        if calls is None or any(call.index in gone for call in calls):
            continue
        last = _joined(pattern.name, calls), calls
        if pattern.calls[0] not in ("qnn.mul", "qnn.add") or target.judge(graph, last[0]).status != "host":
            return last
    return last


def _matched(pattern: Pattern, root: Operator, outputs: set[int]) -> list[Operator] | None:
    """Calls of a match, the last first."""
    if pattern.name == "qnn_resize" and root.attributes.get("method") != "nearest_neighbor":
        return None
    if pattern.name == "qnn_conv2d_transpose" and not _nhwc(root):
        return None
    if pattern.name in WITH_CONSTANT and [_constant(root, 0), _constant(root, 1)].count(True) != 1:
        return None
    found = [root]
    for kind in pattern.calls[1:]:
        inner = _before(found[-1])
        if inner is not None and inner.type == kind:
            if not _single(inner, outputs):
                return None
            found.append(inner)
        elif kind not in pattern.optional:
            return None
    needs = set(pattern.constants)
    for call in found:
        if any((call.type, position) in needs and not _constant(call, position) for position in (0, 1)):
            return None
    return found


def _nhwc(root: Operator) -> bool:
    call: Operator | None = root
    while call is not None and call.type != "qnn.conv2d_transpose":
        call = _before(call) if call.type in ("qnn.requantize", "nn.bias_add") else None
    return call is None or call.attributes.get("data_layout") == "NHWC"


def _before(call: Operator) -> Operator | None:
    tensor = call.input(0)
    return tensor.producer if tensor is not None else None


def _single(call: Operator, outputs: set[int]) -> bool:
    """Only one call takes what it gives, and the network does not."""
    (output,) = call.outputs[:1]
    return len(output.consumers) == 1 and id(output) not in outputs


def _constant(call: Operator, position: int) -> bool:
    tensor = call.input(position)
    return tensor is not None and tensor.constant


def _joined(name: str, calls: Sequence[Operator]) -> Operator:
    """One operator for the calls (the last first): what enters it from outside, the attributes of all."""
    inside = {id(tensor) for call in calls for tensor in call.outputs}
    inputs: list[Tensor | None] = []
    attributes: dict[str, Any] = {}
    for call in reversed(calls):
        inputs += [tensor for tensor in call.inputs if tensor is None or id(tensor) not in inside]
        own = dict(call.attributes)
        if call.type == "qnn.requantize" and own.get("accumulated"):
            own.pop("input_scale", None)
        if call.type in ("nn.avg_pool2d", "mean"):
            own.pop("to", None)
        attributes |= own
    parts = tuple(call.type for call in reversed(calls))
    root = calls[0]
    return Operator(
        root.index, root.name, PREFIX + name, inputs, root.outputs, attributes | {"parts": parts}, "", root.within,
        _origins(calls),
    )  # fmt: skip


def _origins(calls: Iterable[Operator]) -> tuple[int, ...]:
    return tuple(sorted({origin for call in calls for origin in call.origins}))


def _marked(root: Operator) -> tuple[Operator, list[Operator]] | None:
    """The composite that a dump says ``root`` ends; None where it is an inner call."""
    number = root.attributes.get("composite_id")
    (output,) = root.outputs[:1]
    if any(child.attributes.get("composite_id") == number for child in output.consumers):
        return None
    calls, frontier = [root], [root]
    for call in frontier:  # grows while it is walked
        for tensor in call.inputs:
            inner = tensor.producer if tensor is not None else None
            if inner is not None and inner.attributes.get("composite_id") == number and inner not in calls:
                calls.append(inner)
                frontier.append(inner)
    return _joined(str(root.attributes["composite"]).removeprefix(PREFIX), calls), calls


def call_counts(operators: Iterable[Operator]) -> dict[str, int]:
    """Relay calls by name, composites counted by their parts: what TVM's import holds."""
    found: dict[str, int] = {}
    for operator in operators:
        for kind in operator.attributes.get("parts", (operator.type,)):
            found[kind] = found.get(kind, 0) + 1
    return found
