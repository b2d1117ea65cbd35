"""TVM with Relay and Ethos-N through the whole path, against a stand-in for TVM 0.18. Not run on hardware."""

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from whichpu.worker import wire
from whichpu.worker.backends import tvm_relay
from whichpu.worker.serve import Worker, describe

onnx = pytest.importorskip("onnx")

STANDINS = Path(__file__).parent / "standins" / "npu"
SIGNATURES = {
    "tvm:cpu": "(dev_id=0)",
    "tvm:transform.PassContext": "(opt_level=2, required_pass=None, disabled_pass=None, instruments=None, config=None)",
    "tvm:IRModule.astext": "(self, show_meta_data=True, annotate=None)",
    "tvm.runtime:load_module": "(path, fmt='')",
    "tvm.relay:build": "(ir_mod, target=None, target_host=None, executor='graph', runtime='cpp',"
    " workspace_memory_pools=None, constant_memory_pools=None, params=None, mod_name='default')",
    "tvm.relay:GraphExecutorFactoryModule.export_library": "(self, file_name, fcompile=None, addons=None, **kwargs)",
    "tvm.relay.frontend:from_onnx": "(model, shape=None, dtype='float32', opset=None, freeze_params=True,"
    " convert_config=None)",
    "tvm.relay.frontend:from_tflite": "(model, shape_dict=None, dtype_dict=None, op_converter=None)",
    "tvm.relay.op.contrib.ethosn:ethosn_available": "()",
    "tvm.relay.op.contrib.ethosn:partition_for_ethosn": "(mod, params=None, **opts)",
    "tvm.contrib.graph_executor:GraphModule.set_input": "(self, key=None, value=None, **params)",
    "tvm.contrib.graph_executor:GraphModule.get_output": "(self, index, out=None)",
    "tvm.contrib.graph_executor:GraphModule.get_num_outputs": "(self)",
}
"""As in TVM 0.18; ``executor`` and ``runtime`` are objects there."""


def forget():
    for name in [name for name in sys.modules if name.split(".")[0] == "tvm"]:
        del sys.modules[name]


@pytest.fixture
def tvm(monkeypatch):
    """The stand-in in this process; called, it makes a folder of changed stand-ins take its place."""
    forget()
    monkeypatch.syspath_prepend(str(STANDINS))
    yield lambda folder: (forget(), monkeypatch.syspath_prepend(str(folder)))
    forget()


@pytest.fixture
def net(tmp_path):
    """Relu and Neg as ONNX, of any operators when called."""

    def made(*operators):
        make, real = onnx.helper, onnx.TensorProto.FLOAT
        nodes = [make.make_node(kind, [f"v{n}"], [f"v{n + 1}"]) for n, kind in enumerate(operators)]
        ends = [make.make_tensor_value_info(name, real, ["n", 8]) for name in ("v0", f"v{len(operators)}")]
        graph = make.make_graph(nodes, "net", ends[:1], ends[1:])
        path = tmp_path / "net.onnx"
        onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), path)
        return str(path)

    return made


def job(model, device="ethos-n", **options):
    return wire.Open("tvm", device, model, "onnx", options=options, inputs=[wire.TensorSpec("v0", "float32", [2, 8])])


def ask(worker, request):
    reply = json.loads(worker.answer(wire.request_line(1, request)))
    return reply.get("answer") or reply["failure"]


def opened(worker, asked, folder):
    built = ask(worker, wire.Build(asked, str(folder / "built")))
    if "facts" not in built:
        return built
    asked.built = str(folder / "built")
    return ask(worker, asked)


def test_the_stand_in_has_tvms_signatures(tvm):
    for name, expected in SIGNATURES.items():
        module, _, path = name.partition(":")
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        assert str(inspect.signature(found)) == expected, name


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("relay/__init__.py", "    params=None,\n", "    parameters=None,\n"),
        ("relay/op/contrib/ethosn.py", "def partition_for_ethosn(mod, params=None, **opts)", "def partition(mod, p)"),
        ("__init__.py", "show_meta_data", "show_metadata"),
        ("__init__.py", "config=None):", "configuration=None):\n    config = configuration"),
        ("contrib/graph_executor.py", "get_num_outputs(self)", "num_outputs(self)"),
    ],
)
def test_the_path_fails_when_a_signature_changes(tvm, net, tmp_path, file, before, after):
    shutil.copytree(STANDINS / "tvm", tmp_path / "changed" / "tvm")
    path = tmp_path / "changed" / "tvm" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    tvm(tmp_path / "changed")
    assert opened(Worker(), job(net("Relu", "Neg")), tmp_path)["kind"] == "refused"


def test_a_model_that_is_not_built_yet_tells_its_inputs(tvm, net):
    """So a .tflite file can be measured without another form that tells them."""
    assert ask(Worker(), job(net("Relu")))["inputs"] == [{"name": "v0", "dtype": "float32", "shape": [2, 8]}]


