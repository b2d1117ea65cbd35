"""Hailo's backend through the whole path, against a stand-in for HailoRT 4 with its names and signatures.

None of this was run on hardware.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import made_hef as made
import numpy as np
import pytest

import whichpu
from whichpu.targets.inventory import load
from whichpu.targets.target import parse
from whichpu.worker import wire
from whichpu.worker.backends import Refused, hailo, hailo_errors, hailo_parts
from whichpu.worker.serve import Worker, describe

STANDINS = Path(__file__).parent / "standins"
BOARD = "0000:01:00.0"
SIGNATURES = {
    "Device.__init__": "(self, device_id=None)",
    "Device.scan": "()",
    "Device.release": "(self)",
    "VDevice.__init__": "(self, params=None, *, device_ids=None)",
    "VDevice.create_params": "()",
    "VDevice.configure": "(self, hef, configure_params_by_name={})",
    "VDevice.create_infer_model": "(self, hef_source, name='')",
    "VDevice.release": "(self)",
    "HEF.__init__": "(self, hef_source)",
    "HEF.get_input_vstream_infos": "(self, name=None)",
    "HEF.get_output_vstream_infos": "(self, name=None)",
    "HEF.get_sorted_output_names": "(self, network_group_name=None)",
    "InferModel.set_batch_size": "(self, batch_size)",
    "InferModel.set_power_mode": "(self, power_mode)",
    "InferModel.configure": "(self)",
    "InferModel.input": "(self, name='')",
    "InferModel.output": "(self, name='')",
    "InferModel.InferStream.set_format_type": "(self, type)",
    "ConfiguredInferModel.activate": "(self)",
    "ConfiguredInferModel.deactivate": "(self)",
    "ConfiguredInferModel.create_bindings": "(self, input_buffers=None, output_buffers=None)",
    "ConfiguredInferModel.run": "(self, bindings, timeout)",
    "ConfiguredInferModel.run_async": "(self, bindings, callback=None)",
    "ConfiguredInferModel.wait_for_async_ready": "(self, timeout_ms=1000, frames_count=1)",
    "ConfiguredInferModel.shutdown": "(self)",
    "ConfiguredInferModel.Bindings.input": "(self, name='')",
    "ConfiguredInferModel.Bindings.output": "(self, name='')",
    "ConfiguredInferModel.Bindings.InferStream.set_buffer": "(self, buffer)",
    "ConfiguredInferModel.Bindings.InferStream.get_buffer": "(self, tf_format=False)",
    "AsyncInferJob.wait": "(self, timeout_ms)",
    "ConfigureParams.create_from_hef": "(hef, interface)",
    "ConfiguredNetwork.activate": "(self, network_group_params=None)",
    "ConfiguredNetwork.create_params": "()",
    "InputVStreamParams.make": "(configured_network, quantized=None, format_type=None, timeout_ms=None,"
    " queue_size=None, network_name=None)",
    "OutputVStreamParams.make": "(configured_network, quantized=None, format_type=None, timeout_ms=None,"
    " queue_size=None, network_name=None)",
    "InferVStreams.__init__": "(self, configured_net_group, input_vstreams_params, output_vstreams_params,"
    " tf_nms_format=False)",
    "InferVStreams.infer": "(self, input_data)",
    "InferVStreams.get_hw_time": "(self)",
}
"""Of ``pyhailort.py``, HailoRT 4.21.0 (github.com/hailo-ai/hailort), as it stands there."""


@pytest.fixture
def hailort(monkeypatch):
    """The stand-in, with one Hailo-8L."""
    monkeypatch.syspath_prepend(str(STANDINS))
    import hailo_platform

    hailo_platform.modules.clear()
    hailo_platform.modules[BOARD] = hailo_platform.Module()
    yield hailo_platform
    for name in [name for name in sys.modules if name.partition(".")[0] == "hailo_platform"]:
        del sys.modules[name]


@pytest.fixture
def model(tmp_path):
    """A HEF of ``images`` 4x4x3 to twice that, and its path."""
    path = tmp_path / "small.hef"
    path.write_bytes(made.small())
    made.beside(path)
    return path


IMAGES = [wire.TensorSpec("images", "float32", [1, 3, 4, 4])]


def job(path, inputs=None, device="npu", **options):
    return wire.Open("hailo", device, str(path), "hef", options=options, inputs=inputs)


class Asked:
    """One worker of this process; answers as dicts, failures raised as :class:`AssertionError`."""

    def __init__(self, folder):
        self.worker, self.folder = Worker(), folder

    def ask(self, request):
        reply = json.loads(self.worker.answer(wire.request_line(1, request)))
        return reply["answer"] if "answer" in reply else reply["failure"]

    def run(self, *arrays):
        path, out = str(self.folder / "in.npz"), str(self.folder / "out.npz")
        np.savez(path, **{f"input_{index}": array[np.newaxis] for index, array in enumerate(arrays)})
        bound = self.ask(wire.Bind(path, out))
        assert "message" not in bound, bound
        with np.load(out) as file:
            return [file[f"output_{index}"] for index in range(len(file.files))]

    def refused(self, request):
        failure = self.ask(request)
        assert failure.get("kind") == "refused", failure
        assert "\n" not in failure["message"]
        return failure["message"], failure["remedy"]


@pytest.fixture
def asked(tmp_path, hailort):
    one = Asked(tmp_path)
    yield one
    one.ask(wire.Close())


def images():
    return np.random.default_rng(1).uniform(-4, 4, (1, 3, 4, 4)).astype("float32")


# ---------------------------------------------------------------- signatures


def signature(package, path):
    found = package
    for name in path.split("."):
        found = getattr(found, name)
    return str(inspect.signature(found))


@pytest.mark.parametrize("path", SIGNATURES)
def test_the_stand_in_has_hailorts_signatures(hailort, path):
    assert signature(hailort, path) == SIGNATURES[path]


def test_names_of_statuses_come_from_where_hailort_has_them(hailort):
    from hailo_platform.pyhailort import pyhailort

    assert str(inspect.signature(pyhailort.get_status_message)) == "(status_code)"
    assert pyhailort.get_status_message(73) == "HAILO_DEVICE_IN_USE"


def without_timeout(self, bindings):
    raise AssertionError("never reached")


def with_another_name(self, input_data_by_name, tf_format):
    raise AssertionError("never reached")


@pytest.mark.parametrize(
    ("path", "changed", "options"),
    [
        ("ConfiguredInferModel.run", without_timeout, {}),
        ("ConfiguredInferModel.activate", with_another_name, {}),
        ("InferVStreams.infer", with_another_name, {"api": "vstreams"}),
        ("InputVStreamParams.make", staticmethod(lambda network, type_: {}), {"api": "vstreams"}),
        ("VDevice.create_infer_model", without_timeout, {"api": "async", "scheduler": "on"}),
    ],
)
def test_a_changed_signature_breaks_the_path_and_the_record(
    hailort, model, tmp_path, monkeypatch, path, changed, options
):
    one, (holder, name) = Asked(tmp_path), path.split(".")
    monkeypatch.setattr(getattr(hailort, holder), name, changed)
    if options.get("scheduler") != "on":
        assert signature(hailort, path) != SIGNATURES[path]
    if "message" not in one.ask(job(model, **options)):  # else it failed already
        with pytest.raises(AssertionError, match=r"TypeError|argument"):
            one.run(np.zeros((1, 4, 4, 3), "uint8"))


# ---------------------------------------------------------------- the call


@pytest.mark.parametrize("api", ["async", "vstreams"])
@pytest.mark.parametrize("scheduler", ["off", "on"])
def test_a_model_with_features_first_gives_the_references_outputs(asked, model, api, scheduler):
    opened = asked.ask(job(model, IMAGES, api=api, scheduler=scheduler))
    assert opened["inputs"] == [{"name": "images", "dtype": "float32", "shape": [1, 3, 4, 4]}]
    assert opened["outputs"] == [{"name": "small/conv1", "dtype": "float32", "shape": [1, 3, 4, 4]}]
    assert opened["boundary"] == "end_to_end"
    sent = images()
    (got,) = asked.run(sent)
    assert got.shape == (1, 3, 4, 4)
    np.testing.assert_allclose(got, 2 * sent, atol=0.051 + 0.05)


def test_what_is_in_force_is_told(asked, model):
    effective = asked.ask(job(model, IMAGES, power_mode="ultra_performance"))["effective"]
    assert effective == {
        "api": "async",
        "batch": "1",
        "scheduler": "off",
        "power_mode": "ultra_performance",
        "device": f"HAILO8L at {BOARD}",
        "firmware": "4.23.0 (release,app)",
        "compiled_for": "Hailo-8L",
        "compiler": "3.31.0",
        "contexts": "1",
        "inputs": "small/input_layer1 float32 4x4x3, transposed before the latency, quantised by HailoRT",
        "outputs": "small/conv1 float32 4x4x3, dequantised by HailoRT",
        "clock_mhz": "400",
    }


def test_a_hef_alone_takes_and_gives_what_the_chip_does(asked, model):
    opened = asked.ask(job(model, output="auto"))
    assert opened["inputs"] == [{"name": "small/input_layer1", "dtype": "uint8", "shape": [1, 4, 4, 3]}]
    assert opened["boundary"] == "end_to_end without dequantising the outputs"
    stored = np.full((1, 4, 4, 3), 120, "uint8")
    (got,) = asked.run(stored)
    np.testing.assert_allclose(got, 2 * (stored - 100.0) * 0.05, atol=0.051)


def test_quantising_outside_of_the_latency_is_another_boundary(asked, model):
    opened = asked.ask(job(model, IMAGES, input="uint8", output="uint8"))
    assert opened["boundary"] == "end_to_end without quantising the inputs and dequantising the outputs"
    assert "quantised before the latency" in opened["effective"]["inputs"]
    sent = images()
    np.testing.assert_allclose(asked.run(sent)[0], 2 * sent, atol=0.051 + 0.05)


@pytest.mark.parametrize("api", ["async", "vstreams"])
def test_a_batch_is_one_inference_of_many_frames(asked, hailort, model, api):
    specs = [wire.TensorSpec("images", "float32", [5, 3, 4, 4])]
    opened = asked.ask(job(model, specs, api=api))
    assert opened["effective"]["batch"] == "5"
    sent = np.concatenate([images() * turn / 5 for turn in range(5)])
    (got,) = asked.run(sent)
    np.testing.assert_allclose(got, 2 * sent, atol=0.101)


@pytest.mark.parametrize("api", ["async", "vstreams"])
def test_boxes_of_the_hosts_nms_and_where_it_ran(asked, tmp_path, api):
    path = tmp_path / "boxes.hef"
    path.write_bytes(made.small(host=True, contexts=2))
    nms = {"number_of_classes": 80, "max_bboxes_per_class": 100}
    output = {"name": "small/nms_out", "shape": [], "order": "HAILO_NMS_BY_CLASS", "scale": 1.0, "zero_point": 0.0}
    made.beside(path, outputs=[dict(output, nms=nms)])
    opened = asked.ask(job(path, IMAGES, api=api))
    assert opened["outputs"] == [{"name": "small/nms_out", "dtype": "float32", "shape": [1, 80, 5, 100]}]
    (got,) = asked.run(images())
    np.testing.assert_allclose(got[0, 0, :, 0], [0.1, 0.2, 0.3, 0.4, 0.9], rtol=1e-6)
    assert got.sum() == pytest.approx(1.9, rel=1e-5)
    placement = opened["placement"]
    assert (placement["asked"], placement["units"]) == ("npu", {"npu": 1, "cpu": 1})
    (there,) = placement["elsewhere"]
    assert (there["unit"], there["kinds"], there["names"]) == ("cpu", {"NMS": 1}, ["small/nms"])
    assert there["reason"] == "post-processing that HailoRT does on the host"
    assert opened["effective"]["contexts"] == "2"


def test_masks_without_a_shape_come_as_bytes_or_not_at_all(asked, tmp_path):
    path = tmp_path / "masks.hef"
    path.write_bytes(made.small(host=True))
    nms = {"number_of_classes": 2, "max_bboxes_per_class": 3}
    mask = {"name": "m", "shape": [], "order": "HAILO_NMS_WITH_BYTE_MASK", "scale": 1.0, "zero_point": 0.0, "nms": nms}
    made.beside(path, outputs=[mask])
    assert asked.ask(job(path))["outputs"][0] == {"name": "m", "dtype": "uint8", "shape": [1, -1]}
    (got,) = asked.run(np.zeros((1, 4, 4, 3), "uint8"))
    np.testing.assert_array_equal(got[0], np.arange(24 * 4, dtype="uint8"))  # all bytes of floats
    asked.ask(wire.Close())
    assert "as objects here" in asked.refused(job(path, api="vstreams"))[0]


def test_outputs_stand_in_the_compilers_order(asked, model):
    stream = {"shape": [1, 1, 2], "order": "NHWC", "scale": 0.1, "zero_point": 0.0}
    made.beside(model, outputs=[dict(stream, name="net/a"), dict(stream, name="net/b")], sorted=["net/b", "net/a"])
    assert [output["name"] for output in asked.ask(job(model))["outputs"]] == ["net/b", "net/a"]


def test_several_inputs_are_found_by_their_names(asked, model):
    stream = {"order": "NHWC", "scale": 0.1, "zero_point": 100.0}
    inputs = [dict(stream, name="net/left", shape=[2, 2, 1]), dict(stream, name="net/right", shape=[1, 1, 6])]
    outputs = [dict(stream, name="net/l", shape=[2, 2, 1]), dict(stream, name="net/r", shape=[1, 1, 6])]
    made.beside(model, inputs=inputs, outputs=outputs, gain=1.0)
    specs = [wire.TensorSpec("right", "float32", [1, 6]), wire.TensorSpec("left", "float32", [1, 2, 2])]
    asked.ask(job(model, specs))
    left, right = np.full((1, 2, 2), 3.0, "float32"), np.full((1, 6), -2.0, "float32")
    got = asked.run(right, left)
    np.testing.assert_allclose(got[0].ravel(), 3.0, atol=0.06)
    np.testing.assert_allclose(got[1].ravel(), -2.0, atol=0.06)


def test_precision_is_what_the_file_tells_and_no_more(asked, model):
    told = asked.ask(job(model))["precision"]
    assert told["ran"] == "int8"
    assert "doesn't tell the bits of its weights" in told["evidence"]


# ---------------------------------------------------------------- the chip's own time

TOOL = """#!{python}
import sys
at = sys.argv[1:]
assert at[0] == "run" and "--measure-latency" in at, at
assert at[at.index("--device-id") + 1] == "0000:01:00.0"
open(at[at.index("--csv") + 1], "w").write({csv!r})
print("Device in use", file=sys.stderr)
raise SystemExit({status})
"""


def tool(folder, monkeypatch, csv="net_name,fps,hw_latency\nsmall,,0.731\n", status=0):
    path = folder / "bin" / "hailortcli"
    path.parent.mkdir(exist_ok=True)
    path.write_text(TOOL.format(python=sys.executable, csv=csv, status=status))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))


def test_hailortcli_tells_the_chips_time_and_the_device_is_lent_to_it(asked, hailort, model, tmp_path, monkeypatch):
    tool(tmp_path, monkeypatch)
    asked.ask(job(model, IMAGES))
    asked.run(images())
    told = asked.ask(wire.Parts(str(tmp_path / "in.npz"), 5))
    assert told["ns"]["compute"] == [731_000]
    assert len(told["ns"]["end_to_end"]) == 1
    assert told["by"] == hailo_parts.BY
    assert set(told["missing"]) == {"h2d", "d2h"}
    assert not hailort.modules[BOARD].in_use
    np.testing.assert_allclose(asked.run(images())[0], 2 * images(), atol=0.101)  # and taken again


@pytest.mark.parametrize(
    ("csv", "status", "says"),
    [
        ("", 1, "hailortcli failed: Device in use"),
        ("net_name,hw_latency\nsmall,\n", 0, "told no hardware latency"),
        ("net_name,fps\nsmall,3\n", 0, "told no hardware latency"),
        ("net_name,hw_latency\nsmall,0\n", 0, "told a hardware latency of 0 ms"),
    ],
)
def test_why_the_chips_time_is_not_known(asked, model, tmp_path, monkeypatch, csv, status, says):
    asked.ask(job(model, IMAGES))
    asked.run(images())
    tool(tmp_path, monkeypatch, csv, status)
    assert says in asked.ask(wire.Parts(str(tmp_path / "in.npz"), 5))["missing"]["compute"]


def test_without_hailortcli_and_with_batches_it_is_not_known(asked, model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    asked.ask(job(model, IMAGES))
    asked.run(images())
    assert "hailortcli is not installed" in asked.ask(wire.Parts(str(tmp_path / "in.npz"), 5))["missing"]["compute"]


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("options", "inputs", "says", "try_"),
    [
        ({"api": "sync"}, None, "api=sync is not known", "use one of: async, vstreams"),
        ({"power_mode": "turbo"}, None, "power_mode=turbo is not known", "performance, ultra_performance"),
        ({"output": "float16"}, None, "output=float16 is not known", "float32, uint8"),
        ({"batch": "0"}, None, "batch=0 is not a number of frames", "batch=8"),
        ({"batch": "many"}, None, "batch=many is not a number of frames", "batch=8"),
        ({"batch": "4"}, IMAGES, "batch=4, but the inputs hold 1", "--batch 4"),
        ({}, [wire.TensorSpec("x", "int64", [1, 3, 4, 4])], "holds int64; HailoRT takes", "HEF alone"),
        ({}, [wire.TensorSpec("x", "float32", [1, 3, 5, 5])], "neither the same nor with the features last", "HEF"),
        ({}, IMAGES + IMAGES, "the HEF takes 1 inputs, the model 2", "model's own HEF"),
        ({"colour": "red"}, None, "hailo has no option 'colour'", ""),
    ],
)
def test_what_is_asked_wrongly(asked, model, options, inputs, says, try_):
    message, remedy = asked.refused(job(model, inputs, **options))
    assert says in message
    assert try_ in remedy


def test_a_hef_for_another_chip(asked, hailort, model):
    model.write_bytes(made.small(made.HAILO8P))
    message, remedy = asked.refused(job(model))
    assert message == f"{model} was compiled for the Hailo-8; this device is a Hailo-8L"
    assert "--hw-arch hailo8l" in remedy


def test_a_hef_for_half_the_chip_runs_and_is_told(asked, hailort, model):
    hailort.modules[BOARD].arch = "HAILO8"
    assert "compiled with --hw-arch hailo8 it would be faster" in asked.ask(job(model))["effective"]["compiled_for"]


def test_damaged_files_and_files_of_several_networks(asked, model):
    model.write_bytes(made.small()[:100])
    assert "cut short" in asked.refused(job(model))[0]
    group = made.group("net", made.core("net", [made.context()]))
    model.write_bytes(made.file(made.proto(group, made.group("other", made.core("other", [made.context()])))))
    assert "2 network groups (net, other)" in asked.refused(job(model))[0]


def test_no_device_and_a_device_that_is_not_there(asked, hailort, model):
    assert "no device 'npu.1' for hailo; there is: npu" in asked.refused(job(model, device="npu.1"))[0]
    assert "no device 'cpu'" in asked.refused(job(model, device="cpu"))[0]
    hailort.modules.clear()
    message, remedy = asked.refused(job(model))
    assert message == "HailoRT finds no Hailo device on this machine"
    assert remedy.startswith("lspci -d 1e60:")


def test_several_devices_have_numbers(hailort, model, tmp_path):
    hailort.modules["0000:02:00.0"] = hailort.Module(arch="HAILO8")
    offers = hailo.offers()
    assert [(offer.device, offer.note) for offer in offers] == [
        ("npu.0", f"HAILO8L at {BOARD}"),
        ("npu.1", "HAILO8 at 0000:02:00.0"),
    ]
    one = Asked(tmp_path)
    assert one.ask(job(model, device="npu.1"))["effective"]["device"] == "HAILO8 at 0000:02:00.0"
    assert [module.in_use for module in hailort.modules.values()] == [False, True]
    one.ask(wire.Close())
    assert not any(module.in_use for module in hailort.modules.values())


@pytest.mark.parametrize("scheduler", ["off", "on"])
@pytest.mark.parametrize("api", ["async", "vstreams"])
def test_the_second_device_is_used_whoever_schedules(asked, hailort, model, api, scheduler):
    hailort.modules["0000:02:00.0"] = hailort.Module()
    asked.ask(job(model, device="npu.1", api=api, scheduler=scheduler))
    assert [module.in_use for module in hailort.modules.values()] == [False, True]


def test_a_device_that_cannot_even_be_asked_says_why(asked, hailort, model):
    """``Device`` lets the bindings' exception through, which holds a number alone."""
    hailort.modules[BOARD].in_use = True
    message, remedy = asked.refused(job(model))
    assert message == "the Hailo device is in use by another process: HAILO_DEVICE_IN_USE"
    assert "fuser" in remedy
    assert hailo_errors.worded(RuntimeError("999")) == "999"


