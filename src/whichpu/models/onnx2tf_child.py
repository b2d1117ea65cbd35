"""ONNX to TFLite by onnx2tf, in a Python of its own; started by ``models/convert.py`` with the inputs' shapes as JSON,
in a folder that holds a copy: ``model.onnx`` becomes ``model.tflite``; inputs, layouts and order of outputs stay.

Imports nothing of WhichPU, which that Python needn't have.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""What onnx2tf would download for its checks unless it is there."""


def main(shapes: Mapping[str, Sequence[int]]) -> None:
    """Convert, with the inputs' shapes as given."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))  # its tools
    np.save(SAMPLES, np.random.default_rng(0).random((20, 128, 128, 3), np.float32))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what is wrong is said by exceptions
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(onnx.load("model.onnx"), overwrite_input_shapes=dict(shapes))
    keep_layouts(model)
    onnx.save(model, "plain.onnx")  # onnx2tf overwrites its input
    import onnx2tf  # after onnxsim has worked: beside TensorFlow it crashes

    onnx2tf.convert(
        input_onnx_file_path="plain.onnx",
        output_folder_path="made",
        copy_onnx_input_output_names_to_tflite=True,
        not_use_onnxsim=True,  # it would take the reshapes away
        keep_shape_absolutely_input_names=list(shapes),
    )
    os.replace("made/plain_float32.tflite", "model.tflite")


def keep_layouts(model: Any) -> None:
    """End each output with a reshape to its own shape, and number their names.

    The meaning of a reshape hangs on the order of ONNX's axes: onnx2tf, which puts channels last, has to bring them
    back. TFLite sorts outputs by their names, and WhichPU those that are numbered by their numbers.
    """
    import onnx

    for place, output in enumerate(model.graph.output):
        shape = [size.dim_value for size in output.type.tensor_type.shape.dim]
        before, output.name = output.name, f"whichpu_output_{place}"
        if not shape or 0 in shape:  # a single number, or a shape that hangs on the data
            model.graph.node.append(onnx.helper.make_node("Identity", [before], [output.name]))
            continue
        sizes = onnx.numpy_helper.from_array(np.array(shape, np.int64), f"{output.name}_shape")
        model.graph.initializer.append(sizes)
        model.graph.node.append(onnx.helper.make_node("Reshape", [before, sizes.name], [output.name]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
