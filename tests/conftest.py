"""What the tests share: tiny models, and the command line on real workers."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
CACHE = Path(tempfile.mkdtemp(prefix="whichpu-tests-"))
os.environ["WHICHPU_CACHE"] = str(CACHE)  # its worker-*.pyz also marks the workers of this test session
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from made import model_file, value  # noqa: E402
from onnx import helper  # noqa: E402

LIMIT_S = 120
"""Far more than any command here takes: only a hang reaches it."""


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    def body(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


class Cli:
    """``whichpu`` as a user starts it: a process of its own, in its own folder, with its own temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.temporary), "NO_COLOR": "1", "TERM": "dumb"}

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a command; the caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "whichpu", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Ran:
        """Wait for a started command."""
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
        assert "Traceback" not in err
        return Ran(process.returncode, out, err)

    def __call__(self, *arguments: object, **environment: str) -> Ran:
        return self.end(self.start(*arguments, **environment))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line in this process, for what needs no process of its own."""
    from whichpu.cli import guarded

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        status = guarded([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run


class Inside:
    """The command line in this process and a folder of its own: for what needs no process of its own."""

    def __init__(self, folder: Path, told: Callable[..., Ran]) -> None:
        self.folder = folder
        self.told = told

    def __call__(self, *arguments: object) -> Ran:
        ran = self.told(*arguments)
        assert "Traceback" not in ran.err
        return ran


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., Ran]) -> Inside:
    monkeypatch.chdir(tmp_path)
    return Inside(tmp_path, told)


@pytest.fixture(scope="session")
def shared_npu() -> Path:
    """Facts and compiled models: WHICHPU_TEST_NPU, else ``shared/npu`` beside the repository; skips without them."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "npu"
    folder = Path(os.environ.get("WHICHPU_TEST_NPU", beside))
    if not folder.is_dir():
        pytest.skip("needs the NPU sample data (WHICHPU_TEST_NPU)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The sample data and models: WHICHPU_TEST_DATA, else ``shared/data`` beside the repository; skips without them."""
    beside = Path(__file__).parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("WHICHPU_TEST_DATA", beside))
    if not (folder / "models.json").is_file():
        pytest.skip("the sample data aren't here: name their folder in WHICHPU_TEST_DATA")
    return folder


@pytest.fixture
def task_file(shared_data: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A task of ``tests/data/tasks`` by its name, in a folder where the sample data are."""

    def made(name: str) -> Path:
        for folder in shared_data.iterdir():
            link = tmp_path / folder.name
            if folder.is_dir() and not link.exists():
                link.symlink_to(folder)
        return Path(shutil.copy(Path(__file__).parent / "data" / "tasks" / f"{name}.toml", tmp_path))

    return made


# ---------------------------------------------------------------- models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of tiny ONNX models."""
    folder = tmp_path_factory.mktemp("models")
    node, line = helper.make_node, [1, 16]
    weights = np.random.default_rng(0).standard_normal((2, 16, 16)).astype(np.float32)
    layers = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("MatMul", ["b", "w2"], ["y"]),
    ]
    nan = [node("Sub", ["x", "nine"], ["a"]), node("Log", ["a"], ["y"])]
    huge = [
        node("ConstantOfShape", ["sizes"], ["a"]),
        node("ReduceMax", ["a"], ["b"], keepdims=0),
        node("Add", ["x", "b"], ["y"]),
    ]
    gelu = node("Gelu", ["x"], ["y"], domain="com.microsoft")
    x, y = {"x": line}, {"y": line}
    made = SimpleNamespace(
        folder=folder,
        mlp=model_file(folder / "mlp.onnx", layers, x, y, {"w1": weights[0], "w2": weights[1]}),
        other=model_file(folder / "other.onnx", layers, x, y, {"w1": weights[1], "w2": weights[0]}),
        dynamic=model_file(
            folder / "dynamic.onnx",
            [node("Add", ["a", "b"], ["y"])],
            {"a": ["N", 4], "b": ["N", 4]},
            {"y": ["N", 4]},
        ),
        nan=model_file(folder / "nan.onnx", nan, x, y, {"nine": np.float32(9)}),
        zero=model_file(folder / "zero.onnx", [node("Div", ["x", "x"], ["y"])], x, y),
        huge=model_file(folder / "huge.onnx", huge, x, y, {"sizes": np.array([2**47])}),
        unknown=model_file(folder / "unknown.onnx", [node("Nope", ["x"], ["y"])], x, y),
        late=model_file(folder / "late.onnx", [node("Relu", ["x"], ["y"])], x, y, opset=99),
    )
    graph = helper.make_graph([gelu], "graph", [value("x", line)], [value("y", line)])
    made.microsoft = folder / "microsoft.onnx"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made.microsoft.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return made


@pytest.fixture(scope="session")
def campaign_file(models: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real campaign: one runtime under two names, and the yardstick."""
    folder = tmp_path_factory.mktemp("campaign")
    runtimes = ("--on", "a=onnxruntime:cpu", "--on", "b=onnxruntime:cpu", "--on", "null:cpu")
    ran = Cli(folder)("run", models.mlp, *runtimes, "--budget", "1s", "--rounds", 2, "-o", "two.json")
    assert ran.status == 0, ran.err
    return folder / "two.json"
