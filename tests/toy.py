"""A made-up NPU, and small models for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from whichpu.graphs.capability import Capability, Target

FILE = Path(__file__).parent / "data" / "npu" / "toy.toml"


def capability(**changes: object) -> Capability:
    """The toy's table, with some of it changed."""
    return msgspec.convert(tomllib.loads(FILE.read_text(encoding="utf-8")) | changes, Capability)


def target(**changes: object) -> Target:
    return Target("toy", capability(**changes), {"speed": "slow"})


def chain(path: Path, *types: str, size: int = 8, kernel: int = 3, first: object = 1) -> Path:
    """A file with operators in a row over 4 channels of ``size`` x ``size``; Conv has weights and keeps the size."""
    nodes, constants, entry = [], [], "x"
    for number, kind in enumerate(types):
        inputs, attributes = [entry], {}
        if kind == "Conv":
            weights = np.zeros((4, 4, kernel, kernel), np.float32)
            constants.append(numpy_helper.from_array(weights, f"w{number}"))
            inputs.append(f"w{number}")
            attributes = {"kernel_shape": [kernel, kernel], "auto_pad": "SAME_UPPER"}
        if kind.endswith("antizeLinear"):
            constants += [
                numpy_helper.from_array(np.array(0.1, np.float32), f"s{number}"),
                numpy_helper.from_array(np.array(0, np.int8), f"z{number}"),
            ]
            inputs += [f"s{number}", f"z{number}"]
        entry = f"t{number}" if number < len(types) - 1 else "y"
        domain = "com.example" if kind == "Custom" else ""
        nodes.append(helper.make_node(kind, inputs, [entry], f"{kind}{number}", domain=domain, **attributes))
    kind_out = TensorProto.INT8 if types[-1] == "QuantizeLinear" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [first, 4, size, size])],
        [helper.make_tensor_value_info("y", kind_out, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path
