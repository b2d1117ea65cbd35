"""ONNX as a graph: sub-graphs entered, functions inlined, shapes inferred, what works on constants alone folded."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.readers import onnx_shapes
from whichpu.graphs.readers.onnx_constants import Constants, foldable
from whichpu.models import onnx_file

COMPILED = {
    "EPContext": "ONNX Runtime for {source}",
    "TRTEngineOp": "TensorRT",
    "HailoOp": "Hailo",
}
"""Operators that stand for a network compiled for a device already."""

Shapes = Mapping[str | None, Sequence[int]]
"""Sizes of inputs by name; ``None`` is the only input."""


def read(path: Path, shapes: Shapes) -> Graph:
    """The graph of an ONNX file. Raises :class:`UserError`, see :func:`whichpu.graphs.readers.read`."""
    model = onnx_file.read(path)
    _external(model, path)
    return graph_of(model, path.name, shapes, path.parent)


def graph_of(model: Any, name: str, shapes: Shapes | None = None, folder: Path = Path()) -> Graph:
    """The graph of a parsed model, which is left alone; its external weights lie in ``folder``."""
    _compiled(model, name)
    notes: list[str] = []
    if model.functions:
        import onnx.inliner

        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as problem:  # ONNX raises several kinds, RuntimeError among them
            first = str(problem).strip().splitlines()[0]
            raise UserError(f"{name} is invalid: its functions: {first}", "export it again") from problem
        notes.append("functions of the model's own are analysed as the operators they stand for")
    constants = Constants(model, folder)
    sized = onnx_shapes.sized(model, name, shapes or {}, notes)
    graph = _Builder(sized, name, constants, list(notes)).build()
    return onnx_shapes.completed(graph, sized, lambda again: _Builder(again, name, constants, list(notes)).build())


def _external(model: Any, path: Path) -> None:
    """Weights kept in other files must lie in the model's folder and be there."""
    folder = path.parent.resolve()
    for name in onnx_file.external_files(model):
        file = (folder / name).resolve()
        if Path(name).is_absolute() or not file.is_relative_to(folder):
            raise UserError(
                f"{path.name} keeps weights in {name!r}, outside of its folder; WhichPU does not follow that",
                "save the model again with its weights beside it",
            )
        if not file.is_file():
            raise UserError(f"{path.name} needs {name} beside it, which is not there", f"copy it to {path.parent}")


def _compiled(model: Any, name: str) -> None:
    for node in model.graph.node:
        if node.op_type in COMPILED:
            given = {a.name: a.s.decode(errors="replace") for a in node.attribute if a.name == "source"}
            who = COMPILED[node.op_type].format(source=given.get("source", "a device"))
            raise UserError(
                f"{name} is compiled for a device already, by {who} ({node.op_type})",
                "analyse the model that it was compiled from",
            )


class _Builder:
    """One walk over the model's nodes, each body with its own names."""

    def __init__(self, model: Any, name: str, constants: Constants, notes: list[str]) -> None:
        self.model = model
        self.name = name
        self.constants = constants
        self.notes = notes
        self.operators: list[Operator] = []
        self.folded = 0

    def build(self) -> Graph:
        body = self.model.graph
        names: dict[str, Tensor] = {}
        inputs = self._body(body, names, "")
        outputs = [names[value.name] for value in body.output if value.name in names]
        missing = [value.name for value in body.output if value.name not in names]
        if missing:
            raise UserError(f"{self.name}: nothing produces its output {missing[0]!r}", "export the model again")
        if self.folded:
            self.notes.append(f"{self.folded} operators that work on constants alone are folded, as compilers do")
        opset = next((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), None)
        return Graph(self.name, "onnx", self.operators, inputs, outputs, opset, self.notes).connect()

    def _body(self, body: Any, names: MutableMapping[str, Tensor], within: str) -> list[Tensor]:
        """Add a body's operators; ``names`` holds the tensors in sight and gains the body's own."""
        types = onnx_shapes.types(body)
        for tensor in self.constants.of(body, within):
            names[tensor.name] = tensor
        inputs = []
        for value in body.input:
            if value.name not in names or within:
                names[value.name] = _tensor(value.name, types)
                inputs.append(names[value.name])
        produced: set[str] = set()
        for node in _ordered(body.node, names, self.name):
            self._node(node, names, types, within)
            for output in filter(None, node.output):
                if output in produced:
                    raise UserError(f"{self.name} is invalid: {output!r} is produced twice", "export the model again")
                produced.add(output)
        return inputs

    def _node(self, node: Any, names: MutableMapping[str, Tensor], types: Mapping[str, Any], within: str) -> None:
        inputs = [names[name] if name else None for name in node.input]
        outputs = [_tensor(name, types) for name in node.output if name]
        names.update((tensor.name, tensor) for tensor in outputs)
        if foldable(node, inputs):
            self.constants.fold(node, inputs, outputs)
            self.folded += node.op_type not in ("Constant", "Identity")
            return
        attributes, bodies = _attributes(node)
        called = node.name or next(iter(filter(None, node.output)), node.op_type)
        for attribute, body in bodies:
            self._body(body, ChainMap({}, names), f"{within}/{called}/{attribute}")
        domain = "" if node.domain == "ai.onnx" else node.domain
        self.operators.append(
            Operator(len(self.operators), called, node.op_type, inputs, outputs, attributes, domain, within)
        )