def test_a_device_that_another_process_uses(asked, hailort, model, monkeypatch):
    def busy(self, params=None, *, device_ids=None):
        raise hailort.HailoRTException("libhailort failed with error: 74 (HAILO_OUT_OF_PHYSICAL_DEVICES)")

    monkeypatch.setattr(hailort.VDevice, "__init__", busy)
    message, remedy = asked.refused(job(model))
    assert message == "no Hailo device is free: another process uses it: HAILO_OUT_OF_PHYSICAL_DEVICES"
    assert "fuser" in remedy


@pytest.mark.parametrize("status", hailo_errors.WORDS)
def test_each_status_is_a_sentence_and_a_remedy(status):
    found = hailo_errors.in_words(RuntimeError(f"libhailort failed with error: 7 ({status})"), "4.20.0", "4.23.0")
    assert status in str(found)
    assert "{" not in str(found)
    assert found.remedy


def test_versions_that_differ_are_named():
    problem = RuntimeError("libhailort failed with error: 76 (HAILO_INVALID_DRIVER_VERSION)")
    found = hailo_errors.in_words(problem, "4.20.0", "4.23.0")
    assert "the PCIe driver is of another version than HailoRT (HailoRT 4.23.0, driver 4.20.0)" in str(found)


def test_exceptions_that_name_no_status_and_words_that_nobody_knows():
    class HailoRTInvalidHEFException(Exception):
        pass

    known = hailo_errors.in_words(HailoRTInvalidHEFException("Invalid HEF. See hailort.log"), None, "4.23.0")
    assert "HailoRT refuses the HEF" in str(known)
    assert "driver unknown" in str(known)
    assert str(hailo_errors.in_words(ValueError("odd"), None, "4.23.0")) == "HailoRT says: odd"
    mine = Refused("mine")
    assert hailo_errors.in_words(mine, None, "4.23.0") is mine


