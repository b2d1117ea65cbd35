"""``coremltools.models``: ``MLModel`` with the signatures of 9.0, on what the protobuf of a real model has."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy


class ArrayDataType:
    @staticmethod
    def Name(number):
        return {65568: "FLOAT32", 65552: "FLOAT16", 131104: "INT32"}[number]


class FeatureType:
    def __init__(self, shape, kind):
        self.kind = kind
        self.multiArrayType = SimpleNamespace(shape=shape, dataType=65568, ArrayDataType=ArrayDataType)

    def WhichOneof(self, name):
        assert name == "Type"
        return self.kind


def feature(name, shape):
    return SimpleNamespace(name=name, type=FeatureType(shape, "multiArrayType" if shape else "imageType"))


class MLModel:
    def __init__(
        self,
        model,
        is_temp_package=False,
        mil_program=None,
        skip_model_load=False,
        compute_units=None,
        weights_dir=None,
        function_name=None,
        optimization_hints=None,
    ):
        path = Path(model)
        self.path = path / "model.json" if path.is_dir() else path
        self.told, self.compute_unit = json.loads(self.path.read_text()), compute_units

    def get_spec(self):
        inputs, outputs = ([feature(*pair) for pair in self.told[side].items()] for side in ("inputs", "outputs"))
        return SimpleNamespace(description=SimpleNamespace(input=inputs, output=outputs))

    def predict(self, data, state=None):
        assert set(data) == set(self.told["inputs"])
        first = numpy.asarray(data[next(iter(self.told["inputs"]))])
        return {name: 2 * first.reshape(shape) for name, shape in self.told["outputs"].items()}

    def get_compiled_model_path(self):
        return str(self.path)
