"""RKNN: files read without the toolkit; board and simulator through stand-ins with the packages' signatures.

``WHICHPU_TEST_RKNN_PYTHON`` names an interpreter with rknn-toolkit2: then the real simulator runs too.
"""

from __future__ import annotations

import inspect
import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.backends import Refused, rknn, rknn_file

STANDINS = pathlib.Path(__file__).parents[1] / "standins"
GRU = pathlib.Path(__file__).parents[2] / "examples" / "apple_stock" / "gru.onnx"
REAL = os.environ.get("WHICHPU_TEST_RKNN_PYTHON", "")
LITE = {
    "__init__": "(self, verbose=False, verbose_file=None)",
    "load_rknn": "(self, path, key_path=None)",
    "init_runtime": "(self, target=None, device_id=None, async_mode=False, core_mask=0)",
    "inference": "(self, inputs, data_type=None, data_format=None, inputs_pass_through=None, get_frame_id=False,"
    " reuse_outputs=False)",
    "get_sdk_version": "(self)",
    "release": "(self)",
}
"""Of rknn-toolkit-lite2 2.5.0, as recorded from its wheel."""
TOOLKIT = {
    "__init__": "(self, verbose=False, verbose_file=None)",
    "load_onnx": "(self, model, inputs=None, input_size_list=None, input_initial_val=None, outputs=None)",
    "build": "(self, do_quantization=True, dataset=None, rknn_batch_size=None, auto_hybrid=False)",
    "export_rknn": "(self, export_path, **kwargs)",
    "init_runtime": "(self, target=None, device_id=None, perf_debug=False, eval_mem=False, async_mode=False,"
    " core_mask=0, fallback_prior_device='cpu')",
    "inference": "(self, inputs, data_format=None, inputs_pass_through=None, get_frame_id=False)",
    "release": "(self)",
}
"""Of rknn-toolkit2 2.5.0."""


