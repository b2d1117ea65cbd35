"""``coremltools.models.compute_plan`` of 9.0: the plan of a model as the JSON file tells it."""

import json
from pathlib import Path
from types import SimpleNamespace

from .. import ComputeUnit


class MLCPUComputeDevice:
    pass


class MLGPUComputeDevice:
    pass


class MLNeuralEngineComputeDevice:
    pass


DEVICES = {"cpu": MLCPUComputeDevice, "gpu": MLGPUComputeDevice, "ane": MLNeuralEngineComputeDevice}


def operation(kind, device, blocks=()):
    return SimpleNamespace(operator_name=kind, device=device, blocks=list(blocks), inputs={}, outputs=[])


class MLComputePlan:
    def __init__(self, proxy):
        rows = [operation(kind, device) for kind, device in proxy]
        nested = SimpleNamespace(operations=rows[-1:])
        whole = [*rows[:-1], operation("ios17.cond", rows[0].device, [nested])] if len(rows) > 3 else rows
        main = SimpleNamespace(block=SimpleNamespace(operations=whole))
        self.model_structure = SimpleNamespace(
            program=SimpleNamespace(functions={"main": main}), neuralnetwork=None, pipeline=None
        )

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        if operation.device not in DEVICES:
            return None
        return SimpleNamespace(preferred_compute_device=DEVICES[operation.device](), supported_compute_devices=[])

    @classmethod
    def load_from_path(cls, path, compute_units=ComputeUnit.ALL):
        told = json.loads(Path(path).read_text()).get("plan")
        if told is None:
            raise ValueError("MLComputePlan is not supported.")
        return cls(told)
