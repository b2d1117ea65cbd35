"""Real conversions by the vendors' tools, and real failures of theirs."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest

from whichpu.errors import ConversionError
from whichpu.models import convert
from whichpu.worker.wire import TensorSpec

onnx = pytest.importorskip("onnx")

IMAGE = [TensorSpec("image", "float32", [1, 2, 5, 5])]


def small_model(path: Path, *, external: bool = False) -> Path:
    """A convolution and a ReLU with random weights."""
    weights = numpy.random.default_rng(1).normal(size=(3, 2, 3, 3)).astype(numpy.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["image", "weights"], ["sum"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["sum"], ["features"]),
    ]
    ends = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, 5, 5])]
        for name, channels in (("image", 2), ("features", 3))
    ]
    graph = onnx.helper.make_graph(nodes, "small", *ends, [onnx.numpy_helper.from_array(weights, "weights")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    outside = {"save_as_external_data": True, "location": "data/weights.bin", "size_threshold": 0} if external else {}
    if external:
        (path.parent / "data").mkdir()
    onnx.save_model(model, path, **outside)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made(source: Path, to: str, cache: Path, **wishes: object) -> convert.Converted:
    reason = convert.why_not(to)
    if reason:
        pytest.skip(reason[0])
    asked = {"precision": "fp32", "inputs": IMAGE, **wishes}
    return convert.convert(source, sha256(source), to, cache=cache, **asked)  # type: ignore[arg-type]


def child(monkeypatch: pytest.MonkeyPatch, program: str, *more: str) -> None:
    """A converter ``child`` that runs a Python program."""
    command = [sys.executable, "-c", program, *more]
    converter = convert.Converter("child", (("numpy", "numpy"),), "", ("made.bin",), lambda *_: command)
    monkeypatch.setitem(convert.CONVERTERS, "child", converter)


@pytest.mark.parametrize("to", ["ncnn", "mnn"])
def test_converts_and_leaves_the_source_alone(to: str, tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx")
    before = sha256(source)
    first = made(source, to, tmp_path / "cache")
    assert first.format == to and first.path.is_file() and first.log.is_file() and first.bytes > 0
    assert first.warnings == () and convert.CONVERTERS[to].packages[0][1] in first.tool_version
    stamp = first.path.stat().st_mtime_ns
    assert made(source, to, tmp_path / "cache") == first
    assert first.path.stat().st_mtime_ns == stamp, "the second call must come from the cache"
    assert sha256(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "small.onnx"]
    assert list((tmp_path / "cache").iterdir()) == [first.path.parent], "no temporary folder may stay"


def test_precision_and_shapes_have_their_own_place(tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx")
    full = made(source, "ncnn", tmp_path / "cache")
    half = made(source, "ncnn", tmp_path / "cache", precision="default")
    assert full.path != half.path and half.bytes < full.bytes, "pnnx stores fp16 weights unless told not to"


def test_damaged_cache_is_made_again(tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx")
    first = made(source, "ncnn", tmp_path / "cache")
    first.path.write_text("damaged")
    assert made(source, "ncnn", tmp_path / "cache") == first
    assert first.path.read_text() != "damaged"


@pytest.mark.parametrize("to", ["ncnn", "mnn"])
def test_external_data_is_copied_too(to: str, tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx", external=True)
    weights = tmp_path / "data" / "weights.bin"
    before = sha256(weights)
    assert made(source, to, tmp_path / "cache").bytes > weights.stat().st_size
    assert sha256(weights) == before


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx", external=True)
    source.write_bytes(source.read_bytes().replace(b"data/weights.bin", b"../a/weights.bin"))
    with pytest.raises(ConversionError, match="outside its own folder"):
        made(source, "ncnn", tmp_path / "cache")


BAD_FILES = [
    ("ncnn", b"junk\n", "read_proto_from_binary failed"),
    ("ncnn", b"this is no model" * 9, "crashed with|exit code"),  # some bytes make pnnx 20261020 crash
    ("mnn", b"junk\n", "DecodeError"),
]


@pytest.mark.parametrize(("to", "content", "words"), BAD_FILES)
def test_bad_file_gives_the_tools_last_words(to: str, content: bytes, words: str, tmp_path: Path) -> None:
    source = tmp_path / "bad.onnx"
    source.write_bytes(content)
    with pytest.raises(ConversionError, match=words) as caught:
        made(source, to, tmp_path / "cache")
    message = str(caught.value)
    assert str(source) in message and caught.value.remedy
    log = Path(message.splitlines()[-1].split(": ", 1)[1])
    assert list((tmp_path / "cache").iterdir()) == [log] and log.stat().st_size > 0


def test_crash_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_model(tmp_path / "small.onnx")
    child(monkeypatch, "import os; print('about to die', flush=True); os.abort()")
    with pytest.raises(ConversionError, match=r"(?s)SIGABRT.*about to die"):
        made(source, "child", tmp_path / "cache")


def test_tool_that_writes_nothing_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_model(tmp_path / "small.onnx")
    child(monkeypatch, "print('Converted Success!')")
    with pytest.raises(ConversionError, match=r"did not write made\.bin"):
        made(source, "child", tmp_path / "cache")


def test_slow_tool_is_ended_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_model(tmp_path / "small.onnx")
    note = tmp_path / "pid"
    program = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); "
        "open(sys.argv[1], 'w').write(str(p.pid)); print('thinking', flush=True); time.sleep(60)"
    )
    child(monkeypatch, program, str(note))
    with pytest.raises(ConversionError, match=r"(?s)still running.*thinking"):
        made(source, "child", tmp_path / "cache", timeout_s=2)
    assert gone(int(note.read_text()))


def gone(pid: int) -> bool:
    """Whether the process ends within 5 s; one that only waits for its parent to look (a zombie) has ended."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def test_tools_are_kept_on_a_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_model(tmp_path / "small.onnx")
    child(monkeypatch, "import os; open('made.bin', 'w').write(str(dict(os.environ)))")
    environment = made(source, "child", tmp_path / "cache").path.read_text()
    for guard in ("'PIP_NO_INDEX': '1'", "'PIP_REQUIRE_VIRTUALENV': '1'", "'ORT_DISABLE_TELEMETRY': '1'"):
        assert guard in environment


