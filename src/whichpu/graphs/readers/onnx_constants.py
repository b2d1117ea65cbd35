"""Constants of an ONNX model: read when asked for; what is worked out from constants alone is one too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.errors import UserError
from whichpu.graphs.graph import Tensor
from whichpu.graphs.readers.onnx_shapes import dtype

KEPT = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
"""Never folded: quantised weights are told by them."""
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
OF_SHAPE = ("Shape", "Size")
FEW = 4096
"""Elements up to which a folded tensor is worked out at once, where inference left its shape open."""


def foldable(node: Any, inputs: Sequence[Tensor | None]) -> bool:
    """Whether a node's outputs are constants: its inputs are, or it asks for a shape that is known."""
    if node.domain not in ("", "ai.onnx") or node.op_type in (*KEPT, *RANDOM):
        return False
    if node.op_type == "Constant":
        return True
    if node.op_type in OF_SHAPE:
        return bool(inputs) and inputs[0] is not None and inputs[0].elements is not None
    if any(attribute.HasField("g") for attribute in node.attribute):
        return False
    return bool(inputs) and all(tensor is None or tensor.constant for tensor in inputs)


class Constants:
    """The model's stored tensors, and what is worked out from them."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.folder = folder
        self.whole = {tensor.name: tensor for tensor in model.graph.initializer}
        self.opset = {entry.domain: entry.version for entry in model.opset_import}

    def of(self, body: Any, within: str) -> Iterator[Tensor]:
        """A body's initializers; the main graph's from the model itself, for shapes are inferred on a light copy."""
        for light in body.initializer:
            stored = light if within else self.whole.get(light.name, light)
            yield Tensor(stored.name, dtype(stored.data_type), tuple(stored.dims), read=self._reader(stored))
        for stored in body.sparse_initializer:
            yield Tensor(stored.values.name, dtype(stored.values.data_type), tuple(stored.dims), read=_sparse)

    def fold(self, node: Any, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        """Make a node's outputs constants that are worked out when they are read."""
        if node.op_type in OF_SHAPE:
            self._of_shape(node, inputs[0], outputs[0])
            return
        found: dict[int, NDArray[Any]] = {}

        def values(position: int) -> NDArray[Any]:
            if not found:
                found.update(enumerate(self._run(node, inputs)))
            return found[position]

        for position, tensor in enumerate(outputs):
            tensor.read = lambda position=position: values(position)
            is_open = tensor.shape is None or None in tensor.shape or tensor.dtype is None
            if is_open and all(t is None or (t.elements or 0) < FEW for t in inputs):
                _take_shape(tensor)

    def _of_shape(self, node: Any, given: Tensor | None, output: Tensor) -> None:
        sizes = np.array(given.shape if given is not None else (), dtype=np.int64)
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        sizes = sizes[bounds.get("start", 0) : bounds.get("end", len(sizes))]
        result = sizes if node.op_type == "Shape" else np.array(np.prod(sizes), dtype=np.int64)
        output.read, output.dtype, output.shape = (lambda: result), "int64", tuple(result.shape)

    def _run(self, node: Any, inputs: Sequence[Tensor | None]) -> list[NDArray[Any]]:
        """The node's outputs by ONNX's own reference implementation."""
        from onnx.reference import ReferenceEvaluator

        versions = self.opset or {"": 21}
        feeds = {
            name: tensor.read()
            for name, tensor in zip(node.input, inputs, strict=True)
            if tensor is not None and tensor.read is not None
        }
        found = ReferenceEvaluator(node, opsets=versions).run(None, feeds)
        return [np.asarray(array) for array in found]

    def _reader(self, stored: Any) -> Any:
        from onnx import numpy_helper

        def read() -> NDArray[Any]:
            try:
                array: NDArray[Any] = numpy_helper.to_array(stored, base_dir=str(self.folder))
            except Exception as problem:  # onnx raises many kinds for damaged tensors
                raise UserError(f"the weights {stored.name!r} can't be read: {problem}", "export it again") from problem
            return array

        return read


def _take_shape(tensor: Tensor) -> None:
    """Type and shape from the values themselves, where inference left them open."""
    if tensor.read is None:
        return
    try:
        array = tensor.read()
    except Exception:  # an operator the reference does not know: it stays open
        return
    tensor.dtype, tensor.shape = str(array.dtype), tuple(array.shape)


def _sparse() -> NDArray[Any]:
    raise UserError("sparse weights are not read", "store them densely")
