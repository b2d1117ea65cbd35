"""An ONNX graph taken apart: tensors inside it as outputs, pieces of it alone, and what follows a given tensor.

Control flow (If, Loop, Scan) counts as one node; what its subgraphs read from outside counts as read by it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whichpu.errors import UserError
from whichpu.models import onnx_file

FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""ONNX's numbers of float types (TensorProto.DataType)."""
TRANSPARENT = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity")
"""Operators that change how a tensor is written, not what it says."""
TAP, FED = "whichpu_tap_", "whichpu_fed_"
IR_LEAST = 4
"""From this version on, initialisers need not be inputs too."""


class Graph:
    """A parsed model, and the questions that are asked about it: who makes a tensor, who reads it, of what type."""

    def __init__(self, model: Any, name: str = "the model") -> None:
        self.model, self.name = model, name
        self.nodes = list(model.graph.node)
        self.dense = {tensor.name: tensor for tensor in model.graph.initializer}
        self.weights = set(self.dense)
        self.weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in model.graph.output]
        self.maker = {name: at for at, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = defaultdict(list)
        for at, node in enumerate(self.nodes):
            for name in reads(node):
                self.readers[name].append(at)
        self.types, self.sizes = _types(model)
        self.live = set(self.inputs)
        for node in self.nodes:
            if any(name in self.live for name in reads(node)):
                self.live |= {name for name in node.output if name}

    def activations(self) -> list[str]:
        """Tensors that depend on the inputs and are floats (or of a type that can't be told), in topological order."""
        made = [name for node in self.nodes for name in node.output if name in self.live]
        return [name for name in made if self.types.get(name, 1) in FLOATS]

    def dequantised(self, name: str) -> list[str]:
        """What a tensor has become where it is read: outputs of DequantizeLinear when all its readers quantise it."""
        readers = [self.nodes[at] for at in self.readers[name]]
        if not readers or name in self.outputs or any(node.op_type != "QuantizeLinear" for node in readers):
            return []
        after = [self.nodes[at] for node in readers for at in self.readers[node.output[0]]]
        if not after or any(node.op_type != "DequantizeLinear" for node in after):
            return []
        return [node.output[0] for node in after]

    def constant(self, name: str) -> Any:
        """The value of an initialiser or of a Constant as an array; ``None`` for any other tensor."""
        from onnx import numpy_helper

        if name in self.dense:
            return numpy_helper.to_array(self.dense[name])
        node = self.nodes[self.maker[name]] if name in self.maker else None
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        return None


def read(path: Path) -> Graph:
    """An ONNX file with its weights. Raises :class:`UserError` when it is none, or weights are missing."""
    import onnx

    model = onnx_file.read(path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as problem:
        raise UserError(f"the weights of {path} can't be read: {problem}") from problem
    return Graph(model, path.name)


def reads(node: Any) -> list[str]:
    """The tensors that a node reads, through its subgraphs too."""
    names = [name for name in node.input if name]
    for graph in _subgraphs(node):
        own = _defined(graph)
        names += [name for inner in graph.node for name in reads(inner) if name not in own]
        names += [value.name for value in graph.output if value.name not in own]
    return names


# ---------------------------------------------------------------- pieces


class Piece(NamedTuple):
    """The nodes that make ``tensor`` from ``fed`` (tensors of the graph), in topological order."""

    tensor: str
    nodes: tuple[int, ...]
    fed: tuple[str, ...]


def piece(graph: Graph, tensor: str, stops: Collection[str]) -> Piece:
    """What makes ``tensor``, back to ``stops`` and to the graph's inputs."""
    nodes: set[int] = set()
    fed: dict[str, None] = {}
    seen, todo = {tensor}, [tensor]
    while todo:
        name = todo.pop()
        if name in graph.inputs or (name in stops and name != tensor):
            fed[name] = None
        elif name in graph.maker and graph.maker[name] not in nodes:
            nodes.add(graph.maker[name])
            fresh = [one for one in reads(graph.nodes[graph.maker[name]]) if one not in seen]
            seen.update(fresh)
            todo += fresh
    return Piece(tensor, tuple(sorted(nodes)), tuple(fed))


def tapped(graph: Graph, names: Sequence[str]) -> tuple[Any, list[int]]:
    """The model with further outputs, and the number of the output that shows each of ``names``.

    A tap is an Identity, because some runtimes give no output that another node reads.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    at = []
    for name in names:
        if name in graph.outputs:
            at.append(graph.outputs.index(name))
            continue
        at.append(len(model.graph.output))
        tap = f"{TAP}{at[-1]}"
        model.graph.node.append(onnx.helper.make_node("Identity", [name], [tap], name=tap))
        model.graph.output.append(_value(tap, graph.types.get(name), graph.sizes.get(name)))
    return model, at


def isolated(
    graph: Graph, pieces: Sequence[Piece], called: Mapping[str, str], shapes: Mapping[str, Sequence[int]]
) -> tuple[Any, list[str]]:
    """One model that holds every piece alone: an output for each, and as inputs what they are fed.

    ``called`` tells of a fed tensor under which name it is fed (several may be the same); these names are returned in
    the order of the inputs. ``shapes`` has the shape of what is fed by such a name, and of the pieces' tensors.
    """
    order = list(dict.fromkeys(called[name] for one in pieces for name in one.fed))
    inputs = {name: f"{FED}{at}" for at, name in enumerate(order)}
    types = {called[name]: graph.types.get(name, 1) for one in pieces for name in one.fed}
    nodes, outputs, weights = [], [], set()
    for at, one in enumerate(pieces):
        makes = [name for index in one.nodes for name in graph.nodes[index].output if name]
        names = {name: f"{name}@{at}" for name in makes} | {name: inputs[called[name]] for name in one.fed}
        nodes += [_renamed(graph.nodes[index], names, f"@{at}") for index in one.nodes]
        weights |= _weights_of(graph, one.nodes)
        outputs.append(_value(names[one.tensor], graph.types.get(one.tensor), shapes.get(one.tensor)))
    fed = [_value(inputs[name], types[name], shapes[name]) for name in order]
    return _model(graph, nodes, fed, outputs, weights), order


def after(graph: Graph, given: Mapping[str, Sequence[int]]) -> tuple[Any, list[str]]:
    """The model with tensors inside it as inputs, behind those of its inputs that are still needed, whose names are
    returned. ``given`` tells the shape of each."""
    nodes = sorted({index for name in graph.outputs for index in piece(graph, name, given).nodes})
    needed = {name for index in nodes for name in reads(graph.nodes[index])} - set(given)
    inputs = [value for value in graph.model.graph.input if value.name in needed and value.name in graph.inputs]
    fed = [_value(name, graph.types.get(name, 1), shape) for name, shape in given.items()]
    unused = {name: f"{name}@unused" for name in given}  # made beside another output that is needed
    made = [_with_outputs(graph.nodes[index], unused) for index in nodes]
    model = _model(graph, made, [*inputs, *fed], list(graph.model.graph.output), _weights_of(graph, nodes))
    return model, [value.name for value in inputs]


def _weights_of(graph: Graph, nodes: Collection[int]) -> set[str]:
    return {name for index in nodes for name in reads(graph.nodes[index]) if name in graph.weights}


def _with_outputs(node: Any, names: Mapping[str, str]) -> Any:
    import onnx

    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.output[:] = [names.get(name, name) for name in node.output]
    return made


def _model(graph: Graph, nodes: Sequence[Any], inputs: Any, outputs: Any, weights: Collection[str]) -> Any:
    import onnx

    made = onnx.helper.make_graph(nodes, graph.model.graph.name or "graph", inputs, outputs)
    made.initializer.extend(tensor for tensor in graph.model.graph.initializer if tensor.name in weights)
    sparse = (tensor for tensor in graph.model.graph.sparse_initializer if tensor.values.name in weights)
    made.sparse_initializer.extend(sparse)
    opsets, functions = graph.model.opset_import, graph.model.functions
    version = max(IR_LEAST, graph.model.ir_version)
    return onnx.helper.make_model(made, opset_imports=opsets, functions=functions, ir_version=version)


def _renamed(node: Any, names: Mapping[str, str], suffix: str) -> Any:
    """A copy of a node with other names of tensors, in its subgraphs too."""
    import onnx

    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.name = f"{node.name or node.op_type}{suffix}"
    made.input[:] = [names.get(name, name) for name in node.input]
    made.output[:] = [names.get(name, name) for name in node.output]
    for graph in _subgraphs(made):
        _rename_graph(graph, names)
    return made


def _rename_graph(graph: Any, names: Mapping[str, str]) -> None:
    own = _defined(graph)
    outer = {name: other for name, other in names.items() if name not in own}
    for node in graph.node:
        node.input[:] = [outer.get(name, name) for name in node.input]
        for inner in _subgraphs(node):
            _rename_graph(inner, outer)
    for value in graph.output:
        value.name = outer.get(value.name, value.name)


def _defined(graph: Any) -> set[str]:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    return own | {name for node in graph.node for name in node.output}


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _value(name: str, kind: int | None, shape: Sequence[Any] | None) -> Any:
    """A tensor's declaration; without a type where it can't be told."""
    import onnx

    if kind is None:
        return onnx.ValueInfoProto(name=name)
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _types(model: Any) -> tuple[dict[str, int], dict[str, list[Any]]]:
    """Element type and sizes of each tensor, as far as declared or inferred. An open size is a string or ``None``."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # too large a model (2 GiB), or operators it stumbles over
        inferred = model
    types: dict[str, int] = {}
    sizes: dict[str, list[Any]] = {}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
            continue
        types[value.name] = value.type.tensor_type.elem_type
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            sizes[value.name] = [
                dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in dims
            ]
    for tensor in inferred.graph.initializer:
        types[tensor.name] = tensor.data_type
    return types, sizes


def bytes_of(graph: Graph, name: str) -> int:
    """Bytes of a tensor as float32, an open size counting as one."""
    return 4 * math.prod(size if isinstance(size, int) else 1 for size in graph.sizes.get(name, [1 << 18]))


# ---------------------------------------------------------------- two graphs


class Point(NamedTuple):
    """A tensor that both models have: as a tap in each, and where pieces of each begin that are fed with it."""

    name: str
    theirs: str
    ours: str
    their_stops: tuple[str, ...]
    our_stops: tuple[str, ...]


class Match(NamedTuple):
    """Points in the topological order of our model; how they were found; tensors of ours that have no counterpart."""

    points: list[Point]
    by: str
    unmatched: list[str]


def match(ours: Graph, theirs: Graph) -> Match:
    """Which tensor of one is which of the other: by name, else by order where the operators are the same.

    A tensor that is quantised and dequantised is what comes out of that. Raises :class:`UserError` when nothing inside
    the models corresponds.
    """
    inside = [name for name in theirs.activations() if name not in _between(theirs)]
    points = _by_name(ours, theirs, [*theirs.inputs, *inside])
    if ours is theirs and not points:
        raise UserError(f"{ours.name} computes no floats from its inputs: bisect compares floats, layer by layer")
    inner = [point for point in points if point.ours not in ours.outputs]
    if ours is not theirs and (len(points) < len(inside) / 4 or (len(inside) > 1 and not inner)):
        by_order = _by_order(ours, theirs)
        if len(by_order) > len(points):
            return Match(by_order, "order", [])
        if not inner:
            raise UserError(
                f"no tensor inside {ours.name} corresponds to one of {theirs.name}: neither by name, nor are the"
                " operators the same in the same order",
                "give two forms of one export (models quantised as QDQ keep the names; QOperator models don't)",
            )
    known = {point.ours for point in points} | {name for point in points for name in point.our_stops}
    between = _between(ours)
    left = [name for name in ours.activations() if not known & {name, *ours.dequantised(name)} and name not in between]
    return Match(points, "name", left)


def _by_name(ours: Graph, theirs: Graph, names: Sequence[str]) -> list[Point]:
    have = {*ours.inputs, *ours.activations()}
    found = [_point(name, name, name, ours, theirs) for name in names if name in have]
    return _ordered([point for point in found if point.ours not in ours.inputs], ours)


def _by_order(ours: Graph, theirs: Graph) -> list[Point]:
    """Outputs of the operators in topological order, if these are the same in both models."""
    a, b = ([node for node in graph.nodes if _computes(node, graph)] for graph in (ours, theirs))
    if [node.op_type for node in a] != [node.op_type for node in b]:
        return []
    pairs = [(one, other) for x, y in zip(a, b, strict=True) for one, other in zip(x.output, y.output, strict=False)]
    have, had = set(ours.activations()), set(theirs.activations())
    found = [_point(one, one, other, ours, theirs) for one, other in pairs if one in have and other in had]
    return _ordered(found, ours)


def _point(name: str, our_name: str, their_name: str, ours: Graph, theirs: Graph) -> Point:
    """Quantised in both, pieces begin before quantising (which then changes nothing); in one, behind it."""
    after_ours, after_theirs = ours.dequantised(our_name), theirs.dequantised(their_name)
    both = bool(after_ours) and bool(after_theirs)
    return Point(
        name=name,
        ours=(after_ours or [our_name])[0],
        theirs=(after_theirs or [their_name])[0],
        our_stops=(our_name,) if both or not after_ours else tuple(after_ours),
        their_stops=(their_name,) if both or not after_theirs else tuple(after_theirs),
    )


def _ordered(points: list[Point], ours: Graph) -> list[Point]:
    made = {point.ours: point for point in points}  # each tap once
    return sorted(made.values(), key=lambda point: ours.maker[point.ours])


def _between(graph: Graph) -> set[str]:
    """Outputs of DequantizeLinear that stand for the tensor before quantising."""
    return {after for name in [*graph.inputs, *graph.activations()] for after in graph.dequantised(name)}


def _computes(node: Any, graph: Graph) -> bool:
    return node.op_type not in TRANSPARENT and any(name in graph.live for name in node.output)


def before_quantising(graph: Graph, name: str) -> str | None:
    """The tensor that ``name`` is, quantised and dequantised; ``None`` where it is not."""
    node = graph.nodes[graph.maker[name]] if name in graph.maker else None
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in graph.maker:
        return None
    before = graph.nodes[graph.maker[node.input[0]]]
    return str(before.input[0]) if before.op_type == "QuantizeLinear" else None
