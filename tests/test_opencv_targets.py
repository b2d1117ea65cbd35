"""OpenCV beyond the CPU: the whole path against a CUDA build's stand-in; logs and traces; OpenCL where it is."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.backends import FellBack, opencv_placement, opencv_targets

cv2 = pytest.importorskip("cv2")
STANDIN = Path(__file__).parent / "standins" / "cv2_cuda"
SIGNATURES = {
    "dnn.getAvailableTargets": ["be"],
    "dnn.readNetFromONNX": ["onnxFile"],
    "dnn.Net.setPreferableBackend": ["backendId"],
    "dnn.Net.setPreferableTarget": ["targetId"],
    "dnn.Net.setInput": ["blob", "name", "scalefactor", "mean"],
    "dnn.Net.forward": ["outBlobNames", "outputBlobs"],
    "dnn.Net.getPerfProfile": [],
    "dnn.Net.getLayerNames": [],
    "dnn.Net.getLayer": ["layerId"],
    "dnn.Net.getLayerTypes": [],
    "dnn.Net.getLayersCount": ["layerType"],
    "dnn.Net.getUnconnectedOutLayersNames": [],
    "dnn.Net.empty": [],
    "cuda.getCudaEnabledDeviceCount": [],
    "utils.logging.setLogLevel": ["logLevel"],
    "getBuildInformation": [],
}
"""As recorded from the bindings of OpenCV 4.14."""
ASK = """
import json, sys
import numpy
from whichpu.worker import wire
from whichpu.worker.serve import Worker

wish = json.load(sys.stdin)
worker, specs = Worker(), [wire.TensorSpec("x", "float32", [3, 64])]
model = wish["model"]
jobs = [wire.Open("opencv", device, model, "onnx", precision, inputs=specs) for device, precision in wish["jobs"]]
print("ANSWERS", flush=True)
for job in jobs:
    print(worker.answer(wire.request_line(1, job)), end="")
    print(worker.answer(wire.request_line(2, wire.Bind(wish["inputs"], wish["outputs"]))), end="")
    print(worker.answer(wire.request_line(3, wire.Measure(least_count=5, least_ns=0))), end="")
    print(worker.answer(wire.request_line(4, wire.Parts(wish["inputs"], 3))), end="")
