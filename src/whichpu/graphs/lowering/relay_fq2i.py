"""The pass FakeQuantizationToInteger: what stands between dequantise and quantise becomes integer calls.

Source: apache/tvm v0.18.0, src/relay/transforms/fake_quantization_to_integer.cc and
python/tvm/relay/transform/fake_quantization_to_integer.py. From each quantise back to the dequantises in front of it:
if every call on the way has a rule, all are rewritten; else all stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph, Operator, Quantisation, Tensor
from whichpu.graphs.lowering.relay_builder import affine, connected, fold, quantised_bounds, scale, zero_point

SAME = {
    "reshape", "squeeze", "strided_slice", "transpose", "expand_dims", "nn.max_pool2d", "nn.batch_flatten",
    "nn.depth_to_space", "max", "min", "image.resize2d", "nn.pad", "split", "take", "topk", "broadcast_to",
}  # fmt: skip
"""Calls that work on stored values as on real ones."""
LOOKED_UP = {"sigmoid", "tanh", "exp", "sqrt", "rsqrt", "erf", "log", "abs", "nn.leaky_relu"}
"""Calls that become the qnn call of the same name."""
BINARY = {"add": "qnn.add", "multiply": "qnn.mul", "subtract": "qnn.subtract"}
WEIGHTED = {"nn.conv2d", "nn.conv2d_transpose", "nn.dense", "nn.batch_matmul"}
AROUND_CASTS = {"nn.avg_pool2d", "nn.global_avg_pool2d", "mean", "nn.adaptive_avg_pool1d"}
KNOWN = SAME | LOOKED_UP | set(BINARY) | WEIGHTED | AROUND_CASTS | {
    "nn.bias_add", "concatenate", "clip", "nn.relu", "minimum", "maximum",
}  # fmt: skip


def to_integer(graph: Graph) -> Graph:
    """The graph after the pass; calls on constants are folded then."""
    made: list[Operator] = []
    for operator in graph.operators:
        inner = _inner(operator) if operator.type == "qnn.quantize" else None
        if inner:
            made += _Rewrite(operator, inner).calls()
        else:
            made.append(operator)
    return fold(connected(graph, made))


def _inner(quantise: Operator) -> list[Operator] | None:
    """Calls between a quantise and its dequantises, producers first; None where one has no rule."""
    found: dict[int, Operator] = {}
    stack = [tensor for tensor in quantise.inputs if tensor is not None]
    seen = {id(tensor) for tensor in stack}
    dequantised = False
    while stack:
        tensor = stack.pop()
        maker = tensor.producer
        if maker is None:
            if not tensor.constant:
                return None
            continue
        if maker.type == "qnn.dequantize":
            dequantised = True
            found[maker.index] = maker
            continue
        if maker.type not in KNOWN:
            return None
        found[maker.index] = maker
        fresh = [each for each in maker.inputs if each is not None and id(each) not in seen]
        seen.update(id(each) for each in fresh)
        stack += fresh
    return [found[index] for index in sorted(found)] if dequantised else None


class _Rewrite:
    """The integer calls of one quantise."""

    def __init__(self, quantise: Operator, inner: Sequence[Operator]) -> None:
        self.quantise = quantise
        self.inner = inner
        self.out = quantise.outputs[0]
        self.made: list[Operator] = []
        self.values: dict[int, Tensor] = {}

    def calls(self) -> list[Operator]:
        for call in self.inner:
            if call.type == "qnn.dequantize":
                self._start(call)
            else:
                self._rewrite(call)
        value = self.values[id(self.quantise.inputs[0])]
        if not _alike(value, self.out):
            value = self._requantised(self.quantise, value, self.out)
        self._end(value)
        return self.made

    def _start(self, dequantise: Operator) -> None:
        data = dequantise.inputs[0]
        assert data is not None
        given = dequantise.attributes
        scales = given["input_scale"]
        quantisation = Quantisation(
            scales if isinstance(scales, tuple) else (scales,), (given["input_zero_point"],), given.get("axis")
        )
        data.quantisation = quantisation
        self.values[id(dequantise.outputs[0])] = data
        self._also(dequantise)

    def _also(self, dequantise: Operator) -> None:
        """Source operators of a dequantise belong to the calls that follow it."""
        self.values.setdefault(id(dequantise), dequantise.outputs[0])

    def _call(self, call: Operator, kind: str, inputs: Sequence[Tensor], like: Tensor, **attributes: Any) -> Tensor:
        output = Tensor(f"{call.name}/{kind}", like.dtype, like.shape, like.quantisation)
        origins = sorted({*call.origins, *self.quantise.origins, *self._dequantised(call)})
        self.made.append(
            Operator(0, call.name, kind, list(inputs), [output], attributes, "", call.within, tuple(origins))
        )
        return output

    def _dequantised(self, call: Operator) -> list[int]:
        makers = [tensor.producer for tensor in call.inputs if tensor is not None]
        return [
            origin
            for maker in makers
            if maker is not None and maker.type == "qnn.dequantize"
            for origin in maker.origins
        ]

    def _value(self, tensor: Tensor | None, like: Tensor) -> Tensor:
        """The integer stand-in; a float constant is quantised as the other operand."""
        assert tensor is not None
        found = self.values.get(id(tensor))
        if found is None:
            found = Tensor(tensor.name, like.dtype, tensor.shape, like.quantisation, _stored(tensor, like))
            self.values[id(tensor)] = found
        return found

    def _rewrite(self, call: Operator) -> None:
        first = self.values.get(id(call.inputs[0]))
        if first is None:
            first = self._value(call.inputs[0], next(self.values[id(t)] for t in call.inputs if id(t) in self.values))
        told = call.outputs[0]
        if call.type in WEIGHTED:
            value = self._weighted(call, first, told)
        elif call.type in BINARY or call.type in ("minimum", "maximum"):
            value = self._binary(call, first, told)
        else:
            value = self._unary(call, first, told)
        for position, output in enumerate(call.outputs):
            self.values[id(output)] = value if position == 0 else self._twin(output, value)

    def _twin(self, output: Tensor, like: Tensor) -> Tensor:
        """A further output of the last call (split)."""
        made = Tensor(output.name, like.dtype, output.shape, like.quantisation)
        self.made[-1].outputs.append(made)
        return made

    def _sized(self, told: Tensor, like: Tensor, dtype: str | None = None) -> Tensor:
        return Tensor(told.name, dtype or like.dtype, told.shape, like.quantisation)

    def _weighted(self, call: Operator, data: Tensor, told: Tensor) -> Tensor:
        weights = self._value(call.inputs[1], data)
        if () in (scale(weights), scale(data)):
            raise UserError(f"{told.name!r}: a scale of its quantisation holds nothing", "quantise the model again")
        kernels = np.atleast_1d(np.asarray(scale(weights), float)) * np.atleast_1d(np.asarray(scale(data), float))[0]
        wide = Tensor("", "int32", told.shape, Quantisation(tuple(kernels.tolist()), (0,)))
        scales = affine(data, "input") | affine(weights, "kernel")
        return self._call(call, f"q{call.type}", [data, weights], wide, **call.attributes, **scales)

    def _binary(self, call: Operator, left: Tensor, told: Tensor) -> Tensor:
        right = self._value(call.inputs[1], left)
        floats = [
            tensor for tensor in call.inputs if tensor is not None and tensor.constant and tensor.dtype == "float32"
        ]
        goal = left if floats else self.out  # a float constant is quantised as the other operand, and so the result
        goal = Tensor("", goal.dtype, told.shape, goal.quantisation)
        if call.type in BINARY:
            scales = affine(left, "lhs") | affine(right, "rhs") | affine(goal, "output")
            return self._call(call, BINARY[call.type], [left, right], goal, **scales)
        sides = [side if _alike(side, goal) else self._requantised(call, side, goal) for side in (left, right)]
        return self._call(call, call.type, sides, goal)

    def _unary(self, call: Operator, data: Tensor, told: Tensor) -> Tensor:
        kind, given = call.type, call.attributes
        if kind == "nn.bias_add":
            return self._call(call, kind, [data, self._value(call.inputs[1], data)], self._sized(told, data), **given)
        if kind == "concatenate":
            inputs = [self._value(tensor, data) for tensor in call.inputs]
            scales = {
                "input_scales": tuple(scale(tensor) for tensor in inputs),
                "input_zero_points": tuple(zero_point(tensor) for tensor in inputs),
            }
            goal = self._sized(told, self.out)
            return self._call(call, "qnn.concatenate", inputs, goal, **given, **scales, **affine(self.out, "output"))
        if kind == "clip":
            low, high = quantised_bounds(given["low"], given["high"], data)
            return self._call(call, kind, [data], self._sized(told, data), low=low, high=high)
        if kind == "nn.relu":
            return self._call(call, "maximum", [data], self._sized(told, data))
        if kind in LOOKED_UP:
            name = f"qnn.{kind.removeprefix('nn.')}"
            goal = self._sized(told, self.out)
            return self._call(call, name, [data], goal, **given, **affine(data, "input"), **affine(self.out, "output"))
        if kind in AROUND_CASTS:
            value = self._call(call, "cast", [data], self._sized(data, data, "int32"))
            value = self._call(call, kind, [value], self._sized(told, data, "int32"), **given)
            return self._call(call, "cast", [value], self._sized(told, data))
        inputs = [self._value(tensor, data) for tensor in call.inputs]
        return self._call(call, kind, inputs, self._sized(told, data), **given)

    def _requantised(self, call: Operator, value: Tensor, goal: Tensor) -> Tensor:
        sized = Tensor("", goal.dtype, value.shape, goal.quantisation)
        scales = affine(value, "input") | affine(goal, "output")
        return self._call(call, "qnn.requantize", [value], sized, **scales, accumulated=value.dtype == "int32")

    def _end(self, value: Tensor) -> None:
        """The quantise's own output is what the last call gives."""
        if self.made and any(value is output for output in self.made[-1].outputs):
            position = self.made[-1].outputs.index(value)
            self.out.shape = self.out.shape or value.shape
            self.made[-1].outputs[position] = self.out
            last = self.made[-1]
            self.made[-1] = Operator(
                last.index, last.name, last.type, last.inputs, last.outputs, last.attributes, last.domain, last.within,
                tuple(sorted({*last.origins, *self.quantise.origins})),
            )  # fmt: skip
        else:  # nothing is left between: the quantise gives what it is given
            origins = tuple(sorted({*self.quantise.origins, *self._dequantised(self.quantise)}))
            self.made.append(Operator(0, self.quantise.name, "copy", [value], [self.out], {}, "", "", origins))


def _alike(left: Tensor, right: Tensor) -> bool:
    """Same type, scale and zero point, within NumPy's tolerance."""
    if left.dtype != right.dtype or left.quantisation is None or right.quantisation is None:
        return False
    mine, other = scale(left), scale(right)
    if isinstance(mine, tuple) or isinstance(other, tuple):
        return mine == other
    return bool(np.isclose(mine, other)) and zero_point(left) == zero_point(right)  # type: ignore[arg-type]


def _stored(tensor: Tensor, like: Tensor) -> Callable[[], Any]:
    """Reads a float constant as stored values."""

    def values() -> Any:
        assert tensor.read is not None
        step = scale(like)
        step = step[0] if isinstance(step, tuple) else step or 1.0
        kind = np.dtype(like.dtype or "int8")
        limits = np.iinfo(kind)
        return np.clip(np.round(tensor.read() / step) + zero_point(like), limits.min, limits.max).astype(kind)

    return values
