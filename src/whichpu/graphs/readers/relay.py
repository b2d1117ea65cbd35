"""TVM Relay as text (``mod.astext()``, ``print(mod)``), partitioned or not, as one graph of relay calls.

Functions are inlined where they are called: the graph shows the calls of ``main`` and of all regions in their data
flow. An operator that stood in a function for a device says so in its attributes: ``function``, ``compiler``,
``composite`` and ``composite_id``. :func:`counts` gives the figures that reports count in such a dump.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph, Operator, Shape, Tensor
from whichpu.graphs.readers import relay_text as text_of
from whichpu.graphs.readers.relay_text import Call, Constant, Function, Get, Node, Reference, Tuple

DEEPEST = 64
"""Functions called within functions; real dumps have three: main, region, composite."""
ROOM = 1000
"""Operators allowed beyond ten for each call written: a function may be called from several places, not endlessly."""

Value = Any
"""A tensor, a list of values (a tuple), a function, or None."""


@dataclass(frozen=True)
class Counts:
    """What reports count in a dump. ``names`` are nn and qnn names anywhere in it, also inside of spans."""

    functions: int
    npu_functions: int
    calls: Counter[str]
    composites: Counter[str]
    names: Counter[str]
    lines: int
    size_bytes: int


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph of a Relay dump. Raises :class:`UserError` for what is no Relay text, with the line."""
    if shapes:
        raise UserError(f"{path.name} is Relay text: its sizes are written in it", "leave out the sizes of inputs")
    return graph_of(load(path), path.name)


def load(path: Path) -> str:
    """The text of a dump, unpacked where it is gzipped."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as problem:
        raise UserError(f"{path.name} can't be read as text: {problem}", "print the module with mod.astext()") from None


def graph_of(text: str, name: str) -> Graph:
    """The graph of a module's text."""
    module = text_of.parse(text, name)
    main = module.get("main")
    if main is None:
        raise UserError(
            f"{name} holds no function @main: it is no Relay module",
            "print the whole module: print(mod) or mod.astext()",
        )
    built = _Inliner(module, name, text.count("(")).build(main)
    devices = Counter(str(function.attributes["Compiler"]) for function in module.values() if function.device)
    if devices:
        told = ", ".join(f"{count} for {device}" for device, count in sorted(devices.items()))
        built.notes.append(f"the module is partitioned already: {len(module)} functions, {told}")
    return built


def counts(text: str) -> Counts:
    """Count a dump as reports do: functions, calls, composites, and names wherever they stand."""
    plain = text_of.COMMENT.sub("", text)
    names = Counter(re.sub(r"_\d+$", "_", found) for found in re.findall(r"q?nn\.[a-z0-9_]+", text))
    return Counts(
        functions=len(re.findall(r"^def @", text, re.MULTILINE)),
        npu_functions=len(re.findall(r"^def @[^\n]*\bCompiler=\"ethos-n\"", text, re.MULTILINE)),
        calls=Counter(
            found for found in re.findall(r"(?:= |^\s+)([a-z][\w.]*)\(", plain, re.MULTILINE) if found != "fn"
        ),
        composites=Counter(re.findall(r"\bComposite=\"([^\"]+)\"", plain)),
        names=names,
        lines=text.count("\n") + (not text.endswith("\n")),
        size_bytes=len(text.encode()),
    )


@dataclass
class _Place:
    """The function that is being inlined: names in sight, and what its operators are marked with."""

    names: dict[str, Value] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    depth: int = 0