def test_two_at_once_give_one_result(tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: made(source, "ncnn", tmp_path / "cache"), range(2)))
    assert results[0] == results[1]
    assert list((tmp_path / "cache").iterdir()) == [results[0].path.parent]


def test_lines_about_lost_parts_become_warnings(tmp_path: Path) -> None:
    """pnnx drops the asymmetric padding of AveragePool and ends with 0."""
    node = onnx.helper.make_node("AveragePool", ["image"], ["mean"], kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    ends = [[onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2, 5, 5])] for name in node.input]
    ends += [[onnx.helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, [1, 2, 5, 5])]]
    graph = onnx.helper.make_graph([node], "pool", *ends)
    source = tmp_path / "pool.onnx"
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, source)
    assert any("pads=(0,0,1,1)" in line for line in made(source, "ncnn", tmp_path / "cache").warnings)


def test_missing_tool_and_unknown_form() -> None:
    assert convert.why_not("hef") == ("there is no conversion from ONNX to 'hef'", "use one of: mnn, ncnn, tflite")
    absent = convert.Converter("none", (("no_such_module", "no-such"),), "pip install no-such", (), lambda *_: [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(convert.CONVERTERS, "none", absent)
        assert convert.why_not("none") == ("the Python package 'no-such' is not installed", "pip install no-such")


def test_open_shape_is_refused(tmp_path: Path) -> None:
    source = small_model(tmp_path / "small.onnx")
    with pytest.raises(ConversionError, match="must be known"):
        made(source, "ncnn", tmp_path / "cache", inputs=[TensorSpec("image", "float32", [-1, 2, 5, 5])])
