"""An ONNX file read without running it: inputs, files that hold its weights, the precision of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whichpu.errors import UserError

LARGEST = 2**31
"""Bytes that a protobuf message can't reach: a larger file is no ONNX model."""

NAMES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def read(path: Path) -> Any:
    """The parsed model without weights kept elsewhere. Raises :class:`UserError` when it is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size >= LARGEST:
            raise DecodeError("it has 2 GiB or more, which only weights kept beside the file can have")
        parsed = onnx.load_model(str(path), load_external_data=False)
    except DecodeError as problem:
        size = path.stat().st_size
        raise UserError(
            f"{path} is not an ONNX model, or it is truncated ({size} bytes): {problem}",
            "export or download it again, and compare its size and hash with the original",
        ) from problem
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    if not parsed.graph.output:
        raise UserError(
            f"{path} is not an ONNX model, or it is truncated: its graph has no output",
            "export or download it again",
        )
    return parsed


def inputs(model: Any) -> list[tuple[str, str, list[int | str]]]:
    """Name, NumPy type and sizes of each input; a dynamic size is a string. Raises :class:`UserError`."""
    from onnx import helper

    weights = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name in weights:
            continue
        if not value.type.HasField("tensor_type"):
            raise UserError(f"input {value.name!r} is not a plain tensor; WhichPU can't feed it")
        tensor = value.type.tensor_type
        sizes = [
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else (dim.dim_param or "?")
            for dim in tensor.shape.dim
        ]
        found.append((value.name, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), sizes))
    return found


def external_files(model: Any) -> list[str]:
    """Names, relative to the model's folder, of the files that hold its weights, each once, in order."""
    names = [entry.value for tensor in tensors(model) for entry in tensor.external_data if entry.key == "location"]
    return list(dict.fromkeys(names))


def precision(model: Any) -> str:
    """The types that the graph computes in, told by its weights: ``fp32``, ``fp16+fp32``, ``int8 (quantised)``."""
    from onnx import helper

    if any(node.op_type in QUANTISED for node in model.graph.node):
        return "int8 (quantised)"
    dtypes = {str(helper.tensor_dtype_to_np_dtype(tensor.data_type)) for tensor in tensors(model) if tensor.dims}
    dtypes |= {dtype for _, dtype, _ in inputs(model)}
    floats = sorted(NAMES[dtype] for dtype in dtypes if dtype in NAMES)
    return "+".join(floats) or "integer"


def tensors(message: Any) -> Iterator[Any]:
    """All tensors in a protobuf message, in subgraphs and functions too."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if hasattr(value, "append") else [value]:
                yield from tensors(part)
