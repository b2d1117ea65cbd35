"""Makes a lower precision of an ONNX model, in a process of its own; started by ``models/variants.py`` with its wishes
as JSON, in a folder that holds a copy: ``model.onnx`` becomes ``variant.onnx`` (or ``variant.xml`` and ``.bin``).

Lines that begin with ``whichpu:`` tell what is to be known about the variant.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 13
"""The first with a scale for each channel (DequantizeLinear, axis)."""

LARGEST = 2_000_000_000
"""Bytes of a model: a protobuf message, as which the tools pass it on, holds less than 2 GiB."""

SYMMETRIC = ("ActivationSymmetric", "AddQDQPairToWeight")
"""Options of ONNX Runtime's quantiser that TensorRT's explicit quantisation wants."""

AROUND = ("QuantizeLinear", "DequantizeLinear", "Constant")


def main(wishes: dict[str, Any]) -> None:
    """Make what is wished."""
    makers = {"fp16": fp16, "int8": int8, "int8-nncf": int8_nncf}
    makers[wishes["make"]](wishes)


def fp16(wishes: dict[str, Any]) -> None:
    """Weights and operators in fp16, between casts at inputs and outputs; some operators stay fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = _plain()
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.data_type == 1]
    large = sum(int((np.abs(each) > np.finfo(np.float16).max).sum()) for each in weights)
    if large:
        tell(f"{large} weights are too large for fp16, and became its largest number")
    made = convert_float_to_float16(model, keep_io_types=True)
    kept = [node for node in made.graph.node if node.op_type == "Cast"]
    print(f"{len(kept)} casts in {len(made.graph.node)} operators")
    onnx.save(made, "variant.onnx")


def int8(wishes: dict[str, Any]) -> None:
    """Static quantisation with QDQ nodes: U8 activations, S8 weights.

    Where it is to be symmetric: S8 without zero points, biases in fp32, and weights in fp32 behind a pair of QDQ nodes.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    _prepare()
    symmetric = wishes.get("symmetric", False)
    quantize_static(
        "prepared.onnx",
        "variant.onnx",
        _Reader(wishes),
        quant_format=QuantFormat.QDQ,
        per_channel=wishes["per_channel"],
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[wishes["method"]],
        extra_options=dict.fromkeys(SYMMETRIC, symmetric) | {"QuantizeBias": not symmetric},
    )
    tell(quantised(onnx.load("prepared.onnx").graph, onnx.load("variant.onnx").graph))


def int8_nncf(wishes: dict[str, Any]) -> None:
    """OpenVINO's own: post-training quantisation by NNCF, with its defaults."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # then NNCF reports to nobody
    import nncf
    import openvino

    model = openvino.Core().read_model("model.onnx")
    samples = list(_samples(wishes))
    made = nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples))
    openvino.save_model(made, "variant.xml", compress_to_fp16=False)
    faked = sum(node.get_type_name() == "FakeQuantize" for node in made.get_ops())
    tell(f"NNCF quantises in {faked} places" if faked != 1 else "NNCF quantises in 1 place")


def quantised(before: Any, after: Any) -> str:
    """How much of the graph is quantised, and which operators with weights are not, in a sentence."""
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in before.initializer if tensor.data_type == 1}
    left = {tensor.name for tensor in after.initializer} & weights.keys()
    left -= {node.input[0] for node in after.node if node.op_type == "QuantizeLinear"}
    from_int8 = {name for node in after.node if node.op_type == "DequantizeLinear" for name in node.output}
    real = [node for node in after.node if node.op_type not in AROUND]
    done = sum(bool(from_int8.intersection(node.input)) for node in real)
    heavy = [node for node in real if any(name in left and weights[name] > 1 for name in node.input)]
    fp32 = Counter(node.op_type for node in heavy if not from_int8.intersection(node.input))
    share = 1 - sum(weights[name] for name in left) / max(1, sum(weights.values()))
    told = f"{done} of {len(real)} operators are quantised, with {100 * share:.3g} % of the weights"
    names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in fp32.most_common())
    return f"{told}; {names} {'stays' if len(fp32) == 1 else 'stay'} fp32" if fp32 else told


def tell(sentence: str) -> None:
    """Something to be known about the variant."""
    print(f"whichpu: {sentence}", flush=True)


# ---------------------------------------------------------------- the model


def _plain() -> Any:
    """The model; weights that are listed as inputs too (IR 3) are no inputs."""
    import onnx

    model = onnx.load("model.onnx")
    if model.ByteSize() > LARGEST:
        sys.exit(f"the model has {model.ByteSize() / 1e9:.1f} GB; variants are made of models below 2 GB")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    return model


def _prepare() -> None:
    """``prepared.onnx``: constants folded, shapes known, in an opset that has scales for channels."""
    import onnx
    from onnx import version_converter
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = _plain()
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), OPSET)
    if opset < OPSET:
        model = version_converter.convert_version(model, OPSET)
        tell(f"the model was brought from opset {opset} to {OPSET}")
    onnx.save(model, "plain.onnx")
    try:
        quant_pre_process("plain.onnx", "prepared.onnx")
    except Exception as problem:
        print(f"symbolic shape inference failed, left out: {type(problem).__name__}: {problem}")
        quant_pre_process("plain.onnx", "prepared.onnx", skip_symbolic_shape=True)
    prepared = onnx.load("prepared.onnx")
    _flatten_biases(prepared.graph)
    onnx.save(prepared, "prepared.onnx")


def _flatten_biases(graph: Any) -> None:
    """Biases of one axis: ONNX Runtime's quantiser fails on ``[1, channels]`` (1.31), which fused Gemm nodes have."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        bias = weights.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is not None and readers[bias.name] == 1 and list(bias.dims[:-1]) == [1]:
            del bias.dims[0]


# ---------------------------------------------------------------- calibration


class _Reader:
    """Calibration inputs one by one, as ``onnxruntime.quantization`` asks for them."""

    def __init__(self, wishes: dict[str, Any]) -> None:
        self.samples = _samples(wishes)

    def get_next(self) -> dict[str, Any] | None:
        """The next sample, ``None`` after the last."""
        return next(self.samples, None)


def _samples(wishes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names: Sequence[str] = wishes["inputs"]
    folder = Path(wishes["calibration"])
    for place in range(sum(1 for _ in folder.glob("*.npz"))):
        with np.load(folder / f"{place}.npz") as arrays:
            yield {name: arrays[f"input_{index}"] for index, name in enumerate(names)}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