@pytest.fixture
def made(monkeypatch):
    """The stand-ins, importable; gone afterwards."""
    monkeypatch.syspath_prepend(str(STANDINS))
    for name in ("rknn", "rknn.api", "rknnlite", "rknnlite.api", "made_rknn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from made_rknn import rknn_bytes

    return rknn_bytes


@pytest.fixture
def board(monkeypatch, tmp_path):
    """An RK3588 board."""
    compatible = tmp_path / "compatible"
    compatible.write_bytes(b"radxa,rock-5b\0rockchip,rk3588\0")
    monkeypatch.setattr(rknn, "COMPATIBLE", str(compatible))


def npu(path: pathlib.Path, **options: str) -> wire.Open:
    return wire.Open("rknn", "npu", str(path), "rknn", precision="default", options=options)


def saved(path: pathlib.Path, data: bytes) -> pathlib.Path:
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- the file


def test_a_file_tells_its_chip_and_tensors(made, tmp_path):
    facts = rknn_file.read(str(saved(tmp_path / "m.rknn", made("rk3566", kind="int8"))))
    assert (facts.toolkit, facts.format, facts.platforms, facts.quantised) == ("2.5.0", 6, ["rk3566"], "int8")
    (given,) = facts.inputs
    assert given.nchw and (given.spec.name, given.spec.dtype, given.spec.shape) == ("x", "float32", [1, 3, 2, 2])
    older = rknn_file.read(str(saved(tmp_path / "o.rknn", made(literal=False))))
    assert older.inputs == facts.inputs and older.outputs[0].spec.shape == [1, 12]


@pytest.mark.parametrize("keep", [70, 200, -1])
def test_a_truncated_file_is_refused(made, tmp_path, keep):
    path = saved(tmp_path / "m.rknn", made()[:keep])
    with pytest.raises(Refused, match="truncated or damaged"):
        rknn_file.read(str(path))


@pytest.mark.parametrize(("data", "words"), [(b"RKCE" + bytes(80), "encrypted"), (b"GIF89a" * 20, "no .rknn file")])
def test_other_files_are_refused(tmp_path, data, words):
    with pytest.raises(Refused, match=words):
        rknn_file.read(str(saved(tmp_path / "m.rknn", data)))


# ---------------------------------------------------------------- the board


def test_on_the_board(made, board, asked, tmp_path):
    path = saved(tmp_path / "m.rknn", made("rk3588s", inputs=[("x", (1, 3, 2, 2)), ("state", (1, 5))]))
    job = npu(path, cores="012")
    job.inputs = [wire.TensorSpec("state", "float32", [1, 5]), wire.TensorSpec("x", "float32", [1, 3, 2, 2])]
    opened = asked.ask(job)
    assert [spec["name"] for spec in opened["inputs"]] == ["state", "x"]
    assert opened["effective"]["cores"] == "012" and opened["effective"]["runtime"].startswith("API: 2.3.2")
    assert opened["precision"]["ran"] == "fp16" and opened["boundary"] == "end_to_end"
    assert "doesn't tell" in opened["placement"]["unknown"]
    assert asked.worker.session.runtime.mask == 7
    state = numpy.arange(5, dtype="float32").reshape(1, 1, 5)
    picture = numpy.arange(12, dtype="float32").reshape(1, 1, 3, 2, 2)
    got = asked.run([state, picture])
    numpy.testing.assert_array_equal(got[0][0], picture[0].transpose(0, 2, 3, 1).ravel())
    numpy.testing.assert_array_equal(got[1][0], state[0, 0])


def test_a_file_for_another_chip_is_refused(made, board, asked, tmp_path):
    failure = asked.ask(npu(saved(tmp_path / "m.rknn", made("rk3566"))))["failure"]
    assert failure["message"] == "the .rknn file is made for rk3566, this board is an rk3588"
    assert "platform=rk3588" in failure["remedy"]


@pytest.mark.parametrize(
    ("trouble", "message", "remedy"),
    [
        ("old-runtime", "of RKNN-Toolkit2 2.5.0, and this board's librknnrt (1.4.0) does not take it", "librknnrt.so"),
        ("no-driver", "failed to open rknpu module", "driver is loaded"),
    ],
)
def test_trouble_on_the_board_is_one_sentence(made, board, asked, tmp_path, monkeypatch, trouble, message, remedy):
    monkeypatch.setenv("RKNN_STANDIN", trouble)
    failure = asked.ask(npu(saved(tmp_path / "m.rknn", made())))["failure"]
    assert message in failure["message"] and remedy in failure["remedy"] and "\n" not in failure["message"]


def test_a_failing_inference_is_no_answer(made, board, asked, tmp_path, monkeypatch):
    asked.ask(npu(saved(tmp_path / "m.rknn", made())))
    monkeypatch.setenv("RKNN_STANDIN", "dies")
    numpy.savez(tmp_path / "in.npz", input_0=numpy.zeros((1, 1, 3, 2, 2), "float32"))
    reply = asked.ask(wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert "failed in inference" in reply["failure"]["message"]


def test_devices_and_options_are_checked_first(made, board, asked, tmp_path, monkeypatch):
    path = saved(tmp_path / "m.rknn", made())
    assert "cores=9" in asked.ask(npu(path, cores="9"))["failure"]["message"]
    assert "there is no dataset file" in asked.ask(npu(path, dataset="none.txt"))["failure"]["message"]
    assert "no device 'gpu'" in asked.ask(wire.Open("rknn", "gpu", str(path), "rknn"))["failure"]["message"]
    simulated = asked.ask(wire.Open("rknn", "simulator", str(path), "rknn"))["failure"]
    assert "runs no .rknn file" in simulated["message"]


def test_offers_are_what_is_here(made, board, asked):
    offers = asked.ask(wire.Describe("rknn"))["offers"]
    assert (offers[0]["device"], offers[0]["note"]) == ("npu", "rk3588")


# ---------------------------------------------------------------- building and simulating


@pytest.fixture
def onnx_job(tmp_path):
    specs = [wire.TensorSpec("x", "float32", [1, 3, 2, 2])]
    return wire.Open("rknn", "simulator", str(saved(tmp_path / "m.onnx", b"onnx")), "onnx", inputs=specs)


def test_built_then_simulated(made, asked, tmp_path, onnx_job, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("a.npy\n")
    onnx_job.options = {"platform": "rk3576", "dataset": "data.txt"}
    built = asked.ask(wire.Build(onnx_job, str(tmp_path / "built" / "1")))
    assert built["facts"]["platform"] == "rk3576" and built["facts"]["precision"] == "w8a8"
    onnx_job.built = str(tmp_path / "built" / "1")
    opened = asked.ask(onnx_job)
    assert (opened["boundary"], opened["precision"]["ran"]) == ("simulated", "int8")
    assert opened["placement"]["units"] == {"npu": 1, "cpu": 1}
    assert opened["placement"]["elsewhere"][0]["kinds"] == {"Softmax": 1}
    picture = numpy.arange(12, dtype="float32").reshape(1, 1, 3, 2, 2)
    numpy.testing.assert_array_equal(asked.run([picture])[0][0], picture[0].transpose(0, 2, 3, 1).ravel())
    assert not list(tmp_path.glob("check*"))


def test_what_the_toolkit_raises_is_one_sentence(made, asked, tmp_path, onnx_job, monkeypatch):
    monkeypatch.setenv("RKNN_STANDIN", "raises")
    failure = asked.ask(wire.Build(onnx_job, str(tmp_path / "built" / "1")))["failure"]
    assert failure["message"] == "RKNN's build fails: assignment destination is read-only"
    onnx_job.options = {"platform": "toaster"}
    failure = asked.ask(wire.Build(onnx_job, str(tmp_path / "built" / "2")))["failure"]
    assert failure["message"] == "RKNN's config fails: Invalid target_platform 'toaster'!"


# ---------------------------------------------------------------- the contract


def test_the_stand_ins_have_the_packages_signatures(made):
    from rknn.api import RKNN
    from rknnlite.api import RKNNLite

    for kind, table in ((RKNNLite, LITE), (RKNN, TOOLKIT)):
        told = {name: str(inspect.signature(getattr(kind, name))) for name in table}
        assert told == table


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("load_rknn", lambda self, file: 0),
        ("init_runtime", lambda self, target=None, mask=0: 0),
        ("inference", lambda self, arrays: arrays),
    ],
)
def test_a_changed_signature_fails(made, board, asked, tmp_path, monkeypatch, name, renamed):
    from rknnlite.api import RKNNLite

    monkeypatch.setattr(RKNNLite, name, renamed)
    path = saved(tmp_path / "m.rknn", made())
    opened = asked.ask(npu(path))
    if name == "load_rknn":  # called by position: its name is what counts
        monkeypatch.delattr(RKNNLite, name)
        opened = asked.ask(npu(path))
    if "failure" not in opened:
        numpy.savez(tmp_path / "in.npz", input_0=numpy.zeros((1, 1, 3, 2, 2), "float32"))
        opened = asked.ask(wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert "failure" in opened


def test_through_the_whole_path(made, tmp_path):
    """``whichpu run`` on the stand-in of the board's package, in processes of their own."""
    saved(tmp_path / "m.rknn", made())
    command = [sys.executable, "-m", "whichpu", "run", "m.rknn", "--on", "rknn", "--rounds", "1", "--json"]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join([str(STANDINS), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=around, timeout=60)
    assert ended.returncode == 0, ended.stderr
    (result,) = json.loads((tmp_path / "m.whichpu.json").read_text())["results"]
    assert (result["status"], result["precision"]["ran"]) == ("measured", "fp16")


@pytest.mark.skipif(not REAL, reason="WHICHPU_TEST_RKNN_PYTHON names no interpreter with rknn-toolkit2")
def test_the_real_simulator(tmp_path):
    show = "import inspect, json; from rknn.api import RKNN\n"
    show += f"print(json.dumps({{n: str(inspect.signature(getattr(RKNN, n))) for n in {list(TOOLKIT)!r}}}))"
    told = subprocess.run([REAL, "-c", show], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == TOOLKIT
    target = f"rknn:simulator,python={REAL}"
    command = [sys.executable, "-m", "whichpu", "run", str(GRU), "--on", target, "--rounds", "1", "--no-siblings"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert ended.returncode == 0 and "Simulated, so without times" in ended.stdout
    assert "vs fastest" not in ended.stdout
