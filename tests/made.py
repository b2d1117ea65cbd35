"""ONNX files made for tests, and what tasks say of outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import TensorProto, helper, numpy_helper


def value(name: str, shape: list[int | str]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_file(path: Path, nodes: list[Any], inputs: Any, outputs: Any, weights: Any = (), opset: int = 17) -> Path:
    """Write an ONNX file; ``inputs`` and ``outputs`` are ``{name: shape}``, ``weights`` ``{name: array}``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(*pair) for pair in inputs.items()],
        [value(*pair) for pair in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in dict(weights).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def score(task: Any, outputs: Any) -> Any:
    """The main metric of a task over all samples, from outputs in the model's order, each ``[samples, *shape]``."""
    answers = {index: task.finish(index, list(sample)) for index, sample in enumerate(zip(*outputs, strict=True))}
    return task.evidence(answers)[task.info.metric].value()
