"""Asks TensorRT which layers can run on a DLA; started by ``compilers/tensorrt.py`` in the interpreter that holds it.

``python tensorrt_child.py MODEL PRECISION ANSWER``: parses the model, asks ``IBuilderConfig.can_run_on_DLA`` of each
layer, and writes what came of it to ANSWER as JSON. Builds no engine. Standard library and TensorRT only; Python 3.8.
Source: NVIDIA, TensorRT Python API (Builder, OnnxParser, IBuilderConfig, INetworkDefinition).
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(model_file: str, precision: str, answer_file: str) -> None:
    Path(answer_file).write_text(json.dumps(asked(import_module("tensorrt"), model_file, precision)))


def asked(trt: Any, model_file: str, precision: str) -> dict[str, Any]:
    """The version, and either layers or the words of a refusal."""
    said: list[str] = []
    keeper = logger(trt, said)
    trt.init_libnvinfer_plugins(keeper, "")  # TensorRT 8 reads some operators (InstanceNormalization) by plug-ins alone
    builder = trt.Builder(keeper)
    found: dict[str, Any] = {"version": trt.__version__, "cores": builder.num_DLA_cores}
    if not builder.num_DLA_cores:
        return found
    network = builder.create_network(flags(trt))
    parser = trt.OnnxParser(network, keeper)
    if not parser.parse_from_file(model_file):
        found["refused"] = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        return found
    config = configured(trt, builder, precision)
    found["layers"] = [layer_of(config, network.get_layer(index), said) for index in range(network.num_layers)]
    return found


def logger(trt: Any, said: list[str]) -> Any:
    """A logger that keeps warnings: they name the limit that a layer breaks."""

    class Words(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.WARNING, trt.ILogger.Severity.ERROR):
                said.append(msg)

    return Words()


def flags(trt: Any) -> int:
    """Explicit batch, which is the only way from TensorRT 10 on and no flag from 11 on."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if flag is None else 1 << int(flag)


def configured(trt: Any, builder: Any, precision: str) -> Any:
    """All layers on DLA core 0, the GPU where they can't; FP16 always, since layers without a scale fall to it."""
    config = builder.create_builder_config()
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = 0
    for name in ("GPU_FALLBACK", "FP16", *(["INT8"] if precision == "int8" else [])):
        flag = getattr(trt.BuilderFlag, name, None)  # precision flags are gone in TensorRT 11
        if flag is not None:
            config.set_flag(flag)
    return config


def layer_of(config: Any, layer: Any, said: list[str]) -> dict[str, Any]:
    """One layer: its name, the ONNX nodes behind it, whether the DLA can run it, and what the log said meanwhile."""
    before = len(said)
    runs = bool(config.can_run_on_DLA(layer))
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    return {
        "name": layer.name,
        "type": layer.type.name,
        "metadata": getattr(layer, "metadata", ""),  # from TensorRT 8.6 on
        "outputs": [tensor.name for tensor in outputs if tensor is not None],
        "dla": runs,
        "said": said[before:],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
