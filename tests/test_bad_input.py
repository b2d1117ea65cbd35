"""Bad input and bad luck, provoked for real: a sentence or a row, the right exit code, and nothing measured is lost.

Workers here are real processes; nothing is mocked but the one bug of our own that must end with exit code 3.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper

from whichpu.results import latencies, store, summary

if TYPE_CHECKING:
    from conftest import Cli, Inside, Ran

Told = Callable[..., "Ran"]
STOCK = Path(__file__).parent.parent / "examples" / "apple_stock"
ORT = ("--on", "onnxruntime:cpu")
NULL = ("--on", "null:cpu")
SHORT = ("--budget", "1s", "--rounds", 1, "-o", "out.json")


def sentence(ran: Ran, *words: str) -> None:
    """The command ended for the user's mistake, and said these words and what to try."""
    assert ran.status == 1, ran
    assert ran.err.startswith("Error: ") or "\nError: " in ran.err, ran
    for word in (*words, "  Try: "):
        assert word in ran.err, ran
    assert "Traceback" not in ran.err + ran.out


def rows(cli: Cli | Inside, path: str = "out.json") -> dict[str, Any]:
    """The rows of a campaign file that must be whole."""
    return {result.name: result for result in store.load(cli.folder / path).results}


def rounds(result: Any) -> list[int]:
    """The rounds in which a contender was measured."""
    return sorted(latencies.round_logs(result))


def workers() -> list[psutil.Process]:
    """Running workers of this test session."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if f"{os.environ['WHICHPU_CACHE']}/worker-" in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_until(true: Callable[[], Any], otherwise: str, limit_s: float = 60.0, step_s: float = 0.01) -> Any:
    """What ``true`` returns, once it is true."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(step_s)
    raise AssertionError(otherwise)


def stored_rounds(path: Path, process: subprocess.Popen[str]) -> int:
    """Whole rounds in the campaign file of a running command."""
    assert process.poll() is None, process.communicate()
    if not path.exists():
        return 0
    return min((len(result.readings) for result in store.load(path).results), default=0)


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """After each test, every worker has ended."""
    yield
    wait_until(lambda: not workers(), "workers were left behind")


# ---------------------------------------------------------------- files that are no models


def test_no_such_file(told: Told, models: SimpleNamespace) -> None:
    sentence(told("run", models.folder / "mlpp.onnx"), "there is no file", f"did you mean {models.mlp}?")
    ran = told("run", models.folder / "nowhere" / "x.onnx")
    assert ran.status == 1 and "there is no file" in ran.err