print(worker.answer(wire.request_line(5, wire.Describe("opencv"))), end="", flush=True)
"""


def add_model(path: Path) -> str:
    onnx = pytest.importorskip("onnx")
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    weights = numpy.random.default_rng(1).standard_normal((64, 8)).astype("float32")
    nodes = [
        make.make_node("MatMul", ["x", "w"], ["product"]),
        make.make_node("Relu", ["product"], ["zeta"]),
        make.make_node("Sigmoid", ["x"], ["alpha"]),
    ]
    values = [
        make.make_tensor_value_info(name, real, [3, size]) for name, size in (("x", 64), ("zeta", 8), ("alpha", 64))
    ]
    graph = make.make_graph(nodes, "small", values[:1], values[1:], [onnx.numpy_helper.from_array(weights, "w")])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), str(path))
    return str(path)


def asked(folder, jobs, says=None, standin=STANDIN, **variables):
    """Answers of a worker in a process of its own: four a job, and the description."""
    samples = numpy.random.default_rng(0).standard_normal((1, 3, 64)).astype("float32")
    numpy.savez(folder / "in.npz", input_0=samples)
    wish = {"model": add_model(folder / "small.onnx"), "jobs": jobs}
    wish.update(inputs=str(folder / "in.npz"), outputs=str(folder / "out.npz"))
    paths = [str(standin)] * bool(standin) + [str(Path(__file__).parent.parent / "src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "WHICHPU_STANDIN_CV2": json.dumps(says or {})}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK],
        input=json.dumps(wish),
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, **variables},
    )
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(row) for row in ran.stdout.split("ANSWERS\n")[1].splitlines() if row.startswith('{"id"')]
    found = [row.get("answer", {"failure": row.get("failure")}) for row in rows]
    return [found[start : start + 4] for start in range(0, len(found) - 1, 4)], found[-1]


def test_the_whole_path_on_a_cuda_build(tmp_path):
    (fp32, fp16), description = asked(tmp_path, [("cuda", "fp32"), ("cuda-fp16", "default")], {"on_cpu": ["Sigmoid"]})
    (declined,), _ = asked(tmp_path, [("cuda", "fp32")], {"on_cpu": ["Sigmoid"], "declines": ["ReLU"]})
    (elsewhere,) = declined[0]["placement"]["elsewhere"]
    assert elsewhere["kinds"] == {"ReLU": 1, "Sigmoid": 1} and elsewhere["reason"].endswith("or not as they are set")
    (nothing,), _ = asked(tmp_path, [("cuda", "fp32")], {"declines": ["MatMul", "ReLU", "Sigmoid", "Identity"]})
    assert nothing[0]["failure"]["kind"] == "fallback" and "all 5 layers" in nothing[0]["failure"]["message"]
    opened, bound, measured, parts = fp32
    assert opened["placement"]["asked"] == "cuda" and opened["placement"]["units"]["cpu"] == 1
    assert opened["placement"]["elsewhere"][0]["kinds"] == {"Sigmoid": 1}
    assert "no CUDA code" in opened["placement"]["elsewhere"][0]["reason"]
    assert opened["precision"]["ran"] == "fp32" and "NVIDIA_TF32_OVERRIDE=0" in opened["precision"]["evidence"]
    assert (opened["effective"]["backend"], opened["effective"]["target"]) == ("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA")
    assert bound["first_ns"] > 0 and len(measured["latencies_ns"]) >= 5
    assert parts["ns"] == {} and "the CPU only" in parts["missing"]["compute"]
    assert fp16[0]["precision"]["ran"] == "fp16" and fp16[0]["effective"]["target"] == "DNN_TARGET_CUDA_FP16"
    offered = [(offer["device"], offer["precision"]) for offer in description["offers"]]
    assert ("cuda", "fp32") in offered and ("cuda-fp16", "default") in offered


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        ({"built": False}, "fallback", "built without CUDA"),
        ({"devices": 0}, "refused", "no CUDA device"),
        ({"devices": -1}, "refused", "driver is missing"),
        ({"compatible": False}, "refused", "without code for the GPU here"),
        ({"quantized": True}, "fallback", "quantized networks"),
    ],
)
def test_each_way_to_fall_back_is_caught(says, kind, words, tmp_path):
    ((opened, *_),), _ = asked(tmp_path, [("cuda", "fp32")], says)
    failure = opened["failure"]
    assert (failure["kind"], bool(failure["remedy"])) == (kind, True) and words in failure["message"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"on_cpu": ["Sigmoid"]}, "operators runs on cpu, not on cuda: 1 Sigmoid (OpenCV has no CUDA code for them)"),
        ({"quantized": True}, "runs all of this model on the CPU, not on cuda"),
    ],
)
def test_fail_on_fallback(says, words, tmp_path):
    model, output = add_model(tmp_path / "small.onnx"), str(tmp_path / "out.json")
    command = [sys.executable, "-m", "whichpu", "run", model, "--on", "opencv:cuda", "--on", "null", "--budget", "0.1s"]
    command += ["--meters", "off", "--fail-on-fallback", "-o", output]
    around = {**os.environ, "PYTHONPATH": str(STANDIN), "WHICHPU_STANDIN_CV2": json.dumps(says)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=around)
    assert ran.returncode == 2, ran.stderr
    assert words in " ".join(ran.stdout.split()), ran.stdout


def test_precisions_are_what_was_asked(tmp_path):
    jobs = [("cuda-fp16", "fp32"), ("cuda-fp16", "default")]
    found, description = asked(tmp_path, jobs, {"fp16": False})
    assert "no fp16" in found[0][0]["failure"]["message"] and "no fp16" in found[1][0]["failure"]["message"]
    assert "cuda-fp16" not in {offer["device"] for offer in description["offers"]}
    (wrong,), _ = asked(tmp_path, [("cuda-fp16", "fp32")])
    assert "computes in fp16" in wrong[0]["failure"]["message"] and "precision=default" in wrong[0]["failure"]["remedy"]


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("self, backendId)", "self, backend)"), ("_available(be)", "_available(id)"), ("layerType", "kind")],
)
def test_a_changed_signature_is_seen(was, becomes, tmp_path):
    """Both by the path, which names its arguments where it can, and by the table of signatures."""
    shutil.copytree(STANDIN, tmp_path / "standin")
    file = tmp_path / "standin" / "cv2" / "__init__.py"
    text = file.read_text(encoding="utf-8")
    assert was in text
    file.write_text(text.replace(was, becomes), encoding="utf-8")
    assert signatures(tmp_path / "standin") != SIGNATURES
    if becomes != "kind":  # the path gives this one by position, as bindings before OpenCV 5 want it
        ((opened, *_),), _ = asked(tmp_path, [("cuda", "fp32")], standin=tmp_path / "standin")
        assert "unexpected keyword" in opened["failure"]["message"] or "has no" in opened["failure"]["message"]


def signatures(folder):
    code = (
        "import cv2, inspect, json\nfrom operator import attrgetter\n"
        f"found = {{name: inspect.signature(attrgetter(name)(cv2)).parameters for name in {list(SIGNATURES)!r}}}\n"
        "print(json.dumps({name: [each for each in found[name] if each != 'self'] for name in found}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder), "WHICHPU_STANDIN_CV2": "{}"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_stand_in_has_opencv_s_signatures():
    assert signatures(STANDIN) == SIGNATURES


@pytest.mark.parametrize("name", list(SIGNATURES))
def test_the_installed_opencv_has_them_too(name):
    """The bindings' own docstrings: ``setInput(blob[, name[, scalefactor[, mean]]]) -> None``."""
    thing = cv2
    for part in name.split("."):
        thing = getattr(thing, part)
    heads = [row for row in inspect.getdoc(thing).splitlines() if row.startswith(name.split(".")[-1] + "(")]
    takes = [re.findall(r"\w+", re.search(r"\((.*)\) ->", head).group(1)) for head in heads]
    assert any(found[: len(SIGNATURES[name])] == SIGNATURES[name] for found in takes), takes


