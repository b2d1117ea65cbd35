"""Imports go one way, and nothing heavy is imported before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import whichpu

ROOT = Path(whichpu.__file__).parent
# What each room may import, besides itself and errors: the arrows of docs/architecture.md.
ARROWS = {
    "cli": {"commands", "reports"},
    "commands": {"api", "campaign", "graphs", "models", "recommend", "reports", "results", "studies"},
    "__main__": {"cli"},
    "__init__": {"api"},
    "api": {"campaign", "graphs", "models", "recommend", "reports", "results", "studies", "targets"},
    "recommend": {"results", "stats"},
    "studies": {"reports", "results"},
    "reports": {"graphs", "recommend", "results", "stats", "worker.wire"},
    "graphs": {"models.lead", "models.onnx_file", "worker.hef"},
    "campaign": {"models", "results", "stats", "targets", "tasks", "worker.wire"},
    "tasks": {"results", "stats"},
    "models": {"results", "worker.wire"},
    "results": {"stats", "worker.rails", "worker.wire"},
    "targets": {"worker.wire"},
    "stats": set(),
    "errors": set(),
}
RUNTIMES = (
    "onnxruntime",
    "openvino",
    "cv2",
    "torch",
    "ai_edge_litert",
    "tflite_runtime",
    "ncnn",
    "MNN",
    "hailo_platform",
    "mlperf_loadgen",
    "rknn",
    "rknnlite",
    "coremltools",
    "mxnet",
    "tensorrt",
    "tvm",
    "iree",
    "executorch",
)


def rooms_imported(path):
    """Modules of ours that a file imports, anywhere in it, as dotted names below the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.removeprefix("whichpu.") for name in node.names if name.name.startswith("whichpu."))
        elif isinstance(node, ast.ImportFrom) and node.module == "whichpu":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("whichpu."):
            below = node.module.removeprefix("whichpu.")
            if below == "worker":
                yield from (f"worker.{name.name}" for name in node.names)
            elif "." in below or below in ("errors", "api", "cli"):
                yield below
            else:
                yield from (f"{below}.{name.name}" for name in node.names)


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_the_arrows(path):
    room = room_of(path)
    if room == "worker":
        assert list(rooms_imported(path)) == [], "the worker imports only itself, by relative imports"
        return
    for module in rooms_imported(path):
        allowed = ARROWS[room] | {room, "errors", "__version__", "UserError"}
        fits = any(module == name or module.startswith(f"{name}.") for name in allowed)
        assert fits, f"{room} must not import {module}"


def test_host_imports_no_runtime_anywhere():
    for path in ROOT.rglob("*.py"):
        if room_of(path) == "worker" or path.name.endswith("_child.py"):  # run in a process of its own
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            of_runtimes = {name.split(".")[0] for name in names} & set(RUNTIMES)
            read_pictures = {"cv2"} if room_of(path) == "tasks" else set()  # its image library, not its runtime
            assert of_runtimes <= read_pictures, path


def test_help_imports_nothing_heavy():
    heavy = (*RUNTIMES, "onnx", "numpy", "scipy", "altair", "pandas", "msgspec")
    code = (
        "import sys\nfrom whichpu.cli import guarded\nstatus = guarded(['--help'])\n"
        f"print(status, sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stderr.strip() == "0 []"


def test_public_names_are_there():
    assert sorted(whichpu.__all__) == [
        "Measurement", "ScenarioMeasurement", "UserError", "__version__", "load", "measure", "scenario",
    ]  # fmt: skip
    for name in whichpu.__all__:
        assert getattr(whichpu, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whichpu.nothing  # noqa: B018