def test_a_folder(told: Told, tmp_path: Path) -> None:
    sentence(told("run", tmp_path), "is a folder, not a model file", ".onnx")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.onnx", b"", "is empty"),
        ("empty.tflite", b"", "is empty"),
        ("text.onnx", b"hello, world\n", "is not an ONNX model"),
        ("page.onnx", b"<!DOCTYPE html><html><body>404</body></html>", "is not an ONNX model"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is not an ONNX model"),
        ("text.tflite", b"hello, world\n", "is no tflite file"),
        ("text.param", b"hello, world\n", "is no ncnn file"),
        ("text.pt2", b"hello, world\n", "is no pt2 file"),
        ("weights.bin", b"hello, world\n", "is not a model that WhichPU knows"),
        ("pickle.onnx", pickle.dumps({"weights": [1.0]}), "is not an ONNX model"),
    ],
)
def test_what_is_no_model(told: Told, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    sentence(told("run", path, "-o", tmp_path / "out.json"), words, str(path))
    assert not (tmp_path / "out.json").exists()


def test_pickled_weights_are_told_from_a_program(told: Told, tmp_path: Path) -> None:
    for name in ("model.pt", "model.pt2"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps({}))
        sentence(told("run", tmp_path / name), "pickled PyTorch weights", "torch.export.save")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    sentence(told("run", tmp_path / "some.zip"), "is an archive, but not a model")


def test_onnx_truncated_anywhere(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    whole, path = models.mlp.read_bytes(), tmp_path / "cut.onnx"
    ends = set(range(len(whole)))
    for cut in sorted({*range(1, len(whole), 41), *range(1, 12), *range(len(whole) - 12, len(whole))} & ends):
        path.write_bytes(whole[:cut])
        ran = told("run", path, *ORT, "--budget", "1s", "--rounds", 1, "-o", tmp_path / "out.json", "--overwrite")
        assert ran.status == 1, (cut, ran)
        if "is truncated" in ran.err:
            sentence(ran, str(path), "export or download it again")
        else:  # it parses, but something is missing; the runtime says what
            (row,) = store.load(tmp_path / "out.json").results
            assert row.status == "refused" and row.why and row.remedy, cut


@pytest.mark.parametrize("name", ["gru.tflite", "gru.pt2"])
def test_other_forms_truncated(told: Told, tmp_path: Path, name: str) -> None:
    pytest.importorskip("ai_edge_litert") if name.endswith("tflite") else None
    whole, path = (STOCK / name).read_bytes(), tmp_path / name
    for cut in (1, 7, 60, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:cut])
        on = "litert:cpu" if name.endswith("tflite") else "torch:cpu"
        sentence(told("run", path, "--on", on, "-o", tmp_path / "out.json"), str(path))


def test_a_damaged_sibling_is_named_and_can_be_left_out(inside: Inside, models: SimpleNamespace) -> None:
    (inside.folder / "mlp.onnx").write_bytes(models.mlp.read_bytes())
    (inside.folder / "mlp.tflite").write_bytes(b"hello")
    sentence(inside("run", "mlp.onnx", *ORT, *SHORT), "beside mlp.onnx", "mlp.tflite", "--no-siblings")
    assert inside("run", "mlp.onnx", *ORT, *SHORT, "--no-siblings").status == 0


def test_no_runtime_for_the_form(inside: Inside) -> None:
    sentence(
        inside("run", STOCK / "gru.tflite", *ORT, *NULL, *SHORT, "--no-siblings"), "no runtime that was asked for takes"
    )


# ---------------------------------------------------------------- models that a runtime refuses


def test_unknown_operator(inside: Inside, models: SimpleNamespace) -> None:
    ran = inside("run", models.unknown, *ORT, *NULL, *SHORT)
    assert ran.status == 1 and "no contender could be measured" in ran.err and "rows are in out.json" in ran.err
    found = rows(inside)
    assert found["onnxruntime:cpu"].status == "refused"
    assert "Nope" in found["onnxruntime:cpu"].why and "No Op registered" in found["onnxruntime:cpu"].why
    assert found["onnxruntime:cpu"].remedy and "Nope" in ran.out
    assert rounds(found["null:cpu"]) == [0]  # the rest of the campaign went on


def test_an_operator_that_one_runtime_lacks(inside: Inside, models: SimpleNamespace) -> None:
    pytest.importorskip("cv2")
    ran = inside("run", models.microsoft, *ORT, "--on", "opencv:cpu", *SHORT)
    found = rows(inside)
    if found["opencv:cpu"].status == "measured":
        pytest.skip("this OpenCV takes com.microsoft.Gelu")
    assert ran.status == 0
    assert found["opencv:cpu"].status == "refused" and "Gelu" in found["opencv:cpu"].why
    assert rounds(found["onnxruntime:cpu"]) == [0]


def test_opset_too_new(inside: Inside, models: SimpleNamespace) -> None:
    ran = inside("run", models.late, *ORT, *NULL, *SHORT)
    row = rows(inside)["onnxruntime:cpu"]
    assert ran.status == 1 and row.status == "refused"
    assert "Opset 99" in row.why and "Opset 99" in ran.out and row.remedy


def test_the_reference_names_why_it_is_not_the_usual_one(inside: Inside, models: SimpleNamespace) -> None:
    pytest.importorskip("cv2")
    assert inside("run", models.late, "--on", "opencv:cpu", *SHORT).status == 0
    reference = store.load(inside.folder / "out.json").reference
    assert reference is not None and reference.by.startswith("opencv:cpu") and "Opset 99" in reference.by


@pytest.mark.parametrize("name", ["nan", "zero"])
def test_outputs_that_are_no_numbers(inside: Inside, models: SimpleNamespace, name: str) -> None:
    data = {"x": np.zeros((2, 1, 16), np.float32)}
    np.savez(inside.folder / "zeros.npz", **data)
    ran = inside("run", getattr(models, name), *ORT, *NULL, *SHORT, "--data", "zeros.npz")
    row = rows(inside)["onnxruntime:cpu"]
    assert ran.status == 1 and row.status == "bad-output" and "NaN" in row.why and row.remedy
    assert rounds(row) == [] and "NaN" in ran.out  # nothing is fast for nothing


def test_more_memory_than_there_is(inside: Inside, models: SimpleNamespace) -> None:
    ran = inside("run", models.huge, *ORT, *NULL, *SHORT)
    row = rows(inside)["onnxruntime:cpu"]
    assert ran.status == 1 and row.status == "out-of-memory" and "Failed to allocate" in row.why and row.remedy
    assert rounds(rows(inside)["null:cpu"]) == [0]


# ---------------------------------------------------------------- shapes and data


def test_dynamic_shape(inside: Inside, models: SimpleNamespace) -> None:
    sentence(inside("run", models.dynamic, *ORT, *SHORT), "input 'a'", "[N]x4", "--shape a=1x4")
    sentence(inside("run", models.dynamic, *ORT, *SHORT, "--shape", "a=1x4"), "input 'b'", "--shape b=1x4")
    assert inside("run", models.dynamic, *ORT, *SHORT, "--shape", "a=3x4", "--shape", "b=3x4").status == 0
    assert [spec.shape for spec in store.load(inside.folder / "out.json").model.inputs] == [[3, 4], [3, 4]]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (["q=1x4"], "has no input 'q'"),
        (["a=1x4x1", "b=1x4"], "--shape a=1x4x1 does not fit"),
        (["a=1x5", "b=1x4"], "--shape a=1x5 does not fit"),
        (["1x4"], "has 2 inputs"),
        (["a=1xZ"], "is not a shape"),
        (["=1x4"], "is not a shape"),
        (["a="], "is not a shape"),
        (["a=0x4", "b=0x4"], "is not a shape"),
        (["a=-1x4", "b=1x4"], "is not a shape"),
        (["a=999999999999x4", "b=999999999999x4"], "GB of memory are free"),
        (["a=99999999999999999999999x4", "b=1x4"], "GB of memory are free"),
    ],
)
def test_shapes_that_do_not_fit(told: Told, models: SimpleNamespace, shapes: list[str], words: str) -> None:
    options = [part for shape in shapes for part in ("--shape", shape)]
    sentence(told("run", models.dynamic, *ORT, *options), words)