class _Inliner:
    """Walks main's statements and makes an operator of each call."""

    def __init__(self, module: Mapping[str, Function], name: str, calls: int) -> None:
        self.module = module
        self.name = name
        self.room = 10 * calls + ROOM
        self.operators: list[Operator] = []
        self.inputs: list[Tensor] = []
        self.composites = 0

    def build(self, main: Function) -> Graph:
        place = _Place()
        for parameter, type_text in main.parameters:
            made = _tensors(parameter, type_text)
            self.inputs += made
            place.names[parameter] = made[0] if len(made) == 1 else list(made)
        result = self._body(main, place)
        outputs = [tensor for tensor in _flat(result) if tensor.producer is not None or tensor in self.inputs]
        if not outputs:
            raise UserError(f"{self.name}: @main gives no tensor", "print the whole module")
        for operator in self.operators:
            for tensor in operator.outputs:
                tensor.producer = None
        return Graph(self.name, "relay", self.operators, self.inputs, outputs).connect()

    def _body(self, function: Function, place: _Place) -> Value:
        for variable, expression in function.statements:
            place.names[variable] = self._value(expression, place, variable)
        return self._value(function.result, place, "")

    def _value(self, node: Node | None, place: _Place, variable: str) -> Value:
        if isinstance(node, Call):
            return self._call(node, place, variable)
        if isinstance(node, Reference):
            return self._named(node, place)
        if isinstance(node, Tuple):
            return [self._value(item, place, "") for item in node.items]
        if isinstance(node, Get):
            value = self._value(node.of, place, "")
            if not isinstance(value, list) or node.position >= len(value):
                raise self._wrong(node.line, f"there is no element {node.position}")
            return value[node.position]
        return _constant(node) if isinstance(node, Constant) else node

    def _named(self, node: Reference, place: _Place) -> Value:
        if node.name in place.names:
            return place.names[node.name]
        base, dot, position = node.name.rpartition(".")
        if dot and position.isdigit() and isinstance(place.names.get(base), list):
            return self._value(Get(node.line, Reference(node.line, base), int(position)), place, "")
        raise self._wrong(node.line, f"%{node.name} is not defined")

    def _call(self, node: Call, place: _Place, variable: str) -> Value:
        arguments = [self._value(argument, place, "") for argument in node.arguments]
        if isinstance(node.callee, str):
            return self._operator(node, arguments, place, variable)
        function = node.callee
        if isinstance(function, Reference):
            named = self.module.get(function.name[1:]) if function.name.startswith("@") else None
            function = named or self._named(function, place)
        if not isinstance(function, Function):
            raise self._wrong(node.line, "what is called is no function")
        return self._inline(function, arguments, place, node.line)

    def _inline(self, function: Function, arguments: list[Value], place: _Place, line: int) -> Value:
        if place.depth >= DEEPEST:
            raise self._wrong(line, "functions call each other without end")
        if len(arguments) != len(function.parameters):
            raise self._wrong(line, f"a function of {len(function.parameters)} inputs is given {len(arguments)}")
        inner = _Place(dict(place.names), dict(place.marks), place.depth + 1)
        if function.device:
            inner.marks |= {"function": function.name, "compiler": function.attributes["Compiler"]}
        if "Composite" in function.attributes:
            self.composites += 1
            inner.marks |= {"composite": function.attributes["Composite"], "composite_id": self.composites}
        given = zip(function.parameters, arguments, strict=True)
        inner.names |= {parameter: value for (parameter, _), value in given}
        return self._body(function, inner)

    def _operator(self, node: Call, arguments: list[Value], place: _Place, variable: str) -> Value:
        if len(self.operators) >= self.room:
            raise self._wrong(node.line, "functions are called over and over")
        called = node.span or (f"%{variable}" if variable else f"line {node.line}")
        outputs = _tensors(called, node.type_text)
        tuples = tuple(len(list(_flat(value))) for value in arguments if isinstance(value, list))
        marks = place.marks | ({"tuples": tuples} if tuples else {})
        inputs: list[Tensor | None] = list(_flat(arguments))
        operator = Operator(
            len(self.operators), called, str(node.callee), inputs, list(outputs), node.attributes | marks
        )
        for tensor in outputs:
            tensor.producer = operator
        self.operators.append(operator)
        return outputs[0] if len(outputs) == 1 else list(outputs)

    def _wrong(self, line: int, says: str) -> UserError:
        return UserError(f"{self.name}, line {line}: {says}", "print the module again, whole")


def _flat(value: Value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)


SIZE = re.compile(r"[0-9]{1,18}")
"""A size that a tensor can have; `?` and what is longer is none."""
TENSOR = re.compile(r"Tensor\[\(([^)]*)\),\s*(\w+)\]|(?<![\w.])((?:u?int|float|bfloat)\d+|bool)(?![\w.])")


def _tensors(name: str, type_text: str) -> list[Tensor]:
    """A tensor for each one in a type; one of unknown type where none is written. Types of functions give one."""
    found = [] if type_text.startswith("fn") else TENSOR.findall(type_text)
    made = [Tensor(name, dtype or scalar, _shape(sizes) if dtype else ()) for sizes, dtype, scalar in found]
    return made or [Tensor(name)]


def _shape(sizes: str) -> Shape:
    return tuple(int(size) if SIZE.fullmatch(size.strip()) else None for size in sizes.split(",") if size.strip())


def _constant(node: Constant) -> Tensor:
    """A constant with its value, where it is a number; what the metadata holds is not in the text."""
    (made, *_) = _tensors("", node.type_text or node.dtype)
    made.name = node.text

    def value() -> NDArray[Any]:
        if node.value is None:
            from whichpu.graphs.conditions import UnknownFactError

            raise UnknownFactError(f"the values of {node.text} are not in the text")
        return np.asarray(node.value, made.dtype)

    made.read = value
    return made