def test_a_failed_start_gives_the_device_back(asked, hailort, model, monkeypatch):
    def failing(self):
        raise hailort.HailoRTException("libhailort failed with error: 81 (HAILO_OUT_OF_HOST_CMA_MEMORY)")

    monkeypatch.setattr(hailort.InferModel, "configure", failing)
    assert "CMA" in asked.refused(job(model))[0]
    assert not hailort.modules[BOARD].in_use


# ---------------------------------------------------------------- described, and run


def test_the_device_need_not_be_named():
    assert str(parse("hailo")[1]) == "hailo:npu"
    assert str(parse("hailo:npu.1,batch=8")[1]) == "hailo:npu.1,batch=8"


def test_a_machine_without_hailort_is_told_what_to_install():
    found = describe(wire.Describe("hailo"))
    assert (found.usable, found.rare) == (False, True)
    assert "sudo apt install hailo-all" in found.why_not
    assert "hailo.ai/developer-zone" in found.remedy


def test_a_machine_without_a_device_is_told_where_to_look(hailort):
    hailort.modules.clear()
    found = describe(wire.Describe("hailo"))
    assert found.why_not == "HailoRT finds no Hailo device on this machine"
    assert found.remedy.startswith("lspci")


def ran(folder, devices, *arguments):
    """``whichpu run`` in ``folder``, with the stand-in and these devices in its workers."""
    paths = os.pathsep.join([str(STANDINS), os.environ.get("PYTHONPATH", "")])
    told = dict(os.environ, PYTHONPATH=paths, HAILO_STANDIN=json.dumps({"devices": devices}))
    command = [sys.executable, "-m", "whichpu", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=120)


