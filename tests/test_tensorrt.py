"""TensorRT, driven through the whole path on stand-ins with its exact signatures. None of this was run on hardware."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from worker_backends.conftest import save_onnx

from whichpu.models import artefact
from whichpu.worker.backends import tensorrt, tensorrt_engine, tensorrt_layers

STANDIN = Path(__file__).parent / "standins" / "tensorrt"
RECORDED = json.loads((Path(__file__).parent / "data" / "tensorrt" / "signatures.json").read_text())["versions"]
VERSIONS = list(RECORDED)
ASK = """
import json, sys
from whichpu.worker import wire
from whichpu.worker.serve import Worker
worker = Worker()
for line in sys.stdin:
    print(worker.answer(line).strip(), flush=True)
"""


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """The stand-in of CUDA's runtime library, compiled."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of libcudart")
    folder = tmp_path_factory.mktemp("cudart")
    words = [compiler, "-O1", "-shared", "-fPIC", "-Wall", "-o", folder / "libcudart.so.13", STANDIN / "cudart.c"]
    subprocess.run(words, check=True, timeout=60)
    return folder


@pytest.fixture
def around(libraries, monkeypatch):
    """Sets what a child process sees; called, it tells the stand-in what to be."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.setenv("PYTHONPATH", str(STANDIN))

    def told(standin=STANDIN, **what):
        monkeypatch.setenv("TENSORRT_STANDIN", json.dumps(what))
        monkeypatch.setenv("PYTHONPATH", str(standin))

    told()
    return told


@pytest.fixture
def model(tmp_path):
    """``Conv``, ``Relu``, ``Add`` with a constant; nodes named after their operators, one dynamic input."""
    nodes = [
        ("Conv", ["x", "w"], ["a"], {"name": "conv"}),
        ("Relu", ["a"], ["b"], {"name": "relu"}),
        ("Add", ["b", "c"], ["y"], {"name": "add"}),
    ]
    weights = {"w": np.full((2, 1, 1, 1), 2, "float32"), "c": np.ones((2, 1, 1), "float32")}
    shapes = {"x": ("float32", ["n", 1, 2, 2])}, {"y": ("float32", ["n", 2, 2, 2])}
    return save_onnx(tmp_path / "net.onnx", nodes, *shapes, **weights)


X = np.array([[[[1, -1], [2, -2]]], [[[0, 5], [-3, 4]]]], "float32")[:, None]
Y = np.repeat(np.maximum(2 * X, 0) + 1, 2, axis=2)
SPEC = {"name": "x", "dtype": "float32", "shape": [1, 1, 2, 2]}


def worker(*requests):
    """Answers of a worker in a process of its own; a failure as it is."""
    lines = [json.dumps({"id": number, "request": name, "with": body}) for number, (name, body) in enumerate(requests)]
    ran = subprocess.run(
        [sys.executable, "-c", ASK], input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    replies = [json.loads(line) for line in ran.stdout.splitlines()]
    return [reply.get("answer", reply.get("failure")) for reply in replies]


def job(model, device="gpu", built=None, format="onnx", precision="fp32", **options):
    return {
        "backend": "tensorrt",
        "device": device,
        "model": str(model),
        "format": format,
        "precision": precision,
        "options": options,
        "inputs": [SPEC],
        "built": built and str(built),
    }


def whole(folder, model, device="gpu", precision="fp32", **options):
    """Build, open, first inference, a second sample, parts: answers by what was asked."""
    built, given = folder / f"built-{len(list(folder.iterdir()))}", folder / "in.npz"
    np.savez(given, input_0=X)
    here = job(model, device, built, precision=precision, **options)
    got = [str(folder / name) for name in ("first.npz", "all.npz")]
    requests = [
        ("build", {"job": job(model, device, precision=precision, **options), "folder": str(built)}),
        ("open", here),
        ("bind", {"inputs": str(given), "outputs": got[0]}),
        ("infer", {"inputs": str(given), "outputs": got[1]}),
        ("parts", {"inputs": str(given), "count": 3}),
        ("close", {}),
    ]
    answers = worker(*requests)
    found = dict(zip((name for name, _ in requests), answers, strict=True), folder=built)
    if "kind" not in answers[2]:
        found["first"], found["all"] = (np.load(path)["output_0"] for path in got)
    return found


# ---------------------------------------------------------------- the whole path


@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_is_built_loaded_and_run(around, model, tmp_path, version):
    around(version=version)
    found = whole(tmp_path, model)
    np.testing.assert_array_equal(found["first"], Y[0])
    np.testing.assert_array_equal(found["all"], Y)
    opened = found["open"]
    assert opened["precision"]["ran"] == "fp32"
    assert "TF32 off" in opened["precision"]["evidence"]
    assert opened["placement"]["units"] == {"gpu": 3}
    assert opened["effective"]["device_memory_bytes"] == "4096"
    assert opened["effective"]["interface"] == "execute_async_v3"
    assert opened["versions"] == {"tensorrt": version, "cuda": "12.6", "gpu": "sm_87 with 16 multiprocessors"}
    assert found["build"]["facts"]["typing"] == ("weak" if version == "8.6.1" else "strong")
    assert "TF32" not in found["build"]["facts"]["flags"]
    ns = found["parts"]["ns"]
    assert {len(values) for values in ns.values()} == {3}
    assert set(ns) == {"end_to_end", "h2d", "compute", "d2h"}
    assert all(sum(parts) <= total for total, *parts in zip(*ns.values(), strict=True))


def test_a_cuda_graph_gives_the_same(around, model, tmp_path):
    found = whole(tmp_path, model, cuda_graph="on")
    np.testing.assert_array_equal(found["first"], Y[0])
    np.testing.assert_array_equal(found["all"], Y)
    assert found["open"]["effective"]["cuda_graph"] == "on"
    given = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    later = ("bind", given), ("measure", {"least_count": 5, "least_ns": 0}), ("bind", given)
    answers = worker(("open", job(model, built=found["folder"], cuda_graph="on")), *later)
    assert len(answers[2]["latencies_ns"]) >= 5
    np.testing.assert_array_equal(np.load(given["outputs"])["output_0"], Y[0])


def test_before_8_5_tensors_are_bindings(around, model, tmp_path):
    around(version="8.6.1", bindings=True)
    found = whole(tmp_path, model)
    np.testing.assert_array_equal(found["all"], Y)
    assert found["open"]["effective"]["interface"] == "execute_async_v2"


def test_a_dla_runs_what_it_takes_and_the_rest_is_told(around, model, tmp_path):
    around(off={"Relu": "Activation type is not supported on DLA."}, moved={"add": "DLA supports only 16 subgraphs."})
    found = whole(tmp_path, model, "dla1", engine="fp16")
    placement = found["open"]["placement"]
    assert placement["units"] == {"dla1": 1, "gpu": 2}
    assert [(part["names"], part["reason"], part["kinds"]) for part in placement["elsewhere"]] == [
        (["relu"], "Activation type is not supported on DLA.", {"ACTIVATION": 1}),
        (["add"], "DLA supports only 16 subgraphs", {"ELEMENTWISE": 1}),
    ]
    assert found["open"]["precision"]["ran"] == "fp16"
    assert found["open"]["effective"]["dla_core"] == "1"
    assert "GPU_FALLBACK" in found["build"]["facts"]["flags"]
    np.testing.assert_array_equal(found["all"], Y)


def test_a_dla_that_takes_nothing_is_a_fallback(around, model, tmp_path):
    around(off=dict.fromkeys(("Conv", "Relu", "Add", "constant"), ""))
    failed = whole(tmp_path, model, "dla0", engine="fp16")["build"]
    assert failed["kind"] == "fallback"
    assert "takes none of the network's 3 layers" in failed["message"]
    around(moved=dict.fromkeys(("conv", "relu", "add"), "no room."))
    assert "the builder put all 3 layers" in whole(tmp_path, model, "dla0", engine="fp16")["build"]["message"]


def test_without_fallback_the_first_layer_is_named(around, model, tmp_path):
    around(off={"Relu": "not on DLA"})
    failed = whole(tmp_path, model, "dla0", engine="fp16", fallback="off")["build"]
    assert failed["message"] == "the DLA does not take 1 of 3 layers, first relu (ACTIVATION): not on DLA"
    around()
    found = whole(tmp_path, model, "dla0", engine="fp16", fallback="off")
    assert found["open"]["placement"]["units"] == {"dla0": 3}
    assert "GPU_FALLBACK" not in found["build"]["facts"]["flags"]


def refusals(folder, model, *cases):
    """What building says to each of ``(device, options)``, in one process."""
    asked = [
        ("build", {"job": job(model, device, **options), "folder": str(folder / f"none-{index}")})
        for index, (device, options) in enumerate(cases)
    ]
    return [answer["message"] for answer in worker(*asked) if answer["kind"] == "refused"]


def test_what_cant_be_built_is_one_sentence(around, model, tmp_path):
    cases = {
        ("dla0", ""): "a DLA computes in fp16 and int8 only",
        ("dla2", "engine=fp16"): "has 2 DLA cores, no dla2",
        ("npu", ""): "has no device 'npu'",
        ("gpu", "engine=int8"): "needs the scales of its tensors",
        ("gpu", "engine=int4"): "engine=int4 is not known",
        ("gpu", "level=9"): "level=9 is not a whole number",
        ("gpu", "engine=int8 calibration=/nowhere"): "calibration=/nowhere can't be read",
        ("gpu", "engine=fp16 calibration=/nowhere"): "calibration= holds scales for int8",
        ("gpu", "fallback=off"): "fallback= is for a DLA",
        ("gpu", "speed=9"): "tensorrt has no option 'speed'",
    }
    asked = [(device, dict(one.split("=") for one in options.split())) for device, options in cases]
    for message, words in zip(refusals(tmp_path, model, *asked), cases.values(), strict=True):
        assert words in message


@pytest.mark.parametrize(
    ("told", "device", "engine", "words"),
    [
        ({"cores": 0}, "dla0", "fp16", "finds no DLA on this machine"),
        ({"version": "11.4.0"}, "gpu", "fp16", "takes the precision from the model's own types"),
        ({"parse_error": "no importer"}, "gpu", "fp16", "operator Erf (node 0, the first): no importer"),
        ({"parse_error": "no importer", "version": "8.6.1"}, "gpu", "fp16", "operator Conv (node 0): no importer"),
        ({"build_error": "Could not find any\nimplementation"}, "gpu", "fp16", "Could not find any implementation"),
    ],
)
def test_what_tensorrt_refuses_is_told_in_its_words(around, model, tmp_path, told, device, engine, words):
    around(**told)
    assert words in refusals(tmp_path, model, (device, {"engine": engine}))[0]


def test_int8_takes_its_scales_from_a_cache(around, model, tmp_path):
    cache = tmp_path / "calibration.cache"
    cache.write_bytes(b"TRT-100300-EntropyCalibration2\nx: 3c010a14\n")
    found = whole(tmp_path, model, "dla0", engine="int8", calibration=str(cache))
    assert {"INT8", "FP16"} <= set(found["build"]["facts"]["flags"].split(", "))
    cache.write_bytes(b"of another tool")
    failed = whole(tmp_path, model, "dla0", engine="int8", calibration=str(cache))["build"]
    assert failed["message"].startswith("TensorRT can't build it: Calibration failure")
    again = worker(("open", job(model, "dla0", found["folder"], engine="int8", calibration=str(cache))))[0]
    assert "has changed since this engine was built" in again["message"]
    assert again["remedy"] == "give the file another name"


def test_a_cache_is_not_read_beside_quantise_operators(around, tmp_path):
    scale = {"s": np.array(0.1, "float32"), "z": np.array(0, "int8")}
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("DequantizeLinear", ["q", "s", "z"], ["y"], {})]
    given = {"x": ("float32", [1, 1, 2, 2])}, {"y": ("float32", [1, 1, 2, 2])}
    path = save_onnx(tmp_path / "q.onnx", nodes, *given, **scale)
    options = {"engine": "int8", "calibration": "/any"}
    assert "would not read a calibration cache" in refusals(tmp_path, path, ("gpu", options))[0]


def test_timings_are_kept_and_read_again(around, model, tmp_path):
    cache = tmp_path / "timing.cache"
    facts = [whole(tmp_path, model, timing_cache=str(cache))["build"]["facts"] for _ in range(2)]
    assert [one["timing_cache"] for one in facts] == ["new", "read"]
    cache.write_bytes(b"of another")
    failed = whole(tmp_path, model, timing_cache=str(cache))["build"]
    assert "is of another TensorRT or another GPU" in failed["message"]


def test_tf32_is_tensorrts_own_default(around, model, tmp_path):
    found = whole(tmp_path, model, precision="default", workspace="64", level="5")
    assert "TF32" in found["build"]["facts"]["flags"]
    assert found["open"]["precision"]["ran"] == "fp32 (TF32 allowed)"
    assert found["build"]["facts"]["workspace_mib"] == "64"
    assert found["build"]["facts"]["optimisation_level"] == "5"


# ---------------------------------------------------------------- engines that are given


@pytest.fixture
def engine(around, model, tmp_path):
    """An engine file that TensorRT 10.3.0 built."""
    path = tmp_path / "net.engine"
    shutil.copy(whole(tmp_path, model)["folder"] / "model.engine", path)
    return path


def opened(path, device="gpu", **options):
    return worker(("open", job(path, device, format="engine", **options)))[0]


def test_an_engine_is_opened_as_it_is(engine, tmp_path):
    assert artefact.format_of(engine) == "engine"
    assert opened(engine)["precision"]["ran"] == "fp32 (TF32 allowed)"
    described = json.dumps({"stride": 32}).encode()
    engine.write_bytes(len(described).to_bytes(4, "little") + described + engine.read_bytes())  # as Ultralytics does
    assert opened(engine)["placement"]["units"] == {"gpu": 3}


def test_an_engine_that_does_not_fit_is_one_sentence(around, engine):
    around(version="8.6.1")
    assert "built by another TensorRT than the 8.6.1 here (by 10.3.0.0)" in opened(engine)["message"]
    around(chip="sm_72")
    assert "it was built for another GPU than this one" in opened(engine)["message"]
    around()
    assert opened(engine, "dla0")["kind"] == "fallback"
    assert "engine= is for building" in opened(engine, engine="fp16")["message"]
    engine.write_bytes(b"no engine at all, but long enough for a header")
    failed = opened(engine)
    assert failed["message"] == "TensorRT can't load net.engine: it is no engine of TensorRT, or a damaged one"
    assert "give the ONNX file" in failed["remedy"]


def test_a_machine_without_a_gpu_says_so(around, model, monkeypatch):
    monkeypatch.setenv("CUDART_STANDIN_GPUS", "0")
    told = worker(("describe", {"backend": "tensorrt"}))[0]
    assert not told["usable"]
    assert "no NVIDIA GPU answers" in told["why_not"]
    assert told["remedy"]
    monkeypatch.setenv("CUDART_STANDIN_GPUS", "2")
    offers = worker(("describe", {"backend": "tensorrt"}))[0]["offers"]
    assert [one["device"] for one in offers] == ["gpu", "gpu1", "dla0", "dla1"]


def test_whichpu_run_measures_it_and_refuses_a_fallback(around, model, tmp_path, monkeypatch):
    monkeypatch.setenv("WHICHPU_CACHE", str(tmp_path / "cache"))
    around(off={"Relu": "not on DLA"})
    target = "tensorrt:dla0,engine=fp16"
    words = [sys.executable, "-m", "whichpu", "run", model, "--shape", "1x1x2x2", "--on", target, "--on", "null"]
    words += ["--budget", "0.1s", "--meters", "off", "--fail-on-fallback", "-o", str(tmp_path / "run.json")]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2, ran.stderr
    assert "1 of 3 operators runs on gpu, not on dla0: 1 ACTIVATION (not on DLA)" in " ".join(ran.stdout.split())


# ---------------------------------------------------------------- the contract


def parameters(function):
    """As recorded: names after ``self``, ``=`` where there is a default."""
    names = [one.arg for one in function.args.args][1:]
    bare = len(names) - len(function.args.defaults)
    return [name + ("=" if index >= bare else "") for index, name in enumerate(names)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_standin_has_the_wheels_signatures(version):
    tree = ast.parse((STANDIN / "tensorrt" / "__init__.py").read_text())
    checked = 0
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        recorded = RECORDED[version]["classes"].get(kind.name, {})
        for method in (node for node in kind.body if isinstance(node, ast.FunctionDef)):
            known = recorded.get(method.name)
            if isinstance(known, list) and not method.name.startswith("__"):
                given = parameters(method)
                required = [name for name in given if not name.endswith("=")]
                assert given in known or required in known, f"{kind.name}.{method.name}"
                checked += 1
    assert checked > 30
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, known in RECORDED[version]["functions"].items():
        assert [one.arg for one in functions[name].args.args] in known


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("parse_from_file(self, model)", "parse_from_file(self, path)"),
        ("get_engine_information(self, format)", "get_engine_information(self, kind)"),
        ("execute_async_v3(self, stream_handle)", "execute_async_v3(self)"),
        ("init_libnvinfer_plugins(logger, namespace)", "init_libnvinfer_plugins(logger)"),
        ("set_tensor_address(self, name, memory)", "set_tensor_address(self, name)"),
        ("deserialize_cuda_engine(self, serialized_engine)", "deserialize_cuda_engine(self)"),
    ],
)
def test_a_changed_signature_fails_the_path(around, model, tmp_path, now, then):
    changed = tmp_path / "data" / "standins" / "tensorrt"
    shutil.copytree(STANDIN, changed)
    source = (changed / "tensorrt" / "__init__.py").read_text().replace("parents[3]", "parents[4]")
    assert now in source
    (changed / "tensorrt" / "__init__.py").write_text(source.replace(now, then))
    (tmp_path / "data" / "tensorrt").mkdir()
    recorded = Path(__file__).parent / "data" / "tensorrt" / "signatures.json"
    shutil.copy(recorded, tmp_path / "data" / "tensorrt" / "signatures.json")
    around(standin=changed)
    found = whole(tmp_path, model)
    assert any("TypeError" in str(found[name].get("type")) for name in ("build", "open", "bind"))


# ---------------------------------------------------------------- texts


def test_a_plans_header_tells_its_version():
    head = b"ftrt" + bytes(20) + bytes((10, 3, 0, 30))
    assert tensorrt_layers.version_of(head) == "10.3.0.30"
    assert tensorrt_layers.version_of(head[:20]) is None
    assert tensorrt_layers.version_of(b"ftrt\1\0\0\0" + head[8:]) is None


LINES = [
    "---------- Layers Running on DLA ----------",
    "[DlaLayer] {ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}",
    "---------- Layers Running on GPU ----------",
    "[GpuLayer] POOLING: /pool/GlobalAveragePool",
    "[GpuLayer] SHUFFLE: Reshape_2 + (Unnamed Layer* 7) [Shuffle]",
    "DLA supports only 8 subgraphs per DLA core. Switching to GPU for layer conv_6",
    "/model/Mul: Unsupported on DLA. Switching this layer's device type to GPU.",
    "Default DLA is enabled but layer LSTM encoder is not supported on DLA, falling back to GPU.",
]


def test_the_builders_log_tells_what_it_moved():
    """Lines of public build logs (dusty-nv, marcoslucianops/DeepStream-Yolo)."""
    names = ["/cnn/cnn.0/Conv", "/pool/GlobalAveragePool", "Reshape_2", "conv_6", "/model/Mul", "LSTM encoder"]
    layers = [tensorrt_layers.Asked(name, "X", True, "") for name in names]
    moved = tensorrt_layers.moved_to_gpu(layers, LINES)
    assert moved == {
        "/pool/GlobalAveragePool": "the builder put it on the GPU",
        "Reshape_2": "the builder put it on the GPU",
        "conv_6": "DLA supports only 8 subgraphs per DLA core",
        "/model/Mul": "Unsupported on DLA",
        "LSTM encoder": "not supported on DLA",
    }


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        ({"LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 9}, "Outputs": [{}]}, "int8"),
        ({"LayerType": "kgen", "Inputs": [{"Format/Datatype": "Row major linear FP16 format"}]}, "fp16"),
        ({"LayerType": "kgen", "Inputs": [{"Format/Datatype": "BFloat16"}]}, "bf16"),
        ({"LayerType": "kgen", "Inputs": [], "Outputs": [{"Format/Datatype": "Float"}]}, "fp32"),
        ({"LayerType": "Reformat", "Inputs": [{"Format/Datatype": "Half"}]}, None),
        ({"LayerType": "kgen", "Inputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]}, None),
    ],
)
def test_the_inspector_tells_what_a_layer_computes_in(layer, kind):
    ran = tensorrt_layers.precision_of([layer], False, "fp16").ran
    assert ran == (kind or "fp16; not confirmed")


def test_an_engine_without_details_leaves_its_placement_unknown():
    assert tensorrt_layers.layers_of('{"Layers": ["conv1", "conv2"]}') == []
    assert tensorrt_layers.placement_of([], "dla0").unknown
    myelin = {"Name": "{ForeignNode[a...b]}", "LayerType": "Myelin"}
    assert tensorrt_layers.placement_of([myelin], "gpu").units == {"gpu": 1}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "Serialization assertion stdVersionRead == serializationVersion failed.Version tag does not match.",
            "another",
        ),
        ("Cannot deserialize serialized engine built with EngineCapability::kDLA_STANDALONE, use cuDLA", "cuDLA"),
        ("", "cut short"),
    ],
)
def test_errors_at_loading_in_plain_words(error, words):
    assert words in tensorrt_engine.refusal([error] if error else [], "10.3.0")


def test_this_interpreter_has_no_tensorrt_and_says_how_to_get_it():
    reason = tensorrt.why_not()
    assert reason is None or reason.remedy


if os.name == "nt":
    pytestmark = pytest.mark.skip("the stand-ins are for Linux")


def test_the_jetson_examples_targets_are_known():
    """Its ``whichpu.toml`` names options of ``whichpu run``, and options that TensorRT has."""
    import tomllib

    import typer

    from whichpu import cli
    from whichpu.targets import inventory, target

    path = Path(__file__).parent.parent / "examples" / "jetson_study" / "whichpu.toml"
    asked, boards = tomllib.loads(path.read_text())["run"], inventory.load(path).boards
    options = {option for one in typer.main.get_command(cli.app).commands["run"].params for option in one.opts}
    assert {f"--{name}" for name in asked} <= options
    targets = [target.parse(text)[1] for text in asked["on"]]
    assert [(one.device, one.board) for one in targets] == [("gpu", "jetson"), ("dla0", "jetson")]
    assert all(set(one.options) <= set(tensorrt.OPTIONS) and one.board in boards for one in targets)