def test_shapes_are_checked_without_an_onnx_form_too(told: Told, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    run = ("run", STOCK / "gru.tflite", "--no-siblings", "--on", "litert:cpu", "-o", tmp_path / "out.json")
    sentence(told(*run, "--shape", "nope=1x3"), "has no input 'nope'")
    sentence(told(*run, "--shape", "1x3x3x3x3"), "does not fit")


def test_data_that_does_not_fit(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    good = np.ones((2, 1, 16), np.float32)
    for arrays, words in (
        ({"z": good}, "no such input"),
        ({"x": good, "z": good}, "no such input"),
        ({}, "no array for input 'x'"),
        ({"x": good[:, :, :15]}, "has shape (2, 1, 15)"),
        ({"x": np.float32(1)}, "has shape ()"),
        ({"x": good[:0]}, "has shape (0, 1, 16)"),
        ({"x": np.full((1, 16), "a")}, "the model takes float32"),
        ({"x": np.ones((1, 16), np.complex64)}, "the model takes float32"),
    ):
        np.savez(tmp_path / "data.npz", **arrays)
        sentence(told("run", models.mlp, *ORT, "--data", tmp_path / "data.npz"), words, "data.npz")
    np.savez(tmp_path / "data.npz", a=np.ones((2, 1, 4), np.float32))
    shapes = ("--shape", "a=1x4", "--shape", "b=1x4")
    sentence(told("run", models.dynamic, *ORT, *shapes, "--data", tmp_path / "data.npz"), "no array for input 'b'")
    np.savez(tmp_path / "data.npz", a=np.ones((2, 1, 4), np.float32), b=np.ones((3, 1, 4), np.float32))
    sentence(
        told("run", models.dynamic, *ORT, *shapes, "--data", tmp_path / "data.npz"), "different numbers of samples"
    )


def test_data_that_is_no_npz(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((2, 1, 16), np.float32))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF
    np.save(tmp_path / "array.npy", np.ones((1, 16), np.float32))
    unpicklable = tmp_path / "objects.npz"
    np.savez(unpicklable, x=np.array([{}], dtype=object))
    contents = [b"", b"hello", bytes(damaged), (tmp_path / "array.npy").read_bytes(), unpicklable.read_bytes()]
    for content in [*contents, *[whole[:cut] for cut in (1, 30, len(whole) // 2, len(whole) - 1)]]:
        path.write_bytes(content)
        sentence(told("run", models.mlp, *ORT, "--data", path), str(path), ".npz", "numpy.savez")
    for absent in (tmp_path / "absent.npz", tmp_path):
        sentence(told("run", models.mlp, *ORT, "--data", absent), "can't read", str(absent))


def test_tasks_that_are_none(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    for content, words in (
        (b"kind = ", "is not TOML"),
        (b'kind = "nope"', "there are: "),
        (b"\xff\xfe", "is not TOML"),
    ):
        path.write_bytes(content)
        ran = told("run", models.mlp, *ORT, "--data", path)
        assert ran.status == 1 and words in ran.err, ran
    ran = told("run", models.mlp, *ORT, "--data", tmp_path / "absent.toml")
    assert ran.status == 1 and "can't read" in ran.err


# ---------------------------------------------------------------- models larger than memory


def sparse(path: Path, size: int, head: bytes = b"") -> Path:
    """A file that seems to hold ``size`` bytes and takes no room; skips the test where none can be made."""
    try:
        with path.open("wb") as file:
            file.write(head)
            file.truncate(size)
    except OSError as problem:
        pytest.skip(f"this file system makes no sparse file of {size:.1e} bytes: {problem}")
    return path


def test_weights_larger_than_memory_are_not_read(told: Told, tmp_path: Path) -> None:
    size = 64 * psutil.virtual_memory().total
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[16, size // 64])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.append(onnx.StringStringEntryProto(key="location", value="big.weights"))
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [spec("x", TensorProto.FLOAT, [1, 16])],
        [spec("y", TensorProto.FLOAT, [1, size // 64])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "big.onnx").write_bytes(model.SerializeToString())
    sentence(told("run", tmp_path / "big.onnx"), "big.weights", "not there")
    sparse(tmp_path / "big.weights", size)
    began = time.monotonic()
    sentence(told("run", tmp_path / "big.onnx"), "GB of memory free", "more memory")
    assert time.monotonic() - began < 60  # reading it would take hours


@pytest.mark.parametrize(("name", "head"), [("big.onnx", b""), ("big.tflite", b"\x1c\0\0\0TFL3")])
def test_files_larger_than_memory_are_not_read(told: Told, tmp_path: Path, name: str, head: bytes) -> None:
    path = sparse(tmp_path / name, 64 * psutil.virtual_memory().total, head)
    sentence(told("run", path), "GB of memory free")


def test_onnx_files_have_a_limit(told: Told, tmp_path: Path) -> None:
    if psutil.virtual_memory().available < 3 * 2**30:
        pytest.skip("needs 3 GiB of free memory: below that, the memory is what is said to lack")
    sentence(told("run", sparse(tmp_path / "big.onnx", 2**31)), "2 GiB")


# ---------------------------------------------------------------- workers that hang, die or chatter


def strike(which: signal.Signals, process: subprocess.Popen[str], path: Path) -> None:
    """Send a signal to the null worker inside a measured block, after at least one round was stored."""

    def null_worker() -> psutil.Process | None:
        assert process.poll() is None, process.communicate()
        for worker in workers():
            try:
                ours = "WHICHPU_WORKER=slow" in Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
                stopped = worker.status() == psutil.STATUS_STOPPED
            except (OSError, psutil.NoSuchProcess):
                continue
            if stopped and ours:
                return worker  # frozen: it is loaded, warm, and waits for its next block
        return None

    wait_until(lambda: stored_rounds(path, process), "no round was stored")
    victim = wait_until(null_worker, "no null worker was frozen", step_s=0.002)

    def struck() -> bool:
        try:
            if victim.status() == psutil.STATUS_RUNNING:  # thawed: it is measured now
                victim.send_signal(which)
            return victim.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(struck, "the null worker lives on", step_s=0.002)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to find the worker")
@pytest.mark.parametrize(
    ("which", "status", "words"),
    [
        (signal.SIGSEGV, "crashed", ("was killed by SIGSEGV", "(measure)")),
        (signal.SIGSTOP, "hung", ("gave no answer within 4", "(measure)")),
    ],
)
def test_a_worker_struck_in_a_measured_block(
    cli: Cli, models: SimpleNamespace, which: signal.Signals, status: str, words: tuple[str, ...]
) -> None:
    slow = ("--on", "slow=null:cpu,delay=5ms", "--budget", "20s", "--rounds", 3, "--timeout", "4s", "-o", "out.json")
    process = cli.start("run", models.mlp, *ORT, *slow)
    strike(which, process, cli.folder / "out.json")
    ran = cli.end(process)
    assert ran.status == 0, ran
    row, other = rows(cli)["slow"], rows(cli)["onnxruntime:cpu"]
    assert row.status == status and row.remedy
    for word in words:
        assert word in row.why and word in " ".join(ran.out.split()), row.why
    assert 0 in rounds(row) and rounds(row)[-1] <= 2  # what it had read before is kept
    assert row.readings[-1].trouble == row.why and all(reading.trouble is None for reading in row.readings[:-1])
    assert other.status == "measured" and rounds(other) == [0, 1, 2]
    assert store.load(cli.folder / "out.json").finished
    assert not list(cli.temporary.iterdir())


def test_a_worker_that_hangs(inside: Inside, models: SimpleNamespace) -> None:
    slow = ("--on", "slow=null:cpu,delay=3600s", "--timeout", "4s")
    ran = inside("run", models.mlp, *ORT, *slow, *SHORT)
    assert ran.status == 0 and rounds(rows(inside)["onnxruntime:cpu"]) == [0]
    row = rows(inside)["slow"]
    assert row.status == "hung" and "within 4" in row.why and "--timeout" in row.remedy and row.readings


NOISY = """
import os, sys
if any("worker-" in part for part in sys.orig_argv):  # like a vendor's library, from Python, C and a thread
    import ctypes, importlib.abc, threading, time
    C = ctypes.CDLL(None)
    def shout(text):
        print("python: " + text, flush=True)
        os.write(1, ("descriptor: " + text).encode())  # no newline
        C.puts(("C: " + text).encode())
        C.fflush(None)
    def again():
        while True:
            shout('{"id": 1, "answer": null}')
            time.sleep(0.005)
    class AtImport(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "onnxruntime":
                shout("onnxruntime is imported")
            return None
    sys.meta_path.insert(0, AtImport())
    shout("the interpreter starts")
    %s
"""


@pytest.mark.parametrize("thread", ["", "threading.Thread(target=again, daemon=True).start()"], ids=["", "thread"])
def test_a_worker_that_prints_to_stdout(cli: Cli, models: SimpleNamespace, thread: str) -> None:
    (cli.folder / "sitecustomize.py").write_text(NOISY % thread)
    ran = cli("run", models.mlp, *ORT, *NULL, *SHORT, "--json", "--timeout", "20s", PYTHONPATH=str(cli.folder))
    assert ran.status == 0, ran
    assert set(ran.body()) == {"path", "summaries"}  # nothing strays into our own output
    for row in rows(cli).values():
        assert row.status == "measured" and rounds(row) == [0], row.why


def test_a_runtime_that_is_broken(cli: Cli, models: SimpleNamespace) -> None:
    broken = cli.folder / "path" / "openvino"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "import os, sys\nsys.stderr.write('no licence\\n')\nsys.stderr.flush()\nos.abort()\n"
    )
    run = ("run", models.mlp, *ORT, "--on", "openvino:cpu", *SHORT)
    ran = cli(*run, PYTHONPATH=str(broken.parent))
    row = rows(cli)["openvino:cpu"]
    assert ran.status == 0 and rounds(rows(cli)["onnxruntime:cpu"]) == [0]
    assert row.status == "not-here" and "SIGABRT" in row.why and "no licence" in row.why
    (broken / "__init__.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')\n")
    assert cli(*run, "--overwrite", PYTHONPATH=str(broken.parent)).status == 0
    row = rows(cli)["openvino:cpu"]
    assert row.status == "not-here" and "libfoo.so.1" in row.why and row.remedy


# ---------------------------------------------------------------- targets and options


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("nope:cpu", "no backend is called 'nope'"),
        ("", "is not a target"),
        (":", "is not a target"),
        ("=null", "is not a target"),
        ("onnxruntime:cpu,precision=int3", "precision=int3 is not known"),
        ("null:cpu,delay", "'delay' is not an option"),
        ("null:cpu,delay=1ms,delay=2ms", "stands twice"),
        ("null:cpu,python=/nowhere", "no Python interpreter at /nowhere"),
    ],
)
def test_targets_that_are_none(told: Told, models: SimpleNamespace, on: str, words: str) -> None:
    sentence(told("run", models.mlp, "--on", on), words)


@pytest.mark.parametrize(
    ("on", "status", "words"),
    [
        ("onnxruntime:gpu", "refused", "no provider for 'gpu'; it has: cpu"),
        ("onnxruntime:cpu,colour=red", "refused", "has no option 'colour'; it takes: "),
        ("onnxruntime:cpu,graph=most", "refused", "graph=most is not a level"),
        ("null:cpu,delay=soon", "refused", "write it as delay=50us"),
        ("null:cpu,python=/bin/true", "not-here", "ended with exit status 0"),
        ("null:cpu,python=/etc/passwd", "not-here", "/etc/passwd does not start"),
    ],
)
def test_targets_that_a_worker_refuses(
    told: Told, models: SimpleNamespace, tmp_path: Path, on: str, status: str, words: str
) -> None:
    ran = told("run", models.mlp, "--on", f"it={on}", "--budget", "1s", "--rounds", 1, "-o", tmp_path / "out.json")
    (row,) = store.load(tmp_path / "out.json").results
    assert ran.status == 1 and (row.name, row.status) == ("it", status) and words in row.why


def test_two_of_one_name(told: Told, models: SimpleNamespace) -> None:
    sentence(told("run", models.mlp, *NULL, *NULL), "two contenders are called 'null:cpu'", "--on a=null:cpu")
    sentence(told("run", models.mlp, "--on", "a=null:cpu", "--on", "a=onnxruntime:cpu"), "two contenders", "a=onnx")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--budget", "banana", "is not a time"),
        ("--timeout", "0s", "is not a time"),
        ("--width", "2", "is not a percentage"),
        ("--matters", "0%", "is not a percentage"),
        ("--cpus", "0,99999", "CPU 99999 can't be used here"),
        ("--cpus", "3-1", "is not a list of CPUs"),
        ("--threads", "0", "--threads"),
        ("--rounds", "none", "--rounds"),
        ("--seed", "-1", "--seed"),
    ],
)
def test_options_that_make_no_sense(told: Told, models: SimpleNamespace, option: str, value: str, words: str) -> None:
    sentence(told("run", models.mlp, *ORT, option, value), words)


# ---------------------------------------------------------------- places to write to, and full disks


def test_places_that_cannot_be_written(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    run = ("run", models.mlp, *NULL, "--budget", "1s", "--rounds", 1, "-o")
    sentence(told(*run, tmp_path / "nowhere" / "out.json"), "there is no folder", "mkdir -p")
    sentence(told(*run, tmp_path), "is a folder", str(tmp_path / "mlp.whichpu.json"))
    sentence(told(*run, tmp_path, "--overwrite"), "is a folder")
    if Path("/proc/self").exists():
        sentence(told(*run, "/proc/out.json"), "can't write /proc/out.json", "-o")


def test_an_output_that_exists(told: Told, models: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("mine")
    run = ("run", models.mlp, *NULL, "--budget", "1s", "--rounds", 1)
    sentence(told(*run, "-o", path), "exists", "--resume", "--overwrite")
    sentence(told(*run, "-o", path, "--resume"), "is not a campaign file")
    assert path.read_text() == "mine"
    sentence(told(*run, "--resume"), "--resume needs the campaign file", "-o FILE")
    sentence(told(*run, "--resume", "-o", tmp_path / "absent.json"), "there is no", "leave out --resume")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = None
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted is None or mounted.returncode:
        why = "only root may" if mounted is None else mounted.stderr.strip()
        pytest.skip(f"no small file system can be mounted here ({why}), so no disk can be filled")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Write until the disk is full, but for ``leave`` bytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, path.stat().st_size - leave))
    return path


def test_a_disk_that_fills_while_measuring(cli: Cli, models: SimpleNamespace, small_disk: Path) -> None:
    path = small_disk / "out.json"
    run = ("run", models.mlp, *ORT, *NULL, "--budget", "60s", "--width", "0.001%", "-o", path)
    process = cli.start(*run)
    wait_until(lambda: stored_rounds(path, process), "no round was stored")
    filler = fill(small_disk)
    ran = cli.end(process)
    sentence(ran, f"the disk of {path} is full", "--resume", "  Kept: ", "still holds what was saved before")
    kept = store.load(path)
    before = [rounds(result) for result in kept.results]
    assert kept.finished is None and before[0] and before[0] == before[1]
    assert {entry.name for entry in small_disk.iterdir()} == {"out.json", "filler"}  # no half-written file
    assert not list(cli.temporary.iterdir())
    filler.unlink()
    ran = cli(*run, "--resume", "--rounds", len(before[0]) + 1)
    assert ran.status == 0, ran
    after = store.load(path)
    assert after.finished and after.settings.seed == kept.settings.seed
    assert [rounds(result) for result in after.results] == [[*known, known[-1] + 1] for known in before]
    assert [result.readings[: len(before[0])] for result in after.results] == [list(r.readings) for r in kept.results]


def test_a_full_disk_is_known_before_measuring(cli: Cli, models: SimpleNamespace, small_disk: Path) -> None:
    fill(small_disk)
    ran = cli("run", models.mlp, *ORT, "--budget", "1h", "-o", small_disk / "out.json")
    sentence(ran, "is full", "free some space")
    assert "Kept" not in ran.err and not (small_disk / "out.json").exists()


def test_a_full_temporary_folder(cli: Cli, models: SimpleNamespace, small_disk: Path) -> None:
    fill(small_disk, leave=64 * 1024)  # room for small things, not for the samples
    shapes = ("--shape", "a=4000x4", "--shape", "b=4000x4")
    ran = cli("run", models.dynamic, *ORT, *shapes, *SHORT, TMPDIR=str(small_disk))
    sentence(ran, "disk is full", "TMPDIR=")
    assert {entry.name for entry in small_disk.iterdir()} == {"filler"}


def test_a_read_only_disk(inside: Inside, models: SimpleNamespace, small_disk: Path, campaign_file: Path) -> None:
    (small_disk / "old.json").write_bytes(campaign_file.read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name, more in (("new.json", ()), ("old.json", ("--overwrite",))):
        ran = inside("run", models.mlp, *ORT, "--budget", "1h", "-o", small_disk / name, *more)
        sentence(ran, "can't write", "Read-only file system", "choose another place with -o")
    assert store.load(small_disk / "old.json") == store.load(campaign_file)
    sentence(inside("report", campaign_file, "-o", small_disk / "page.html"), "Read-only file system")


# ---------------------------------------------------------------- Ctrl-C, and going on


def test_ctrl_c_keeps_whole_rounds_and_resume_goes_on(cli: Cli, models: SimpleNamespace) -> None:
    path = cli.folder / "out.json"
    run = ("run", models.mlp, *ORT, *NULL, "--budget", "1h", "--width", "0.001%", "-o", "out.json")
    process = cli.start(*run)
    wait_until(lambda: stored_rounds(path, process), "no round was stored")
    process.send_signal(signal.SIGINT)
    ran = cli.end(process)
    assert ran.status == 130 and "kept in out.json" in ran.err and "--resume" in ran.err
    wait_until(lambda: not workers(), "workers were left behind")
    assert not list(cli.temporary.iterdir())
    kept = store.load(path)
    known = rounds(kept.results[0])
    assert kept.finished is None and known and known == rounds(kept.results[1])
    ran = cli(*run, "--resume", "--rounds", len(known) + 1)
    assert ran.status == 0, ran
    after = store.load(path)
    assert after.finished and all(rounds(result) == [*known, known[-1] + 1] for result in after.results)


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_killed_leaves_no_worker(cli: Cli, models: SimpleNamespace, which: signal.Signals) -> None:
    run = ("run", models.mlp, *ORT, "--on", "null:cpu,delay=1ms", "--budget", "1h", "--timeout", "10min")
    process = cli.start(*run, "-o", "out.json")
    wait_until(lambda: stored_rounds(cli.folder / "out.json", process) and len(workers()) == 2, "no round was stored")
    process.send_signal(which)
    assert cli.end(process).status == -which
    wait_until(lambda: not workers(), "workers were left behind")
    assert rounds(rows(cli)["onnxruntime:cpu"])


def test_ctrl_c_while_a_runtime_hangs_at_its_import(cli: Cli, models: SimpleNamespace) -> None:
    broken = cli.folder / "path" / "openvino"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import time\nopen('hangs', 'w').close()\ntime.sleep(3600)\n")
    process = cli.start(
        "run", models.mlp, *ORT, "--on", "openvino:cpu", "--timeout", "10min", *SHORT, PYTHONPATH=str(broken.parent)
    )
    wait_until((cli.folder / "hangs").exists, "openvino was not imported")
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) == 130
    finally:
        cli.end(process)


def test_resume_of_something_else(inside: Inside, models: SimpleNamespace) -> None:
    run = ("--budget", "1s", "--rounds", 1, "-o", "out.json")
    assert inside("run", models.dynamic, *ORT, *run, "--shape", "a=1x4", "--shape", "b=1x4").status == 0
    before = (inside.folder / "out.json").read_bytes()
    again = (*run, "--resume")
    here = ("--shape", "a=1x4", "--shape", "b=1x4")
    for arguments, words in (
        ((models.mlp, *ORT, *again), "the model's bytes changed"),
        ((models.dynamic, *ORT, *again, "--shape", "a=2x4", "--shape", "b=2x4"), "the inputs changed"),
        ((models.dynamic, *ORT, *again, *here, "--threads", 2), "the number of threads changed"),
        ((models.dynamic, *ORT, *again, *here, "--cpus", min(os.sched_getaffinity(0))), "the CPUs of --cpus changed"),
        ((models.dynamic, *ORT, *NULL, *again, *here), "the list of contenders changed"),
    ):
        sentence(inside("run", *arguments), f"can't go on: {words}", "another file")
        assert (inside.folder / "out.json").read_bytes() == before


# ---------------------------------------------------------------- campaign files that are none


def changed(body: Any, value: Any, *path: Any) -> bytes:
    """The campaign with one thing changed, or removed for ``KeyError``."""
    body = json.loads(json.dumps(body))
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(body).encode()


def test_campaign_files_that_are_none(told: Told, campaign_file: Path, tmp_path: Path) -> None:
    whole = campaign_file.read_bytes()
    body = json.loads(whole)
    reading = ("results", 0, "readings", 0)
    cases = [(whole[:cut], "is not a campaign file") for cut in (0, 1, 100, len(whole) // 2, len(whole) - 3)]
    cases += [
        (b"\xff\xfe\0", "is not a campaign file"),
        (whole.replace(b'"mlp"', b'"\xff"'), "is not a campaign file"),
        (b"[" * 100_000, "is not a campaign file"),
        (b'{"settings": []}', "is not a campaign file"),
        (b"[1, 2]", "is not a campaign file"),
        (b"null", "is not a campaign file"),
        (changed(body, "whichpu.campaign/2", "schema"), "this WhichPU reads whichpu.campaign/1"),
        (changed(body, KeyError, "machine"), "is damaged"),
        (changed(body, {}, "results"), "is damaged"),
        (changed(body, "excellent", "results", 0, "status"), "is damaged"),
        (changed(body, -5, *reading, "load_ns"), "is damaged"),
        (changed(body, "AAAA", *reading, "latencies_ns", "data"), "is damaged"),
        (changed(body, "é", *reading, "latencies_ns", "data"), "is damaged"),
        (changed(body, "rot13", *reading, "latencies_ns", "encoding"), "is damaged"),
        (changed(body, 3, *reading, "latencies_ns", "count"), "is damaged"),
        (changed(body, -3, *reading, "latencies_ns", "count"), "is damaged"),
        (changed(body, None, *reading, "latencies_ns"), "is damaged"),
        (changed(body, 1, *reading, "blocks", 0, "count"), "is damaged"),
        (changed(body, 10**7, *reading, "blocks", 0, "opening"), "is damaged"),
    ]
    path = tmp_path / "file.json"
    for content, words in cases:
        path.write_bytes(content)
        for command in (("show",), ("show", "--json"), ("compare",), ("compare", campaign_file)):
            sentence(told(*command, path), str(path), words)
        page = tmp_path / "page.html"
        sentence(told("report", path, "-o", page), str(path), words)
        assert not page.exists()


@pytest.mark.parametrize("command", ["show", "compare", "report"])
def test_campaign_files_that_are_not_there(told: Told, tmp_path: Path, command: str) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        ran = told(command, path)
        assert ran.status == 1 and f"can't read {path}" in ran.err


# ---------------------------------------------------------------- our own mistakes


@pytest.mark.parametrize(
    "problem", [RuntimeError("a thing that can't be"), EOFError("nor this"), OSError(5, "nor that")]
)
def test_our_own_bug(
    told: Told, campaign_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def broken(campaign: object) -> None:
        raise problem

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(summary, "summarize", broken)  # the only patch of ours in this file
    ran = told("show", campaign_file, "--json")
    assert ran.status == 3 and "this is a bug in WhichPU, not your mistake" in ran.err
    (log,) = tmp_path.glob("whichpu-bug-*.log")
    assert str(log) in ran.err
    text = log.read_text()
    assert type(problem).__name__ in text and "Traceback" in text and str(campaign_file) in text


def test_a_worker_that_does_not_start(cli: Cli, models: SimpleNamespace) -> None:
    (cli.folder / "sitecustomize.py").write_text(
        "import sys\nif any('worker-' in part for part in sys.orig_argv):\n    sys.exit('no NumPy for you')\n"
    )
    ran = cli("run", models.mlp, *ORT, *SHORT, PYTHONPATH=str(cli.folder))
    sentence(ran, "the worker does not start", "no NumPy for you")
