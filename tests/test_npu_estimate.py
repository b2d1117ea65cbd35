"""The estimate: rooflines worked out by hand, what is not known stays absent, fits that keep their promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.graphs.calibrate import Calibration, Measurement, calibrate, load
from whichpu.graphs.capability import find
from whichpu.graphs.estimate import EFFICIENCY, estimate
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.hardware import _tables, named
from whichpu.graphs.placement import place

IMAGE = (1, 64, 56, 56)
MACS = 56 * 56 * 64 * 64 * 9


def network(*kinds, shape=IMAGE):
    """A chain: 3x3 convolutions that keep the size, and operators without weights."""
    tensors = [Tensor(f"t{n}", "float32", shape) for n in range(len(kinds) + 1)]
    stored = Tensor("w", "float32", (64, 64, 3, 3), read=lambda: np.zeros((64, 64, 3, 3), "float32"))
    operators = [
        Operator(
            n, f"{kind}{n}", kind, [tensors[n], *([stored] if kind == "Conv" else [])], [tensors[n + 1]],
            {"pads": [1] * 4, "kernel_shape": [3, 3]} if kind == "Conv" else {},
        )
        for n, kind in enumerate(kinds)
    ]  # fmt: skip
    return Graph("net", "onnx", operators, tensors[:1], tensors[-1:], 17).connect()


def test_a_convolution_on_the_dla_is_its_arithmetic_over_the_peak():
    found = estimate(place(network("Conv"), find("dla-xavier:precision=int8")))
    low, high = found.by_operator[0]
    assert low == pytest.approx(MACS / 2.5e12 / EFFICIENCY[1])
    assert high == pytest.approx(MACS / 2.5e12 / EFFICIENCY[0])
    assert found.energy_joules == pytest.approx((low * 0.5, high * 1.5))
    edges = 2 * np.prod(IMAGE)  # int8 on the DLA
    assert found.transfer_seconds == pytest.approx((edges / 68.5e9, edges / 34e9))
    assert found.latency_seconds == pytest.approx((low + edges / 68.5e9, high + edges / 34e9))


def test_an_activation_is_its_bytes_over_the_bandwidth():
    low, high = estimate(place(network("Relu"), find("dla-xavier:precision=int8"))).by_operator[0]
    assert (low, high) == pytest.approx((2 * np.prod(IMAGE) / 137e9, 2 * np.prod(IMAGE) / 68.5e9))


def test_the_host_pays_float_bytes_and_the_border():
    found = estimate(place(network("Conv", "Gelu", "Conv"), find("dla-xavier")))
    assert found.by_operator[1] == pytest.approx((8 * np.prod(IMAGE) / 137e9, 8 * np.prod(IMAGE) / 68.5e9))
    whole = estimate(place(network("Conv", "Relu", "Conv"), find("dla-xavier")))
    assert found.transfer_seconds[0] == pytest.approx(2 * whole.transfer_seconds[0])
    assert found.speedup[0] < found.speedup[1]


@pytest.mark.parametrize(
    ("npu", "kinds", "words"),
    [
        ("dla-orin", ["Conv"], "no published peak"),
        ("apple-ane", ["Resize"], "no published peak of Apple Neural Engine"),
        ("dla-xavier:fallback=none", ["Gelu"], "stops at 1 operators"),
        ("hailo-8", ["Mish"], "not known"),
    ],
)
def test_what_is_not_known_is_absent_and_said(npu, kinds, words):
    found = estimate(place(network(*kinds), find(npu)))
    assert found.latency_seconds is None
    assert any(words in one for one in found.missing)


def test_unknown_sizes_give_no_time():
    found = estimate(place(network("Relu", shape=(1, 64, None, 56)), find("dla-xavier")))
    assert found.latency_seconds is None
    assert found.bandwidth_bytes is None


def test_bytes_moved_run_from_the_edges_to_every_tensor():
    found = estimate(place(network("Relu", "Relu", "Relu"), find("hailo-8l")))
    assert found.bandwidth_bytes == (2 * np.prod(IMAGE), 6 * np.prod(IMAGE))


def test_a_shipped_fit_says_so_and_how_far_off_it_is():
    found = estimate(place(network("Conv"), find("hailo-8l")))
    fitted = named("hailo-8l", {}).calibration
    middle = fitted.fixed_seconds + MACS * fitted.seconds_per_mac + 64 * 64 * 9 * fitted.seconds_per_parameter
    assert found.latency_seconds == pytest.approx([middle * part for part in fitted.spread])
    assert "178 measurements" in found.basis
    assert "47%" in found.basis


def test_measurements_of_unit_and_host_outrank_the_peaks():
    unit = Calibration(1e-3, 1e-12, 0.0, (1.0, 1.0), 0.0, 5, "mine")
    host = Calibration(0.0, 1e-11, 0.0, (0.5, 2.0), 0.1, 5, "mine")
    found = estimate(place(network("Conv"), find("rk3588") if "rk3588" in _names() else find("hailo-8")), unit, host)
    assert found.latency_seconds == pytest.approx((1e-3 + MACS * 1e-12,) * 2)
    assert found.host_only_seconds == pytest.approx((MACS * 0.5e-11, MACS * 2e-11))
    assert found.speedup == pytest.approx(
        (MACS * 0.5e-11 / (1e-3 + MACS * 1e-12), MACS * 2e-11 / (1e-3 + MACS * 1e-12))
    )


def _names():
    from whichpu.graphs.capability import tables

    return tables()


@settings(max_examples=20)
@given(
    st.floats(0, 1e-3), st.floats(1e-13, 1e-11), st.floats(0, 1e-9),
    st.lists(st.tuples(st.floats(1e6, 1e10), st.floats(1e4, 1e8)), min_size=6, max_size=20, unique=True),
)  # fmt: skip
def test_a_fit_finds_the_law_that_made_the_points(fixed, mac, parameter, sizes):
    points = [Measurement("n", m, p, fixed + m * mac + p * parameter) for m, p in sizes]
    found = calibrate(points, "made")
    for one in points:
        assert found.predict(one.macs, one.parameters) == pytest.approx(one.seconds, rel=0.02)


def test_an_outlier_pulls_little():
    points = [Measurement("n", m, 1e6, 1e-4 + m * 1e-12) for m in np.geomspace(1e7, 1e10, 15)]
    points[7] = Measurement("bad", points[7].macs, 1e6, points[7].seconds * 50)
    found = calibrate(points, "made")
    assert found.seconds_per_mac == pytest.approx(1e-12, rel=0.05)
    assert found.error < 0.05


def test_a_count_faster_than_the_peak_is_left_out_and_too_few_points_refused():
    points = [Measurement("n", m, 0, m * 1e-12) for m in (1e8, 2e8, 3e8)]
    assert calibrate([*points, Measurement("lie", 1e12, 0, 1e-6)], "x", 1e-13).points == 3
    with pytest.raises(UserError, match="too few"):
        calibrate(points[:2], "x")


def test_every_figure_has_a_source_and_low_is_not_over_high():
    for name, table in _tables().items():
        choices = [{}, *(dict([choice.split("=")]) for choice in table.get("by", {}))]
        for options in choices:
            figures = named(name, options)
            assert figures.source
            for field in figures.__struct_fields__:
                value = getattr(figures, field)
                assert not isinstance(value, tuple) or value[0] <= value[1], (name, field)


def written(tmp_path, text):
    (tmp_path / "mine.csv").write_text(text)
    return tmp_path / "mine.csv"


def test_the_users_own_measurements_are_what_the_target_names(tmp_path):
    rows = "\n".join(f"{macs},0,{1e-4 + macs * 1e-12}" for macs in (1e8, 2e8, 4e8, 8e8))
    path = written(tmp_path, f"macs,parameters,seconds\n{rows}\n")
    found = estimate(place(network("Conv"), find(f"apple-ane:measured={path}")))
    assert "your mine.csv" in found.basis
    on_dla = estimate(place(network("Conv"), find(f"dla-orin:measured={path}")))
    assert on_dla.latency_seconds == pytest.approx((1e-4 + MACS * 1e-12,) * 2, rel=1e-3)
    host = estimate(place(network("Conv"), find(f"hailo-8:host_measured={path}")))
    assert host.host_only_seconds == pytest.approx((1e-4 + MACS * 1e-12,) * 2, rel=1e-3)


def test_a_models_size_is_counted_from_its_file(tmp_path):
    from onnx import TensorProto, helper, save

    entry, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 8]) for name in "xy")
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 8], [0.0] * 64)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "net", [entry], [result], [weights])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    assert load(written(tmp_path, "model,seconds\nm.onnx,0.5\n")) == [Measurement("m.onnx", 256, 64, 0.5)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("macs,parameters,seconds\n1,1,0\n", "line 2: seconds must be above 0"),
        ("macs,parameters,seconds\n1,1,1\nmany,1,1\n", "line 3: macs is 'many'"),
        ("macs,seconds\n1,1\n", "line 2: parameters is None"),
        ("macs,parameters,seconds\n1,nan,1\n", "no figure"),
        ("model,seconds\nnowhere.onnx,1\n", "there is no file"),
        ("macs,parameters,seconds\n1,1,1\n", "too few"),
    ],
)
def test_measurements_that_cant_be_used_are_told_and_the_peaks_stay(tmp_path, text, words):
    found = estimate(place(network("Conv"), find(f"dla-xavier:measured={written(tmp_path, text)}")))
    assert words in found.missing[0]
    assert found.latency_seconds == estimate(place(network("Conv"), find("dla-xavier"))).latency_seconds


def test_a_missing_file_of_measurements_is_told(tmp_path):
    found = estimate(place(network("Conv"), find(f"dla-xavier:measured={tmp_path}/none.csv")))
    assert "can't read the measurements" in found.missing[0]