def test_it_builds_loads_and_computes_with_its_placement(tvm, net, tmp_path):
    worker = Worker()
    found = opened(worker, job(net("Relu", "Neg", "Relu"), variant="4tops-2ple"), tmp_path)
    assert found["effective"] == {"executor": "graph", "opt": "3", "variant": "n78", "tops": "4", "ple_ratio": "2"}
    assert found["placement"]["units"] == {"ethos-n": 2, "cpu": 1}
    (elsewhere,) = found["placement"]["elsewhere"]
    assert (elsewhere["unit"], elsewhere["kinds"]) == ("cpu", {"negative": 1})
    assert found["inputs"] == [{"name": "v0", "dtype": "float32", "shape": [2, 8]}]
    sample = np.linspace(-1, 1, 16, dtype="float32").reshape(1, 2, 8)
    np.savez(tmp_path / "in.npz", input_0=sample)
    ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["output_0"], np.zeros((2, 8)))


def test_a_network_that_the_npu_takes_nothing_of_fell_back(tvm, net, tmp_path):
    found = opened(Worker(), job(net("Neg", "Neg")), tmp_path)
    assert found["kind"] == "fallback"
    assert found["message"] == "the Ethos-N took none of the 2 operators (negative): all would run on the CPU"


@pytest.mark.parametrize(
    ("standin", "asked", "words"),
    [
        ("not built", {}, "TVM 0.18.0 was built without Ethos-N"),
        ("no driver", {}, "TVM 0.18.0 has Ethos-N's compiler, but not its driver: it would compute nothing"),
        ("refuses", {}, "TVM can't compile it: Driver stack version 5.0.0 is unsupported."),
        ("", {"variant": "n77"}, "variant=n77 is not an Ethos-N78"),
        ("", {"opt": "9"}, "opt=9 is not one of: 0, 1, 2, 3"),
        ("", {"device": "cpu", "variant": "1tops-2ple"}, "variant= is an option of tvm:ethos-n, not of tvm:cpu"),
        ("", {"device": "cuda"}, "this TVM (0.18.0) is run on cpu and ethos-n, not on 'cuda'"),
    ],
)
def test_mistakes_are_one_sentence(tvm, net, tmp_path, monkeypatch, standin, asked, words):
    monkeypatch.setenv("TVM_STANDIN", standin)
    assert opened(Worker(), job(net("Relu"), **asked), tmp_path)["message"] == words


def test_an_operator_that_relay_lacks_is_in_its_words(tvm, net, tmp_path):
    found = opened(Worker(), job(net("Gelu"), device="cpu"), tmp_path)
    assert found["message"].endswith("not supported for frontend ONNX: Gelu")


def test_ethos_n_is_offered_where_there_is_a_driver(tvm, monkeypatch):
    assert [offer.device for offer in describe(wire.Describe("tvm")).offers] == ["cpu", "ethos-n"]
    monkeypatch.setenv("TVM_STANDIN", "no driver")
    assert [offer.device for offer in describe(wire.Describe("tvm")).offers] == ["cpu"]


def test_operators_of_a_partitioned_module_are_counted():
    """In the form that TVM 0.14 prints: a convolution for the NPU beside a softmax."""
    text = (
        "def @main(%x: Tensor[(1, 8, 8, 8), uint8] /* ty=... */, %y) -> Tensor[(1, 8), uint8] {\n"
        "  %0 = @tvmgen_default_ethos_n_main_0(%x) /* ty=Tensor[(1, 8, 8, 8), uint8] */;\n"
        "  %1 = qnn.dequantize(%0, 0.1f, 3, axis=-1) /* ty=... */;\n"
        "  nn.softmax(%1) /* ty=... */\n"
        "}\n\n"
        'def @tvmgen_default_ethos_n_main_0(%i: T, Inline=1, Compiler="ethos-n", Primitive=1) -> T {\n'
        '  %4 = fn (%p: T, PartitionedFromPattern="a_b_", Composite="ethos-n.qnn_conv2d") -> T {\n'
        "    %2 = qnn.conv2d(%p, meta[relay.Constant][0], 0, 0, 0.1f, padding=[0, 0, 0, 0]);\n"
        "    %3 = nn.bias_add(%2, meta[relay.Constant][1], axis=3);\n"
        "    qnn.requantize(%3, 1f, 0, 2f, 0)\n"
        "  };\n"
        "  %4(%i)\n"
        "}\n"
    )
    on_npu, on_host = tvm_relay.operators(text)
    assert dict(on_npu) == {"qnn.conv2d": 1, "nn.bias_add": 1, "qnn.requantize": 1}
    assert dict(on_host) == {"qnn.dequantize": 1, "nn.softmax": 1}


def test_whichpu_run_measures_it_and_fails_on_fallback(net, tmp_path):
    pytest.importorskip("onnxruntime")
    told = dict(os.environ, PYTHONPATH=str(STANDINS), WHICHPU_CACHE=str(tmp_path / "cache"))
    asked = ["--shape", "2x8", "--rounds", "1", "--budget", "100ms", "--meters", "off", "--json", "--overwrite"]
    command = [sys.executable, "-m", "whichpu", "run", net("Relu", "Neg"), "--on", "tvm:ethos-n", *asked]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, timeout=120)
    (row,) = json.loads(done.stdout)["summaries"]
    assert (row["status"], row["ran_precision"], row["difference"]["max_abs"]) == ("measured", "fp32", 0), done.stderr
    done = subprocess.run([*command, "--fail-on-fallback"], cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout
