"""ONNX Runtime's providers against a stand-in with the real package's signatures; the real plug-ins where named."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy
import pytest
from conftest import save_onnx

from whichpu.worker import wire
from whichpu.worker.backends import FellBack, Refused, onnxbytes
from whichpu.worker.backends import onnxruntime as adapter
from whichpu.worker.backends import onnxruntime_placement as placement
from whichpu.worker.backends import onnxruntime_plugins as plugins
from whichpu.worker.backends import onnxruntime_providers as providers

pytest.importorskip("onnx")
STANDIN = pathlib.Path(__file__).parents[1] / "standins" / "ort" / "onnxruntime" / "__init__.py"
SPECS = [wire.TensorSpec("x", "float32", [3, 64])]
ALL = [
    f"{name}ExecutionProvider"
    for name in ("CUDA", "Tensorrt", "OpenVINO", "CoreML", "Dml", "MIGraphX", "Xnnpack", "ACL", "Nnapi", "VitisAI")
]
SIGNATURES = {
    "InferenceSession.__init__": "self path_or_bytes sess_options providers provider_options **kwargs",
    "InferenceSession.get_providers": "self",
    "InferenceSession.get_provider_options": "self",
    "InferenceSession.get_inputs": "self",
    "InferenceSession.get_outputs": "self",
    "InferenceSession.io_binding": "self",
    "InferenceSession.run_with_iobinding": "self iobinding run_options",
    "InferenceSession.get_provider_graph_assignment_info": "self",
    "InferenceSession.end_profiling": "self",
    "IOBinding.bind_ortvalue_input": "self name ortvalue",
    "IOBinding.bind_ortvalue_output": "self name ortvalue",
    "IOBinding.bind_output": "self name device_type device_id element_type shape buffer_ptr",
    "IOBinding.get_outputs": "self",
    "OrtValue.__init__": "self ortvalue numpy_obj session",
    "OrtValue.ortvalue_from_numpy": "numpy_obj/ device_type device_id vendor_id",
    "OrtValue.ortvalue_from_shape_and_type": "shape element_type device_type device_id vendor_id memory_info",
    "OrtValue.update_inplace": "self data",
    "OrtValue.numpy": "self",
    "OrtValue.shape": "self",
    "copy_tensors": "src dst stream",
    "preload_dlls": "cuda cudnn msvc directory",
}
"""Of onnxruntime 1.31.1. Of what is C, docstrings tell how many arguments there are."""
IN_C = {
    "SessionOptions.add_session_config_entry": 2,
    "SessionOptions.add_free_dimension_override_by_name": 2,
    "SessionOptions.add_provider_for_devices": 2,
    "register_execution_provider_library": 2,
    "get_ep_devices": 0,
    "get_available_providers": 0,
}


def loaded(path: pathlib.Path, monkeypatch: Any, **told: Any) -> Any:
    """The stand-in as ``onnxruntime`` of this process."""
    monkeypatch.setenv("ORT_STANDIN", json.dumps(dict({"available": ALL}, **told)))
    spec = importlib.util.spec_from_file_location("onnxruntime", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(monkeypatch):
    return lambda **told: loaded(STANDIN, monkeypatch, **told)


def job(device: str, path: str, **options: str) -> wire.Open:
    precision = options.pop("precision", "fp32")
    return wire.Open("onnxruntime", device, path, "onnx", precision, options=options, inputs=SPECS)


def agree(asked: Any, small: Any) -> None:
    """All samples through the open model come out right."""
    for got, expected in zip(asked.run([small.samples], whole=True), small.expected, strict=True):
        numpy.testing.assert_allclose(got, expected, atol=1e-4)


def words(signature: inspect.Signature) -> str:
    marks = {inspect.Parameter.VAR_KEYWORD: "**%s", inspect.Parameter.POSITIONAL_ONLY: "%s/"}
    return " ".join(marks.get(each.kind, "%s") % each.name for each in signature.parameters.values())


def reached(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def test_the_standin_has_the_recorded_signatures(machine):
    module = machine()
    assert {path: words(inspect.signature(reached(module, path))) for path in SIGNATURES} == SIGNATURES
    for path, count in IN_C.items():
        taken = [name for name in inspect.signature(reached(module, path)).parameters if name != "self"]
        assert len(taken) == count, path


def test_the_recorded_signatures_are_the_installed_ones():
    real = pytest.importorskip("onnxruntime", minversion="1.31")
    assert {path: words(inspect.signature(reached(real, path))) for path in SIGNATURES} == SIGNATURES
    for path, count in IN_C.items():
        line = reached(real, path).__doc__.strip().splitlines()[0]
        given = [part for part in line.split("(", 1)[1].split(", ") if part.startswith("arg")]
        assert len(given) == count, line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sess_options=None, providers=None", "sess_options=None, provider_names=None"),
        ("def bind_ortvalue_input(", "def bind_value_input("),
        (
            "def ortvalue_from_numpy(cls, numpy_obj, /, device_type=",
            "def ortvalue_from_numpy(cls, numpy_obj, /, *, device=",
        ),
        ("def run_with_iobinding(self, arg0, arg1)", "def run_with_iobinding(self, arg0)"),
        ("def get_provider_options(", "def provider_options("),
    ],
)
def test_a_changed_signature_breaks_the_path(asked, small, tmp_path, monkeypatch, old, new):
    source = STANDIN.read_text()
    assert old in source
    path = tmp_path / "changed.py"
    path.write_text(source.replace(old, new))
    loaded(path, monkeypatch)
    answer = asked.ask(job("cuda", small.path))
    if "failure" not in answer:
        given = str(tmp_path / "in.npz")
        numpy.savez(given, input_0=small.samples)
        answer = asked.ask(wire.Bind(given, str(tmp_path / "out.npz")))
    assert "failure" in answer


@pytest.mark.parametrize(
    ("device", "options", "given"),
    [
        ("cuda", {}, {"device_id": "0", "enable_cuda_graph": "0", "use_tf32": "0"}),
        ("cuda", {"precision": "default", "id": "1"}, {"device_id": "1", "use_tf32": "1"}),
        ("tensorrt", {}, {"trt_fp16_enable": "0"}),
        ("tensorrt", {"fp16": "on", "precision": "default", "dla": "1"}, {"trt_fp16_enable": "1", "trt_dla_core": "1"}),
        ("openvino", {"unit": "gpu"}, {"device_type": "GPU (given; not read back)"}),
        ("coreml", {"unit": "ane"}, {"MLComputeUnits": "CPUAndNeuralEngine (given; not read back)"}),
        ("dml", {}, {"inputs": "bound anew in each inference, which copies them"}),
        ("migraphx", {}, {"migraphx_fp16_enable": "0 (given; not read back)"}),
        ("xnnpack", {}, {"intra_op_num_threads": "1 (given; not read back)"}),
        ("acl", {}, {"enable_fast_math": "0 (given; not read back)"}),
        ("nnapi", {}, {"inputs": "bound once, in host memory"}),
        ("vitisai", {"set": "config_file:a.json;cache_key:k"}, {"config_file": "a.json (given; not read back)"}),
    ],
)
def test_each_provider_runs_and_tells(asked, small, machine, device, options, given):
    machine()
    found = asked.ask(job(device, small.path, **options))
    assert "failure" not in found, found
    assert given.items() <= found["effective"].items()
    assert found["placement"]["units"] == {device: 3} and found["placement"]["elsewhere"] == []
    assert found["effective"]["sizes fixed"] == "n=3"
    agree(asked, small)


def test_a_provider_that_takes_a_part_says_which(asked, small, machine):
    machine(takes={"CUDAExecutionProvider": ["MatMul", "Relu"]})
    found = asked.ask(job("cuda", small.path))["placement"]
    assert found["units"] == {"cuda": 2, "cpu": 1} and found["by"] == placement.BY
    assert [(part["unit"], part["kinds"]) for part in found["elsewhere"]] == [("cpu", {"Sigmoid": 1})]


def test_tensorrt_leaves_the_rest_to_cuda(asked, small, machine):
    machine(takes={"TensorrtExecutionProvider": ["MatMul"], "CUDAExecutionProvider": ["Relu"]})
    assert asked.ask(job("tensorrt", small.path))["placement"]["units"] == {"tensorrt": 1, "cuda": 1, "cpu": 1}


def test_older_versions_tell_by_a_profile(asked, small, machine):
    machine(version="1.22.0", takes={"CUDAExecutionProvider": ["MatMul"]})
    found = asked.ask(job("cuda", small.path))["placement"]
    assert found["units"] == {"cuda": 1, "cpu": 2} and found["by"] == placement.BY_PROFILE
    free = wire.Open("onnxruntime", "cuda", small.path, "onnx")
    assert "shape of an input is not known" in asked.ask(free)["placement"]["unknown"]


def test_a_provider_that_takes_nothing_is_a_fallback(asked, small, machine):
    machine(takes={"CoreMLExecutionProvider": []})
    failure = asked.ask(job("coreml", small.path))["failure"]
    assert failure["kind"] == "fallback" and "takes none of the model's 3 operators" in failure["message"]


def test_a_provider_that_does_not_start_is_a_fallback_with_its_words(asked, small, machine):
    machine(missing=["CUDAExecutionProvider"])
    failure = asked.ask(job("cuda", small.path))["failure"]
    assert failure["kind"] == "fallback"
    assert failure["message"].endswith(
        "Failed to load library libCUDAExecutionProvider.so with error: libcublasLt.so.13: "
        "cannot open shared object file"
    )
    assert failure["remedy"].startswith("it requires cuDNN 9.* and CUDA 13.*; pip install 'onnxruntime-gpu")


@pytest.mark.parametrize("graph", ["off", "on"])
def test_cuda_buffers_are_allocated_once(asked, small, machine, graph):
    """Also under a CUDA graph, which reads and writes where it did when it was captured."""
    module = machine()
    asked.ask(job("cuda", small.path, cuda_graph=graph))
    agree(asked, small)
    asked.run([small.samples])
    before = dict(module.counted)
    assert before["allocated"] == (3 if graph == "on" else 1) and before["bound"] == 1
    count = len(asked.ask(wire.Measure(least_count=10, least_ns=0))["latencies_ns"])
    after = dict(module.counted)
    more = {name: after[name] - before[name] for name in after if after[name] != before.get(name, 0)}
    assert set(more) == {"updated", "fetched"} if graph == "on" else {"updated"}
    assert set(more.values()) == {more["updated"]} and more["updated"] >= count


def test_memory_that_only_binding_fills_is_bound_each_time(asked, small, machine):
    module = machine()
    asked.ask(job("dml", small.path))
    agree(asked, small)
    asked.run([small.samples])
    before = module.counted["bound"]
    count = len(asked.ask(wire.Measure(least_count=10, least_ns=0))["latencies_ns"])
    assert module.counted["bound"] - before >= count


def test_a_cuda_graph_needs_fixed_shapes(asked, small, machine, monkeypatch):
    machine()
    monkeypatch.setattr(providers, "fixed_sizes", lambda job: {})
    asked.ask(job("cuda", small.path, cuda_graph="on"))
    given = str(asked.folder / "in.npz")
    numpy.savez(given, input_0=small.samples)
    failure = asked.ask(wire.Bind(given, given + ".out.npz"))["failure"]
    assert "shape is fixed" in failure["message"] and failure["remedy"] == "use cuda_graph=off"


def test_parts_on_cuda_add_up(asked, small, machine):
    machine()
    asked.ask(job("cuda", small.path))
    given = str(asked.folder / "in.npz")
    numpy.savez(given, input_0=small.samples)
    found = asked.ask(wire.Parts(given, count=5))
    assert found["missing"] == {} and len(found["ns"]["compute"]) == 5
    sums = [sum(each) for each in zip(*(found["ns"][name] for name in ("h2d", "compute", "d2h")), strict=True)]
    assert sums == found["ns"]["end_to_end"]


def test_no_parts_where_the_profile_mixes_them(asked, small, machine):
    machine()
    asked.ask(job("coreml", small.path))
    given = str(asked.folder / "in.npz")
    numpy.savez(given, input_0=small.samples)
    assert "hold the moves" in asked.ask(wire.Parts(given, count=5))["missing"]["compute"]


@pytest.mark.parametrize(
    ("device", "options", "says"),
    [
        ("cuda", {"fp16": "on"}, "has no option 'fp16'; it takes: cuda_graph"),
        ("cuda", {"cuda_graph": "yes"}, "it takes off, on"),
        ("cuda", {"id": "first"}, "it takes a number from 0"),
        ("cuda", {"set": "nonsense:1"}, 'CUDAExecutionProvider: Unknown provider option: "nonsense".'),
        ("cuda", {"set": "use_tf32:1"}, "set= names use_tf32, which WhichPU sets itself"),
        ("cuda", {"set": "nonsense"}, "'nonsense' is not NAME:VALUE"),
        ("tensorrt", {"fp16": "on"}, "fp16=on against precision=fp32"),
        ("tensorrt", {"dla": "0"}, "a DLA computes in fp16 or int8 only"),
        ("openvino", {"unit": "npu"}, "OpenVINO's NPU does not compute in fp32"),
        ("coreml", {"unit": "tpu"}, "it takes all, cpu, gpu, ane"),
        ("cpu", {"unit": "gpu"}, "onnxruntime:cpu has no option 'unit'; it takes: graph"),
        ("qnn", {}, "no provider for 'qnn'"),
        ("brain", {"library": "/nowhere/libbrain.so"}, "there is no library libbrain.so"),
    ],
)
def test_mistakes_are_one_sentence(asked, small, machine, device, options, says):
    machine()
    failure = asked.ask(job(device, small.path, **options))["failure"]
    kind = "fallback" if says.startswith("no provider for") else "refused"
    assert says in failure["message"] and "\n" not in failure["message"] and failure["kind"] == kind


def test_a_plug_in_by_its_library(asked, small, machine, tmp_path):
    machine()
    library = tmp_path / "libbrain.so"
    library.touch()
    found = asked.ask(job("brain", small.path, library=str(library), unit="npu"))
    assert found["placement"]["units"] == {"brain": 3}
    assert found["precision"]["ran"] == "as in the graph; not confirmed"
    agree(asked, small)


def test_offers_and_precisions(machine, small):
    machine()
    offered = [(offer.device, offer.precision) for offer in adapter.offers()]
    assert {("cuda", "fp32"), ("cuda", "default"), ("cpu", "fp32"), ("vitisai", "default")} <= set(offered)
    assert [precision for device, precision in offered if device == "openvino"] == ["fp32"]
    assert ("xnnpack", "default") not in offered and ("vitisai", "fp32") not in offered
    wanted = job("tensorrt", small.path, fp16="on", precision="default")
    assert providers.precision_of(providers.chosen(wanted), wanted).ran.startswith("fp16 where it is faster")
    assert adapter.open(job("cuda", small.path)).precision == wire.Precision(
        wire.AS_IN_THE_GRAPH, "held to it by NVIDIA_TF32_OVERRIDE=0"
    )


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_fp32_is_no_tf32_in_recurrent_operators_either(machine, small, monkeypatch, device):
    """ONNX Runtime asks cuDNN for its default there, whatever ``use_tf32`` says."""
    machine(version="1.17.1")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    assert "use_tf32" not in providers.chosen(job(device, small.path, precision="default")).options
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
    providers.chosen(job(device, small.path))
    assert os.environ.pop("NVIDIA_TF32_OVERRIDE") == "0"


def test_what_tensorrt_leaves_stays_on_the_same_gpu(asked, small, machine):
    module = machine(takes={"TensorrtExecutionProvider": ["MatMul"]})
    asked.ask(job("tensorrt", small.path, id="1"))
    assert module.sessions[-1].given["CUDAExecutionProvider"] == {"device_id": "1"}


def test_words_of_the_log():
    gpu = (
        "\x1b[1;31m2026-11-21 00:13:32.015 [E:onnxruntime:Default, bridge.cc:2 operator()] /onnxruntime_src/"
        "core/bridge.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL"
        " : Failed to load library /a/b/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open"
    )
    assert plugins.words_of(gpu) == (
        "Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open"
    )
    openvino = (
        "2026-11-21 [E:onnxruntime:Default, p.cc:1 Create] /onnxruntime/x/openvino_provider_factory.cc:141 std::string "
        "onnxruntime::openvino_ep::ParseDeviceType(std::shared_ptr<OVCore>, const onnxruntime::ProviderOptions&) "
        "[ERROR] [OpenVINO] Device GPU is not available\n"
    )
    assert plugins.words_of(openvino) == "[OpenVINO] Device GPU is not available"


def test_open_sizes_are_found_in_the_file(small, tmp_path):
    assert onnxbytes.symbols(small.path, SPECS) == {"n": 3}
    fixed = save_onnx(
        tmp_path / "f.onnx", [("Relu", ["x"], ["y"], {})], {"x": ("float32", [2])}, {"y": ("float32", [2])}
    )
    assert onnxbytes.symbols(fixed, [wire.TensorSpec("x", "float32", [2])]) == {}


def test_an_htp_is_not_asked_for_fp32(small, tmp_path):
    with pytest.raises(Refused, match="computes in fp16"):
        providers.PROVIDERS["qnn"].settings(job("qnn", small.path))
    given = {"x": ("float32", [2])}
    scale = {"s": numpy.array(0.1, "float32"), "z": numpy.array(0, "uint8")}
    path = save_onnx(
        tmp_path / "q.onnx", [("QuantizeLinear", ["x", "s", "z"], ["y"], {})], given, {"y": ("uint8", [2])}, **scale
    )
    assert providers.PROVIDERS["qnn"].settings(job("qnn", path, arch="73"))["htp_arch"] == "73"


def test_nodes_that_only_copy_do_not_count():
    class Told:
        def get_provider_graph_assignment_info(self) -> Any:
            return []

    found = placement.of(Told(), "cuda", [], lambda path: None, "model")
    assert found.unknown == "no operators are left in the graph"
    with pytest.raises(FellBack, match="takes none"):
        placement.refuse("cuda", "takes none of the model's 1 operators, all would run on", ["cpu"], [])


def test_whichpu_run_through_the_standin(small, tmp_path):
    """The whole path, in processes of their own: one provider runs, one takes a part, one falls back."""
    told = {
        "available": ALL,
        "takes": {"XnnpackExecutionProvider": ["MatMul"], "ACLExecutionProvider": []},
        "missing": ["DmlExecutionProvider"],
    }
    around = dict(os.environ, ORT_STANDIN=json.dumps(told), PYTHONPATH=str(STANDIN.parents[1]))
    targets = ["cuda", "xnnpack", "acl", "dml"]
    command = [
        sys.executable,
        "-m",
        "whichpu",
        "run",
        small.path,
        "--shape",
        "x=3x64",
        "--budget",
        "0.5s",
        "--rounds",
        "1",
    ]
    command += ["--meters", "off", "--json", "-o", str(tmp_path / "out.json")]
    command += [word for name in targets for word in ("--on", f"{name}=onnxruntime:{name}")]
    subprocess.run(command, env=around, capture_output=True, text=True, timeout=60)
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["results"]}
    assert rows["cuda"]["status"] == "measured" and rows["cuda"]["placement"]["units"] == {"cuda": 3}
    assert rows["xnnpack"]["placement"]["elsewhere"][0]["kinds"] == {"Relu": 1, "Sigmoid": 1}
    assert "takes none of the model's 3 operators" in rows["acl"]["why"] and rows["acl"]["fell_back"]
    assert "it requires cuDNN 9.*" in rows["dml"]["remedy"]


def test_fail_on_fallback(small, tmp_path):
    """A provider that takes a part, and one that is missing."""
    told = {
        "available": ["CUDAExecutionProvider", "DmlExecutionProvider"],
        "takes": {"CUDAExecutionProvider": ["MatMul", "Relu"]},
        "missing": ["DmlExecutionProvider"],
    }
    around = dict(os.environ, ORT_STANDIN=json.dumps(told), PYTHONPATH=str(STANDIN.parents[1]))
    command = [sys.executable, "-m", "whichpu", "run", small.path, "--shape", "x=3x64", "--budget", "0.1s"]
    for target in ("onnxruntime:cuda", "onnxruntime:dml", "null"):
        command += ["--on", target]
    command += ["--meters", "off", "--fail-on-fallback", "-o", str(tmp_path / "out.json")]
    ran = subprocess.run(command, env=around, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2, ran.stderr
    shown = " ".join(ran.stdout.split())
    assert "1 of 3 operators runs on cpu, not on cuda" in shown and "DmlExecutionProvider does not start" in shown
    assert "Fell back to another unit: onnxruntime:cuda, onnxruntime:dml." in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("name", "target"),
    [("OPENVINO", "onnxruntime:openvino"), ("QNN", "onnxruntime:qnn,arch=73,soc=43,precision=default")],
)
def test_the_real_provider(small, tmp_path, name, target):
    """``WHICHPU_TEST_ORT_OPENVINO_PYTHON``, ``WHICHPU_TEST_ORT_QNN_PYTHON``: interpreters that have them."""
    python = os.environ.get(f"WHICHPU_TEST_ORT_{name}_PYTHON")
    if not python:
        pytest.skip(f"WHICHPU_TEST_ORT_{name}_PYTHON names no interpreter with that provider")
    out = tmp_path / "out.json"
    command = [
        sys.executable,
        "-m",
        "whichpu",
        "run",
        small.path,
        "--shape",
        "x=3x64",
        "--budget",
        "1s",
        "-o",
        str(out),
    ]
    subprocess.run(
        [*command, "--on", f"it={target},python={python}", "--meters", "off"], check=True, capture_output=True
    )
    (row,) = json.loads(out.read_text())["results"]
    assert row["status"] == "measured" and row["placement"]["units"][target.split(":")[1].split(",")[0]] == 3
    assert row["boundary"] == ("simulated" if name == "QNN" else "end_to_end")  # on x86 an HTP is one
