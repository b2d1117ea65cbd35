"""``tvm.runtime``: modules, devices and arrays."""

import json
import pathlib

import numpy


class Device:
    def __init__(self, device_type, device_id):
        self.device_type, self.device_id = device_type, device_id


class NDArray:
    def __init__(self, array):
        self.held = numpy.array(array)
        self.shape, self.dtype = self.held.shape, str(self.held.dtype)

    def copyfrom(self, source_array):
        if source_array.shape != self.held.shape:
            raise ValueError(f"array shape do not match the shape of NDArray {source_array.shape} vs {self.held.shape}")
        self.held[...] = source_array
        return self

    def numpy(self):
        return self.held.copy()


class Module:
    """A library of one graph. ``module["default"](device)`` gives the graph executor's functions."""

    def __init__(self, plan):
        self.plan = plan

    def __getitem__(self, name):
        if name != "default":
            raise AttributeError(f"Module has no function '{name}'")
        return lambda *devices: _functions(self.plan)


def load_module(path, fmt=""):
    return Module(json.loads(pathlib.Path(path).read_text()))


def _functions(plan):
    inputs = {name: NDArray(numpy.zeros(shape, dtype)) for name, shape, dtype in plan["inputs"]}
    (first,) = inputs.values()
    outputs = [NDArray(first.held)]

    def run():
        value = first.numpy()
        for operator in plan["operators"]:
            value = numpy.maximum(value, 0) if operator == "Relu" else -value
        outputs[0] = NDArray(value)

    return {
        "run": run,
        "get_input": inputs.get,
        "get_output": outputs.__getitem__,
        "get_num_outputs": lambda: len(outputs),
    }
