"""IREE's backend: what it tells the compiler and makes of its words, without it.

With WHICHPU_TEST_IREE_PYTHON naming an interpreter that holds IREE's compiler and runtime, a network is really compiled
and run, and modules for other devices, damaged ones and ones of unknown inputs are refused by the real runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whichpu.worker import wire
from whichpu.worker.backends import Refused, compiling, iree

PYTHON = os.environ.get("WHICHPU_TEST_IREE_PYTHON")
real = pytest.mark.skipif(PYTHON is None, reason="WHICHPU_TEST_IREE_PYTHON names no interpreter with IREE")
EXAMPLES = Path(__file__).parents[2] / "examples" / "apple_stock"


def job(device: str = "cpu", **options: str) -> wire.Open:
    return wire.Open("iree", device, "model.onnx", "onnx", options=options)


def test_options_reach_the_compiler() -> None:
    told, words = iree._settings(job(opt="O3", channels_last="on"))
    assert told == {"target": "host", "opt": "O3", "channels_last": "on"}
    assert "--iree-llvmcpu-target-cpu=host" in words
    assert "--iree-opt-level=O3" in words
    assert any("channels-last" in word for word in words)
    assert "--iree-cuda-target=sm_86" in iree._settings(job("cuda", target="sm_86"))[1]
    assert not [word for word in iree._settings(job("vulkan"))[1] if "vulkan-target" in word]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (job(opt="O9"), "opt=O9 is not one of: O0, O1, O2, O3"),
        (job(channels_last="yes"), "channels_last=yes is neither on nor off"),
        (job("metal"), "IREE compiles for cpu, cuda, hip, vulkan, not for 'metal'"),
    ],
)
def test_other_options_are_refused(asked: wire.Open, words: str) -> None:
    with pytest.raises(Refused, match=words):
        iree._settings(asked)


@pytest.mark.parametrize(
    ("compiler", "words"),
    [(None, "compiler is not installed"), ("3.13.0", "compiler is 3.13.0 and its runtime 3.10.0")],
)
def test_compiler_and_runtime_must_match(monkeypatch: pytest.MonkeyPatch, compiler: str | None, words: str) -> None:
    monkeypatch.setattr(compiling, "version", {iree.RUNTIME: "3.10.0", iree.COMPILER: compiler}.get)
    with pytest.raises(Refused, match=words) as found:
        iree.build(job(), "nowhere")
    assert found.value.remedy == "pip install 'iree-base-compiler[onnx]==3.10.0'"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            'INCOMPATIBLE; HAL device `__device_0` not found or unavailable: #hal.device.target<"cuda",'
            ' [#hal.executable.target<"cuda", "cuda-nvptx-fb", {iree_codegen...',
            "m.vmfb is compiled for another device or processor: cuda, cuda-nvptx-fb",
        ),
        (
            "archive.c:122: INVALID_ARGUMENT; FlatBuffer length prefix out of bounds",
            "m.vmfb is damaged or truncated (IREE: FlatBuffer length prefix out of bounds)",
        ),
        (
            "required module features [Ch] are not available",
            "m.vmfb was compiled by another version of IREE than this runtime's"
            " (IREE: required module features [Ch] are not available)",
        ),
    ],
)
def test_the_runtimes_words_become_one_sentence(said: str, words: str) -> None:
    """Words of IREE 3.13.0 itself, cut."""
    assert iree._in_our_words("/a/b/m.vmfb", said) == words


def test_declared_inputs_are_read() -> None:
    function: Any = type("F", (), {"reflection": {"iree.abi.declaration": DECLARED}})
    facts = iree._told(function, job())
    assert facts.inputs == [wire.TensorSpec("input_0", "float32", [-1, 3]), wire.TensorSpec("input_1", "int64", [])]
    assert facts.outputs == [wire.TensorSpec("output_0", "float16", [2])]
    silent: Any = type("F", (), {"reflection": {}})
    with pytest.raises(Refused, match=r"model\.onnx does not tell what it takes"):
        iree._told(silent, job())


DECLARED = "sync func @f(%input0: tensor<?x3xf32>, %input1: tensor<i64>) -> (%output0: tensor<2xf16>)"


def test_a_compilers_error_is_its_first_one_line() -> None:
    log = "model.mlir:16:11: error: failed to legalize operation 'torch.operator'\n  ^\nnote: see current operation\n"
    assert compiling.first_error(log) == "failed to legalize operation 'torch.operator'"
    trace = "Traceback (most recent call last):\n  File x\nonnx.checker.ValidationError: bad\n"
    assert compiling.first_error(trace) == "onnx.checker.ValidationError: bad"
    with pytest.raises(Refused, match="tool was killed by signal 6: it said nothing"):
        compiling.run([sys.executable, "-c", "import os; os.abort()"], "tool")


def ran(folder: Path, *words: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "whichpu", "run", *words, "--rounds", "1", "--budget", "200ms", "--json"]
    done = subprocess.run([*command, "--overwrite"], cwd=folder, capture_output=True, text=True, timeout=300)
    path = next(folder.glob("*.json"))
    assert path.exists(), done.stderr
    results: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    return [one for one in results if one["backend"] == "iree"]


@real
def test_it_is_really_compiled_and_run(tmp_path: Path) -> None:
    targets = [f"--on=iree:cpu,{option}python={PYTHON}" for option in ("", "channels_last=on,", "threads=2,opt=O3,")]
    for row in ran(tmp_path, str(EXAMPLES / "lstm.onnx"), *targets):
        assert row["status"] == "measured", row["why"]
        assert row["precision"]["ran"] == "fp32"
        assert row["difference"]["relative"] < 1e-5
        assert row["effective"]["driver"] == ("local-task" if row["threads"] == 2 else "local-sync")


@real
def test_a_module_needs_the_onnx_model_beside_it(tmp_path: Path) -> None:
    module, source = compiled(tmp_path, "local"), str(EXAMPLES / "gru.onnx")
    (row,) = ran(tmp_path, source, "--form", module, f"--on=iree:cpu,python={PYTHON}")
    assert (row["status"], row["precision"]["ran"]) == ("measured", "not told")
    assert row["difference"]["relative"] < 1e-5


@real
@pytest.mark.parametrize(
    ("device", "cut", "words"), [("cuda", None, "compiled for another"), ("local", 5000, "damaged")]
)
def test_unfit_modules_are_refused_by_the_real_runtime(
    tmp_path: Path, device: str, cut: int | None, words: str
) -> None:
    module = Path(compiled(tmp_path, device))
    module.write_bytes(module.read_bytes()[:cut])
    (row,) = ran(tmp_path, str(EXAMPLES / "gru.onnx"), "--form", str(module), f"--on=iree:cpu,python={PYTHON}")
    assert row["status"] == "refused"
    assert words in row["why"]


def compiled(folder: Path, device: str) -> str:
    """gru.onnx as a module for this device."""
    home, module = Path(str(PYTHON)).parent, folder / "gru.vmfb"
    words = [str(home / "iree-import-onnx"), str(EXAMPLES / "gru.onnx"), "-o", str(folder / "gru.mlir")]
    subprocess.run(words, check=True, capture_output=True)
    local = ["--iree-hal-local-target-device-backends=llvm-cpu"] if device == "local" else []
    words = [str(home / "iree-compile"), str(folder / "gru.mlir"), f"--iree-hal-target-device={device}", *local]
    subprocess.run([*words, "-o", str(module)], check=True, capture_output=True)
    return str(module)
