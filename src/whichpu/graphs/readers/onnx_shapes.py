"""Shapes of an ONNX model: the user's sizes set, the rest inferred by ONNX itself, twice where that helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph, Shape

ROUNDS = 4
"""So often shapes are inferred again with what folding worked out in between."""
LARGE_BYTES, COPIED_BYTES = 4096, 2**24
"""Weights above the first are left out of the copy, when they come to more than the second."""
FEW = 64
"""Elements of a folded argument that is stored for the next round: shapes, axes, pads, scales."""


def sized(model: Any, name: str, shapes: Mapping[str | None, Sequence[int]], notes: list[str]) -> Any:
    """A light copy of the model with every input sized and shapes inferred. Raises :class:`UserError`."""
    light = _light(model)
    _standard_conversions(light)
    _set_inputs(light, name, shapes, notes)
    return _inferred(light, name)


def types(body: Any) -> dict[str, tuple[str | None, Shape | None]]:
    """NumPy type and shape by tensor name, as a body's value infos tell them."""
    found: dict[str, tuple[str | None, Shape | None]] = {}
    for values in (body.value_info, body.input, body.output):
        for value in values:
            if value.type.HasField("tensor_type"):
                found[value.name] = _type(value.type.tensor_type)
    return found


def _type(tensor: Any) -> tuple[str | None, Shape | None]:
    if not tensor.HasField("shape"):
        return dtype(tensor.elem_type), None
    shape = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]
    return dtype(tensor.elem_type), tuple(shape)


@cache
def dtype(element: int) -> str | None:
    """NumPy's name of an ONNX element type; None for one not given. Raises :class:`UserError` for no type at all."""
    from onnx import helper

    try:
        return str(helper.tensor_dtype_to_np_dtype(element)) if element else None
    except KeyError as problem:
        raise UserError(
            f"a tensor has element type {element}, which ONNX does not define", "export it again"
        ) from problem


def completed(graph: Graph, model: Any, build: Callable[[Any], Graph]) -> Graph:
    """The graph with shapes that only folding could tell: folded shape arguments are stored, shapes inferred again."""
    for _ in range(ROUNDS):
        if not _open(graph) or not _store_arguments(graph, model):
            break
        model = _inferred(model, graph.name)
        graph = build(model)
    left = _open(graph)
    if left:
        graph.notes.append(f"the shapes of {left} tensors can't be told; limits that need them are answered 'unknown'")
    return graph


def _light(model: Any) -> Any:
    """A copy without the values of large weights, which inference does not need."""
    import onnx

    light = onnx.ModelProto()
    heavy = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) > LARGE_BYTES]
    if sum(len(tensor.raw_data) for tensor in heavy) < COPIED_BYTES:
        light.CopyFrom(model)
        return light
    kept = [(tensor, tensor.raw_data) for tensor in heavy]
    try:
        for tensor, _ in kept:
            tensor.ClearField("raw_data")
        light.CopyFrom(model)
    finally:
        for tensor, raw in kept:
            tensor.raw_data = raw
    return light


def _standard_conversions(model: Any) -> None:
    """Q and DQ of com.microsoft (16 and 4 bits before opset 21) as the standard's, so that shapes pass through them."""
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.domain == "com.microsoft":
            node.domain = ""


def _set_inputs(model: Any, name: str, shapes: Mapping[str | None, Sequence[int]], notes: list[str]) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in stored]
    for given in shapes:
        if given is not None and given not in [value.name for value in fed]:
            raise UserError(
                f"{name} has no input {given!r}", f"its inputs are: {', '.join(value.name for value in fed)}"
            )
        if given is None and len(fed) != 1:
            raise UserError(f"{name} has {len(fed)} inputs", f"name one: --shape {fed[0].name}=1x3x224x224")
    changed = False
    for value in fed:
        if value.type.HasField("tensor_type"):
            asked = shapes.get(value.name, shapes.get(None)) or _batch_of_one(value, notes)
            changed |= _set_input(value, name, asked)
    if changed:
        for output in model.graph.output:
            if output.type.HasField("tensor_type"):
                output.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]


def _batch_of_one(value: Any, notes: list[str]) -> list[int] | None:
    """Sizes with a batch of 1, where the batch is all that is open: NPU compilers take it so."""
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
    if len(sizes) < 2 or sizes[0] > 0 or any(size <= 0 for size in sizes[1:]):
        return None
    notes.append(f"the batch of input {value.name!r} is open and taken as 1; --shape gives another")
    return [1, *sizes[1:]]


def _set_input(value: Any, name: str, asked: Sequence[int] | None) -> bool:
    """Set an input's open sizes; true when one was open. Raises :class:`UserError` when one stays open."""
    tensor = value.type.tensor_type
    if asked is not None and not tensor.HasField("shape"):
        for size in asked:
            tensor.shape.dim.add().dim_value = size
        return True
    sizes = list(tensor.shape.dim)
    shown = "x".join(str(d.dim_value) if d.dim_value > 0 else f"[{d.dim_param or '?'}]" for d in sizes)
    openings = [size for size in sizes if size.dim_value <= 0]
    if not tensor.HasField("shape") or (openings and asked is None):
        example = "x".join(str(size.dim_value) if size.dim_value > 0 else "1" for size in sizes) or "1x3x224x224"
        raise UserError(
            f"input {value.name!r} of {name} has a dynamic shape: {shown or 'not given'}",
            f"give its sizes, for example --shape {value.name}={example}",
        )
    if asked is None:
        return False
    fits = len(asked) == len(sizes) and all(
        size.dim_value in (0, -1, given) for size, given in zip(sizes, asked, strict=True)
    )
    if not fits:
        raise UserError(
            f"--shape {value.name}={'x'.join(map(str, asked))} does not fit input {value.name!r} of {name}: {shown}",
            "give as many sizes, and keep those that are fixed",
        )
    for size, given in zip(sizes, asked, strict=True):
        size.dim_value = given
    return bool(openings)


def _inferred(model: Any, name: str) -> Any:
    from onnx import shape_inference

    from whichpu.graphs.readers import onnx_contrib

    replaced = onnx_contrib.stand_ins(model)
    try:
        sized = shape_inference.infer_shapes(model, data_prop=True)
        onnx_contrib.restore(sized, replaced)
        return sized
    except Exception as problem:  # onnx raises InferenceError, ValueError, TypeError, DecodeError by version
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise UserError(f"{name} is invalid: {first}", "export the model again; onnx.checker tells more") from problem


def _open(graph: Graph) -> int:
    """How many tensors between operators have an open shape."""
    return sum(tensor.elements is None for operator in graph.operators for tensor in operator.outputs)


def _store_arguments(graph: Graph, model: Any) -> bool:
    """Store folded shape arguments as initializers, so that inference sees them; whether there were new ones."""
    from onnx import numpy_helper

    stored = {tensor.name for tensor in model.graph.initializer}
    new: dict[str, Any] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            if tensor is None or tensor.name in stored or tensor.read is None or operator.within:
                continue
            if tensor.dtype in ("int64", "int32", "float32") and (tensor.elements or FEW + 1) <= FEW:
                new[tensor.name] = numpy_helper.from_array(tensor.read(), tensor.name)
    if not new:
        return False
    kept = [node for node in model.graph.node if not any(output in new for output in node.output)]
    dropped = [node for node in model.graph.node if any(output in new for output in node.output)]
    if any(len(node.output) > 1 for node in dropped):
        return False
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(new.values())
    return True
