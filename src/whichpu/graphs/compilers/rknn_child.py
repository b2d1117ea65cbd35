"""Compiles a model with RKNN-Toolkit2; started by ``compilers/rknn.py`` in the interpreter that holds the toolkit.

``python rknn_child.py MODEL PLATFORM PRECISION NODES [SIZES]``: prints the toolkit's verbose log, and writes to NODES
which node name stands for which output tensor. SIZES is a JSON file with the sizes of inputs that leave some open.
Standard library, numpy, onnx and the toolkit only.
"""

import json
import sys
from pathlib import Path
from typing import Any

SAMPLES = 2
"""Samples to calibrate with: they set scales, never where an operator runs."""


def main(model_file: str, platform: str, precision: str, nodes_file: str, sizes_file: str = "") -> None:
    import onnx
    from rknn.api import RKNN

    model = onnx.load(model_file)
    if sizes_file:
        fix(model, json.loads(Path(sizes_file).read_text()))
    names = {}
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
        names[node.name] = next(filter(None, node.output), "")
    Path(nodes_file).write_text(json.dumps(names))
    onnx.save(model, "named.onnx", save_as_external_data=model.ByteSize() > 1 << 30)
    quantised = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)
    tool = RKNN(verbose=True)
    tool.config(target_platform=platform)
    if tool.load_onnx("named.onnx") != 0:
        sys.exit(2)
    quantise = precision == "w8a8" and not quantised
    dataset = samples(model) if quantise else None
    sys.exit(0 if tool.build(do_quantization=quantise, dataset=dataset) == 0 else 2)


def fix(model: Any, sizes: "dict[str, list[int]]") -> None:
    """Give inputs their sizes; what was inferred from open ones is dropped."""
    for value in model.graph.input:
        for axis, size in enumerate(sizes.get(value.name, ())):
            value.type.tensor_type.shape.dim[axis].dim_value = size
    del model.graph.value_info[:]


def samples(model: Any) -> str:
    """A calibration set of seeded random inputs; sizes left open are 1."""
    import numpy as np
    from onnx import helper

    random = np.random.default_rng(0)
    weights = {tensor.name for tensor in model.graph.initializer}
    lines = []
    for sample in range(SAMPLES):
        files = []
        for position, value in enumerate(entry for entry in model.graph.input if entry.name not in weights):
            tensor = value.type.tensor_type
            shape = [size.dim_value or 1 for size in tensor.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            files.append(f"sample{sample}_{position}.npy")
            np.save(files[-1], random.normal(size=shape).astype(dtype))
        lines.append(" ".join(files))
    Path("samples.txt").write_text("\n".join(lines) + "\n")
    return "samples.txt"


if __name__ == "__main__":
    beside = Path(__file__).resolve().parent  # holds our own rknn.py
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != beside]
    main(*sys.argv[1:])
