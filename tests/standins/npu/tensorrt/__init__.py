"""A stand-in for TensorRT's Python package: names and signatures of its API reference, 8.6 to 10.x.

``Builder(logger)``, ``Builder.num_DLA_cores``, ``create_network(flags)``, ``create_builder_config()``,
``OnnxParser(network, logger)`` with ``parse_from_file``, ``num_errors``, ``get_error``;
``INetworkDefinition.num_layers`` and ``get_layer``; ``ILayer.name``, ``type``, ``metadata``, ``num_outputs``,
``get_output``;
``IBuilderConfig.can_run_on_DLA``. What the DLA takes is told in ``TENSORRT_STANDIN`` (JSON), for the child process.
"""

import enum
import json
import os
from types import SimpleNamespace

__version__ = "10.3.0"
TOLD = json.loads(os.environ.get("TENSORRT_STANDIN", "{}"))


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        pass


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0


class BuilderFlag(enum.IntEnum):
    FP16 = 0
    INT8 = 1
    GPU_FALLBACK = 3


class DeviceType(enum.IntEnum):
    GPU = 0
    DLA = 1


class LayerType(enum.IntEnum):
    CONVOLUTION = 0
    ACTIVATION = 2
    ELEMENTWISE = 8
    CONSTANT = 19


class IBuilderConfig:
    def __init__(self, logger):
        self._logger = logger
        self.flags = set()
        self.default_device_type = DeviceType.GPU
        self.DLA_core = -1

    def set_flag(self, flag):
        assert isinstance(flag, BuilderFlag)
        self.flags.add(flag)

    def can_run_on_DLA(self, layer):
        assert self.default_device_type == DeviceType.DLA
        assert {BuilderFlag.GPU_FALLBACK, BuilderFlag.FP16} <= self.flags
        assert self.DLA_core == 0
        words = TOLD.get("off", {}).get(layer.node)
        if words is None:
            return True
        if words:
            self._logger.log(ILogger.Severity.WARNING, f"{layer.name}: {words}")
        self._logger.log(ILogger.Severity.INFO, "not worth telling")
        return False


class Builder:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger = logger
        self.num_DLA_cores = TOLD.get("cores", 2)
        self.max_DLA_batch_size = 4096

    def create_network(self, flags=0):
        assert flags == 1 << int(NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
        return SimpleNamespace(num_layers=0, layers=[])

    def create_builder_config(self):
        return IBuilderConfig(self._logger)


class OnnxParser:
    def __init__(self, network, logger):
        assert isinstance(logger, ILogger)
        self._network = network
        self.num_errors = 0

    def parse_from_file(self, model):
        if "parse_error" in TOLD:
            self.num_errors = 1
            return False
        import onnx

        layers = []
        for node in onnx.load(model).graph.node:
            kinds = [LayerType.CONSTANT, LayerType.ELEMENTWISE] if node.op_type == "Add" else [LayerType.ACTIVATION]
            layers += [_layer(node, kind) for kind in kinds]
        self._network.num_layers = len(layers)
        self._network.get_layer = lambda index: layers[index]
        return True

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: TOLD["parse_error"])


def _layer(node, kind):
    return SimpleNamespace(
        name=node.name,
        node=node.op_type if kind != LayerType.CONSTANT else "constant",
        type=kind,
        metadata=f"[ONNX Layer: {node.name}]" if TOLD.get("metadata", True) else "",
        num_outputs=1,
        get_output=lambda index: SimpleNamespace(name=node.output[index]),
    )