def _tensor(name: str, types: Mapping[str, Any]) -> Tensor:
    dtype, shape = types.get(name, (None, None))
    return Tensor(name, dtype, shape)


def _ordered(nodes: Sequence[Any], names: Mapping[str, Tensor], model: str) -> Iterator[Any]:
    """Nodes with producers first, in the file's order where that is one. Raises :class:`UserError` for a cycle."""
    if _in_order(nodes, names):
        yield from nodes
        return
    from graphlib import CycleError, TopologicalSorter

    maker = {output: position for position, node in enumerate(nodes) for output in node.output if output}
    needs: dict[int, list[int]] = {}
    for position, node in enumerate(nodes):
        taken = list(_taken(node))
        nowhere = [name for name in taken if name not in maker and name not in names]
        if nowhere:
            raise UserError(
                f"{model} is invalid: nothing produces {nowhere[0]!r}, which {node.op_type} {node.name!r} takes",
                "export the model again",
            )
        needs[position] = [maker[name] for name in taken if name in maker]
    try:
        for position in TopologicalSorter(needs).static_order():
            yield nodes[position]
    except CycleError as problem:
        around = " -> ".join(nodes[position].name or nodes[position].op_type for position in problem.args[1])
        raise UserError(f"{model} is invalid: its operators form a cycle ({around})", "export it again") from problem


def _in_order(nodes: Sequence[Any], names: Mapping[str, Tensor]) -> bool:
    seen = set[str]()
    for node in nodes:
        if any(name not in seen and name not in names for name in _taken(node)):
            return False
        seen.update(node.output)
    return True


def _taken(node: Any) -> Iterator[str]:
    """Names a node takes; a sub-graph's outer names are looked up when it is entered."""
    return filter(None, node.input)


def _attributes(node: Any) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Plain values, and the sub-graphs by attribute name. Tensors become arrays where they are small."""
    import onnx

    kinds = onnx.AttributeProto
    plain: dict[str, Any] = {}
    bodies: list[tuple[str, Any]] = []
    for attribute in node.attribute:
        if attribute.type == kinds.GRAPH:
            bodies.append((attribute.name, attribute.g))
        elif attribute.type == kinds.GRAPHS:
            bodies += [(f"{attribute.name}[{place}]", body) for place, body in enumerate(attribute.graphs)]
        elif attribute.type == kinds.INT:
            plain[attribute.name] = attribute.i
        elif attribute.type == kinds.INTS:
            plain[attribute.name] = tuple(attribute.ints)
        elif attribute.type == kinds.FLOAT:
            plain[attribute.name] = attribute.f
        elif attribute.type == kinds.FLOATS:
            plain[attribute.name] = tuple(attribute.floats)
        elif attribute.type == kinds.STRING:
            plain[attribute.name] = attribute.s.decode(errors="replace")
        elif attribute.type == kinds.STRINGS:
            plain[attribute.name] = tuple(text.decode(errors="replace") for text in attribute.strings)
    return plain, bodies
