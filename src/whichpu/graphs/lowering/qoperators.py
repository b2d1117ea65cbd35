"""QOperator forms as the plain operator with quantised tensors: QLinearConv is a Conv of integers.

Source: ONNX operators QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger; com.microsoft's QLinear* and QGemm
(onnxruntime, docs/ContribOperators.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from whichpu.graphs.graph import Operator, Quantisation, Tensor

Reader = Callable[[Tensor | None, Tensor | None], Quantisation | None]


@dataclass(frozen=True, slots=True)
class Form:
    """Where data stand among the inputs; each one's scale and zero point follow it. ``written``: the output's scale."""

    type: str
    data: tuple[int, ...]
    written: int
    kept: tuple[int, ...] = ()
    """Inputs taken over as they are, after the data: a bias."""


FORMS = {
    "QLinearConv": Form("Conv", (0, 3), 6, (8,)),
    "QLinearMatMul": Form("MatMul", (0, 3), 6),
    "QGemm": Form("Gemm", (0, 3), 7, (6,)),
    "QLinearAdd": Form("Add", (0, 3), 6),
    "QLinearMul": Form("Mul", (0, 3), 6),
    "QLinearSigmoid": Form("Sigmoid", (0,), 3),
    "QLinearLeakyRelu": Form("LeakyRelu", (0,), 3),
    "QLinearSoftmax": Form("Softmax", (0,), 3),
    "QLinearAveragePool": Form("AveragePool", (0,), 3),
    "QLinearGlobalAveragePool": Form("GlobalAveragePool", (0,), 3),
    "QLinearReduceMean": Form("ReduceMean", (0,), 3),
}
INTEGER = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
"""Data, weights, then their zero points; no scales."""


def plain(operator: Operator, read: Reader) -> Operator:
    """The plain operator that a QOperator form stands for; any other operator as it is."""
    if operator.type in INTEGER:
        return replace(operator, type=INTEGER[operator.type], inputs=operator.inputs[:2])
    if operator.type == "QLinearConcat":
        return _concat(operator, read)
    form = FORMS.get(operator.type)
    if form is None:
        return operator
    inputs = [_scaled(operator, place, place + 1, read) for place in form.data]
    inputs += [operator.input(place) for place in form.kept if operator.input(place) is not None]
    _mark(operator.outputs[0], operator, form.written, read)
    return replace(operator, type=form.type, domain="", inputs=inputs)


def _concat(operator: Operator, read: Reader) -> Operator:
    """The output's scale and zero point first, then each input with its own."""
    inputs = [_scaled(operator, place, place + 1, read) for place in range(2, len(operator.inputs), 3)]
    _mark(operator.outputs[0], operator, 0, read)
    return replace(operator, type="Concat", domain="", inputs=inputs)


def _scaled(operator: Operator, place: int, scale: int, read: Reader) -> Tensor | None:
    tensor = operator.input(place)
    if tensor is not None:
        _mark(tensor, operator, scale, read)
    return tensor


def _mark(tensor: Tensor, operator: Operator, scale: int, read: Reader) -> None:
    if tensor.quantisation is None:
        tensor.quantisation = read(operator.input(scale), operator.input(scale + 1))
