"""Changes to an ONNX model, gathered and then made at once: nodes put in the place of others, constants added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whichpu.graphs.graph import Operator

IR_LEAST = 4
"""From this version on constants need not be inputs too."""


class Edit:
    """A copy of a model that is being rewritten. New nodes stand where the node that they replace stood."""

    def __init__(self, model: Any) -> None:
        import onnx

        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        if self.model.functions:
            import onnx.inliner

            self.model = onnx.inliner.inline_local_functions(self.model)
        self.model.ir_version = max(self.model.ir_version, IR_LEAST)
        self.graph = self.model.graph
        own = (entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))
        self.opset = next(own, 0)
        self.makers = {output: node for node in self.graph.node for output in node.output if output}
        self.names = set(self.makers) | {tensor.name for tensor in self.graph.initializer}
        self.names |= {value.name for value in self.graph.input}
        self.names.update(name for node in self.graph.node for name in _read(node))
        self._before: dict[int, list[Any]] = {}
        self._gone: set[int] = set()
        self._renamed: dict[str, str] = {}
        self._forgotten: set[str] = set()

    # ---------------------------------------------------------------- what a rewrite asks for

    def node_of(self, operator: Operator) -> Any:
        """The model's node of an operator; the node may be changed in place."""
        return self.makers[operator.outputs[0].name]

    def at(self, operator: Operator) -> Place:
        """Where new nodes go: before this operator's node."""
        return Place(self, self._before.setdefault(id(self.node_of(operator)), []), operator.name)

    def instead(self, operator: Operator) -> Place:
        """Where new nodes go that replace an operator."""
        place = self.at(operator)
        self.remove(operator)
        return place

    def remove(self, operator: Operator) -> None:
        """Take an operator's node out."""
        self._gone.add(id(self.node_of(operator)))

    def constant(self, values: ArrayLike, dtype: Any, name: str) -> str:
        """A new constant of the model; its name."""
        from onnx import numpy_helper

        called = self.fresh(name)
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(values, dtype=dtype)).reshape(np.shape(values))
        self.graph.initializer.append(numpy_helper.from_array(array, called))
        return called

    def fresh(self, name: str) -> str:
        """A name that no tensor of the model has."""
        called, number = name, 2
        while called in self.names:
            called, number = f"{name}_{number}", number + 1
        self.names.add(called)
        return called

    def rename(self, old: str, new: str) -> None:
        """What reads tensor ``old`` reads ``new``."""
        self._renamed[old] = new

    def forget(self, name: str) -> None:
        """The stored type and shape of a tensor no longer hold."""
        self._forgotten.add(name)

    # ---------------------------------------------------------------- the result

    def finish(self) -> Any:
        """The rewritten model, without what nothing reads any more."""
        nodes = [node for old in self.graph.node for node in self._in_place_of(old)]
        for node in nodes:
            for position, name in enumerate(node.input):
                if name in self._renamed:
                    node.input[position] = self._latest(name)
        kept = _live(nodes, {value.name for value in self.graph.output})
        del self.graph.node[:]
        self.graph.node.extend(kept)
        self._tidy()
        return self.model

    def _latest(self, name: str) -> str:
        """The name after all renames, also of what it was renamed to."""
        while name in self._renamed:
            name = self._renamed[name]
        return name

    def _in_place_of(self, old: Any) -> Iterator[Any]:
        yield from self._before.get(id(old), ())
        if id(old) not in self._gone:
            yield old

    def _tidy(self) -> None:
        """Drop constants that nothing reads, and stored shapes of tensors that are gone."""
        read = {value.name for value in self.graph.output}
        read.update(name for node in self.graph.node for name in _read(node))
        unread = {tensor.name for tensor in self.graph.initializer} - read
        made = {name for node in self.graph.node for name in node.output} - self._forgotten
        _keep(self.graph.initializer, lambda tensor: tensor.name in read)
        _keep(self.graph.input, lambda value: value.name not in unread)
        _keep(self.graph.value_info, lambda value: value.name in made)


class Place:
    """A place in the model where nodes are added, one after the other."""

    def __init__(self, edit: Edit, nodes: list[Any], name: str) -> None:
        self.edit, self._nodes, self._name = edit, nodes, name

    def add(self, type: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """A node of one output, called ``output`` where that is given; the output's name."""
        return self.many(type, inputs, [output], **attributes)[0]

    def many(self, type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:
        """A node of several outputs; an empty name is made up."""
        from onnx import helper

        name = self.edit.fresh(f"{self._name}/{type}")
        called = [output or self.edit.fresh(f"{name}_output") for output in outputs]
        self._nodes.append(helper.make_node(type, inputs, called, name=name, **attributes))
        return called

    def constant(self, values: ArrayLike, dtype: Any) -> str:
        """A constant named after the place."""
        return self.edit.constant(values, dtype, f"{self._name}/constant")

    def clip(self, tensor: str, low: float, high: float, dtype: Any, output: str = "") -> str:
        """A Clip in the form that the model's opset has."""
        if self.edit.opset < 11:
            return self.add("Clip", [tensor], output, min=float(low), max=float(high))
        return self.add("Clip", [tensor, self.constant(low, dtype), self.constant(high, dtype)], output)

    @property
    def last(self) -> Any:
        """The node added last."""
        return self._nodes[-1]


def set_attribute(node: Any, name: str, value: Any) -> None:
    """Set a node's attribute; None takes it away."""
    from onnx import helper

    _keep(node.attribute, lambda attribute: attribute.name != name)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def _keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [item for item in items if wanted(item)]
    if len(kept) < len(items):
        del items[:]
        items.extend(kept)


def _live(nodes: Sequence[Any], wanted: Iterable[str]) -> list[Any]:
    """Nodes that something reads, in their order."""
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    kept = {place for place, node in enumerate(nodes) if not any(node.output)}
    open_names = [*wanted, *(name for place in kept for name in _read(nodes[place]))]
    while open_names:
        place = makers.get(open_names.pop())
        if place is not None and place not in kept:
            kept.add(place)
            open_names.extend(_read(nodes[place]))
    return [node for place, node in enumerate(nodes) if place in kept]


def _read(node: Any) -> Iterable[str]:
    """Names that a node reads, through its bodies too."""
    yield from node.input
    for attribute in node.attribute:
        for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield from (value.name for value in body.output)
            for inner in body.node:
                yield from _read(inner)
