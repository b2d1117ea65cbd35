"""The DLA's tables: limits at their edges, which TensorRT has a DLA at all, limits over a loadable."""

import numpy as np
import pytest

from whichpu.errors import UserError
from whichpu.graphs.capability import find
from whichpu.graphs.graph import Graph, Operator, Quantisation, Tensor
from whichpu.graphs.placement import place

IMAGE = (1, 16, 32, 32)


def constant(name, values, dtype="float32"):
    array = np.asarray(values, dtype)
    return Tensor(name, dtype, array.shape, read=lambda: array)


def weights(*shape):
    return Tensor("w", "float32", shape, read=lambda: np.zeros(shape, "float32"))


def placed(kind, npu="dla-orin", *others, shape=IMAGE, out=IMAGE, opset=17, **attributes):
    """Where one operator goes, and why."""
    source, result = Tensor("x", "float32", shape), Tensor("y", "float32", out)
    operator = Operator(0, kind, kind, [source, *others], [result], attributes)
    graph = Graph("net", "onnx", [operator], [source], [result], opset).connect()
    one = place(graph, find(npu)).placed[0]
    return one.where, one.reason


@pytest.mark.parametrize(("kernel", "pad", "where"), [(32, 0, "dla"), (33, 0, "gpu"), (3, 2, "dla"), (3, 3, "gpu")])
def test_a_convolution_is_held_to_kernel_and_padding(kernel, pad, where):
    shape = (1, 1, 64, 64)
    got, reason = placed("Conv", "dla-orin", weights(1, 1, kernel, kernel), shape=shape, out=shape, pads=[pad] * 4)
    assert got == where
    assert where == "dla" or f"{kernel}x{kernel}" in reason


def test_a_convolution_whose_data_outgrow_the_buffer_runs_on_the_gpu():
    wide = (1, 512, 64, 512)
    got, reason = placed("Conv", "dla-orin", weights(8, 512, 3, 3), shape=wide, out=wide, pads=[1] * 4)
    assert got == "gpu"
    assert "16 banks" in reason
    assert placed("Conv", "dla-orin", weights(8, 128, 3, 3), shape=(1, 128, 64, 64), pads=[1] * 4)[0] == "dla"


@pytest.mark.parametrize(
    ("kind", "others", "more", "xavier", "orin"),
    [
        ("Relu", [], {}, "dla", "dla"),
        ("LeakyRelu", [], {}, "dla", "dla"),
        ("Softmax", [], {"axis": 1}, "gpu", "dla"),
        ("Gelu", [], {}, "gpu", "gpu"),
        ("Clip", [constant("a", 0.0), constant("b", 6.0)], {}, "dla", "dla"),
        ("Clip", [constant("a", -1.0), constant("b", 1.0)], {}, "gpu", "gpu"),
        ("MaxPool", [], {"kernel_shape": [8, 8]}, "dla", "dla"),
        ("MaxPool", [], {"kernel_shape": [9, 9]}, "gpu", "gpu"),
        ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1] * 4}, "gpu", "dla"),
        ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}, "dla", "dla"),
        ("GlobalAveragePool", [], {}, "gpu", "gpu"),
        ("ReduceMax", [], {"axes": [2, 3]}, "gpu", "dla"),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}, "dla", "dla"),
        ("Transpose", [], {"perm": [1, 0, 2, 3]}, "gpu", "gpu"),
        ("Div", [constant("c", 2.0)], {}, "gpu", "gpu"),
        ("Div:int8", [constant("c", 2.0)], {}, "gpu", "dla"),
    ],
)
def test_operators_on_both_chips(kind, others, more, xavier, orin):
    kind, _, precision = kind.partition(":")
    option = f":precision={precision}" if precision else ""
    assert placed(kind, f"dla-xavier{option}", *others, **more)[0] == xavier
    assert placed(kind, f"dla-orin{option}", *others, **more)[0] == orin


def test_without_fallback_an_unsupported_layer_stops_the_build():
    assert placed("Gelu", "dla-orin:fallback=none")[0] == "refused"


@pytest.mark.parametrize(
    ("npu", "words"),
    [
        ("dla-orin:tensorrt=11.2", "has no DLA on Jetson"),
        ("dla-orin:tensorrt=10.8", "10.7 was the last"),
        ("dla-orin:tensorrt=11.4.1,jetpack=6.2", "not on 6.2"),
        ("dla-xavier:tensorrt=8.6", "8.5"),
    ],
)
def test_a_tensorrt_without_a_dla_is_refused_in_words(npu, words):
    with pytest.raises(UserError, match=words):
        placed("Relu", npu)


def test_explicit_quantisation_is_refused_with_the_remedy_up_to_10_7():
    grid = Quantisation((0.1,), (0,))
    x, y = Tensor("x", "int8", IMAGE, grid), Tensor("y", "int8", IMAGE, grid)
    graph = Graph("net", "onnx", [Operator(0, "r", "Relu", [x], [y])], [x], [y], 17).connect()
    before = place(graph, find("dla-orin:tensorrt=10.7")).placed[0]
    assert before.where == "gpu"
    assert "calibration table" in before.reason
    assert place(graph, find("dla-orin:tensorrt=11.4.1,jetpack=7.2.2")).placed[0].where == "dla"
    assert "strongly typed" in placed("Relu", "dla-orin:tensorrt=11.4.1")[1]


def test_a_loadable_with_too_many_weights_runs_on_the_gpu():
    x, y = Tensor("x", "float32", (1, 8192)), Tensor("y", "float32", (1, 8192))
    stored = [Tensor(f"w{n}", "float32", (8192, 8192), read=lambda: np.zeros(1)) for n in range(5)]
    middle = [Tensor(f"m{n}", "float32", (1, 8192)) for n in range(4)]
    chain = [x, *middle, y]
    layers = [Operator(n, f"g{n}", "Gemm", [chain[n], stored[n]], [chain[n + 1]]) for n in range(5)]
    graph = Graph("net", "onnx", layers, [x], [y], 17).connect()
    found = place(graph, find("dla-orin"))
    assert {one.where for one in found.placed} == {"gpu"}
    assert "more than 512 MB" in found.placed[0].reason
    assert {one.where for one in place(graph, find("dla-orin:precision=int8")).placed} == {"dla"}


def test_names_of_other_tools_are_known():
    for name in ("tensorrt_dla_xavier", "Jetson-DLA-Orin", "tensorrt-dla-orin"):
        assert find(name).capability.unit == "dla"


def test_a_classifier_is_cut_as_in_nvidias_build_log():
    """ResNet-50 on AGX Orin, TensorRT 10.3: two loadables; the GPU runs GlobalAveragePool and Flatten."""
    sizes = [(1, 16, 7, 7)] * 3 + [(1, 16, 1, 1), (1, 16), (1, 10)]
    tensors = [Tensor(f"t{n}", "float32", shape) for n, shape in enumerate(sizes)]
    more = {"Conv": [weights(16, 16, 3, 3)], "Gemm": [weights(16, 10), constant("b", np.zeros(10))]}
    kinds = ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    layers = [
        Operator(n, kind, kind, [tensors[n], *more.get(kind, [])], [tensors[n + 1]], {"pads": [1] * 4})
        for n, kind in enumerate(kinds)
    ]
    graph = Graph("net", "onnx", layers, tensors[:1], tensors[-1:], 17).connect()
    found = place(graph, find("dla-orin:precision=int8"))
    assert [one.where for one in found.placed] == ["dla", "dla", "gpu", "gpu", "dla"]
    assert found.figures.regions == 2
    assert "AVG Reduce" in found.placed[2].reason
