"""Hailo's and Apple's tables: evidence is told as evidence, silence as unknown, the cut by name."""

import numpy as np
import pytest

from whichpu.graphs.capability import find
from whichpu.graphs.graph import Graph, Operator, Quantisation, Tensor
from whichpu.graphs.placement import place

IMAGE = (1, 8, 16, 16)


def chain(*kinds, grid=None):
    tensors = [Tensor(f"t{n}", "float32", IMAGE, grid) for n in range(len(kinds) + 1)]
    stored = Tensor("w", "float32", (8, 8, 3, 3), read=lambda: np.zeros((8, 8, 3, 3), "float32"))
    operators = [
        Operator(n, f"{kind}{n}", kind, [tensors[n], *([stored] if kind == "Conv" else [])], [tensors[n + 1]])
        for n, kind in enumerate(kinds)
    ]
    return Graph("net", "onnx", operators, tensors[:1], tensors[-1:], 17).connect()


def where(npu, *kinds, **more):
    return [one.where for one in place(chain(*kinds, **more), find(npu)).placed]


@pytest.mark.parametrize("npu", ["hailo-8", "hailo8l", "HAILO_8L"])
def test_what_public_models_hold_is_taken_and_silence_is_unknown(npu):
    assert where(npu, "Conv", "LeakyRelu", "Sigmoid", "Gelu") == ["npu"] * 4
    assert where(npu, "Conv", "Mish", "Conv") == ["npu", "unknown", "npu"]


def test_the_chips_part_ends_before_host_code():
    found = place(chain("Conv", "Relu", "NonMaxSuppression", "Relu"), find("hailo-8"))
    assert [one.where for one in found.placed] == ["npu", "npu", "cpu", "cpu"]
    assert "NonMaxSuppression 'NonMaxSuppression2'" in found.placed[3].reason
    assert found.figures.regions == 1


def test_quantised_models_are_not_the_way_in():
    found = place(chain("Relu", grid=Quantisation((0.1,), (0,))), find("hailo-8"))
    assert found.placed[0].where == "refused"
    assert "give that one" in found.placed[0].reason
    assert where("hailo-8", "QuantizeLinear") == ["refused"]


def test_the_neural_engine_is_mostly_unknown():
    assert where("apple-ane", "Conv", "Relu", "LSTM", "Resize") == ["unknown", "unknown", "cpu", "npu"]