def test_whichpu_run_measures_it_beside_the_reference(model, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    ends = [make.make_tensor_value_info(name, real, [1, 3, 4, 4]) for name in ("images", "out")]
    two = onnx.numpy_helper.from_array(np.array(2.0, "float32"), "two")
    graph = make.make_graph([make.make_node("Mul", ["images", "two"], ["out"])], "g", ends[:1], ends[1:], [two])
    whole = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    onnx.save(whole, str(tmp_path / "small.onnx"))
    asked = ("--form", model, "--on", "hailo", "--rounds", 1, "--budget", "100ms", "--json", "--meters", "off")
    done = ran(tmp_path, {BOARD: {}}, "small.onnx", *asked)
    (row,) = json.loads(done.stdout)["summaries"]
    assert (row["name"], row["status"]) == ("hailo:npu", "measured"), done.stderr
    assert (row["ran_precision"], row["boundary"]) == ("int8", "end_to_end")
    assert 0 < row["difference"]["max_abs"] < 0.11


def test_whichpu_run_says_why_there_is_no_device(model, tmp_path):
    done = ran(tmp_path, {}, model, "--on", "hailo", "--meters", "off")
    assert done.returncode == 1
    assert "hailo:npu can't run here: HailoRT finds no Hailo device on this machine" in done.stderr
    assert "lspci -d 1e60:" in done.stderr


# ---------------------------------------------------------------- the example

EXAMPLE = Path(__file__).parent.parent / "examples" / "hailo_study"
STUDY = Path(whichpu.__file__).parent / "studies" / "data"


def test_the_examples_inventory_is_one():
    inventory = load(EXAMPLE / "whichpu.toml")
    assert inventory.board("pi5").python == "/usr/bin/python3"
    (target,) = inventory.run["on"]
    assert str(parse(target)[1]) == "hailo:npu@pi5"


def test_the_examples_figures_are_the_studys():
    rows = [line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith(("| GRU_", "| LSTM_"))]
    expected = []
    for file in sorted(STUDY.glob("*_performance_*.json")):
        told = json.loads(file.read_text())
        for name, one in told["models"].items():
            latency = one["latency_ms"]
            cells = [latency[key] for key in ("mean", "median", "min", "max", "std", "p95", "p99")]
            cells += [one["throughput_fps"], one["rmse"]]
            shown = [str(cell) for cell in cells] + [f"{one['avg_device_utilization']} %"]
            expected.append("| " + " | ".join([name, told["platform"], *shown]) + " |")
    assert sorted(rows) == sorted(expected)