def test_lines_of_the_log_are_read():
    log = [
        "[ INFO:0@0.1] global op_cuda.cpp:80 initCUDABackend CUDA backend will fallback to the CPU implementation for"
        ' the layer "a b" of type Resize'
    ]
    layers = [("a b", "Resize", True), ("c", "Conv", True), ("d", "ReLU", False)]
    placement = opencv_placement.by_log("cuda", layers, log)
    assert placement.units == {"cuda": 1, "cpu": 1} and placement.elsewhere[0].names == ["a b"]
    job = wire.Open("opencv", "cuda", "m.onnx", "onnx")
    line = "[ WARN:0@0.2] global net_impl.cpp:189 setUpNet unable to use CUDA backend; switching to CPU"
    with pytest.raises(FellBack, match="not on cuda: unable to use CUDA backend"):
        opencv_placement.refuse_fallen_back(job, [line])
    with pytest.raises(FellBack, match="fp32, not in fp16"):
        opencv_placement.refuse_fallen_back(job, ["... does not support FP16 target; switching to FP32 target."])


PLACES = ['l,1,"net_impl.cpp",1,"void cv::dnn::Net::Impl::forwardToLayer(LayerData&, bool)",0x1',
          'l,2,"net_impl.cpp",1,"void cv::dnn::Net::Impl::forwardLayer(LayerData&)",0x1',
          'l,3,"layer.cpp",1,"virtual void cv::dnn::LayerImpl::forward(InputArrayOfArrays)",0x1',
          'l,4,"ocl.cpp",1,"static cv::ocl::OpenCLExecutionContext& cv::ocl::getCurrent()",0x1',
          'l,5,"parallel.cpp",1,"parallel_for",0x0']  # fmt: skip


def events(*regions):
    """Nested lists as the lines of a trace."""
    found = []
    for region in regions:
        place, *inside = region
        found += [f"b,0,1,{place},1", *events(*inside), f"e,0,2,{place},1,1"]
    return found


def test_a_trace_tells_which_layers_took_cpu_code():
    first = [1, [2], [2, [3, [5]]], [2, [3, [5]]]]
    last = [1, [2], [2, [3, [4]]], [2, [3, [4], [5]]]]
    layers = [("a", "Convolution", True), ("b", "ReLU", True)]
    placement = opencv_placement.by_trace("opencl", layers, PLACES, events(first, last))
    assert placement.units == {"opencl": 1, "cpu": 1}
    assert placement.elsewhere[0].names == ["b"]
    fused = [("a", "Convolution", True), ("b", "ReLU", False)]
    assert opencv_placement.by_trace("opencl", fused, PLACES, events(first, last)).units == {"opencl": 1}
    assert "no trace" in opencv_placement.by_trace("opencl", layers, [], []).unknown


def test_wheels_refuse_what_they_lack():
    if "NVIDIA CUDA:" in cv2.getBuildInformation():
        pytest.skip("this OpenCV is built with CUDA")
    with pytest.raises(FellBack, match="built without CUDA"):
        opencv_targets.refuse_unless_here(cv2, wire.Open("opencv", "cuda", "m.onnx", "onnx"))
    with pytest.raises(opencv_targets.Refused, match="no device 'npu'"):
        opencv_targets.refuse_unless_here(cv2, wire.Open("opencv", "npu", "m.onnx", "onnx"))


def test_opencl_is_run_where_it_is(tmp_path):
    """On a CPU's OpenCL (Debian: pocl-opencl-icd) as well; there OpenCV must be told to."""
    anything = {"OPENCV_OPENCL_DEVICE": ":CPU:", "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES": "1"}
    if not (cv2.ocl.haveOpenCL() and shutil.which("clinfo")):
        pytest.skip("no OpenCL here (Debian: apt install pocl-opencl-icd clinfo)")
    found, _ = asked(tmp_path, [("cpu", "fp32"), ("opencl", "fp32")], standin=None, **anything)
    if "failure" in found[1][0] and "none of the OpenCL devices" in found[1][0]["failure"]["message"]:
        pytest.skip("no OpenCL device that is a CPU")
    opened, bound, *_ = found[1]
    assert opened["placement"]["units"].get("opencl", 0) > 0 and "trace" in opened["placement"]["by"], opened
    assert bound["first_ns"] > 0 and "CPU" in opened["effective"]["opencl_device"]
    (refused,), _ = asked(tmp_path, [("opencl", "fp32")], standin=None, OPENCV_OPENCL_DEVICE=":CPU:")
    assert refused[0]["failure"]["kind"] == "fallback" and "is no GPU" in refused[0]["failure"]["message"]
