"""TVM's backend for a current TVM, and what the compiling backends share.

With WHICHPU_TEST_TVM_PYTHON naming an interpreter that holds apache-tvm and onnx, a network is really compiled and run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from conftest import Small, save_onnx

from whichpu.worker import wire
from whichpu.worker.backends import Refused, compiling, tvm

PYTHON = os.environ.get("WHICHPU_TEST_TVM_PYTHON")
real = pytest.mark.skipif(PYTHON is None, reason="WHICHPU_TEST_TVM_PYTHON names no interpreter with TVM")
EXAMPLES = Path(__file__).parents[2] / "examples" / "apple_stock"


def job(model: str = "model.onnx", device: str = "cpu", **options: str) -> wire.Open:
    return wire.Open("tvm", device, model, "onnx", options=options)


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TVM without Relay and without CUDA."""
    monkeypatch.setitem(
        sys.modules,
        "tvm",
        SimpleNamespace(__version__="0.27.0", cuda=lambda index: SimpleNamespace(exist=False)),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (job(device="ethos-n"), "TVM 0.27.0 has no Ethos-N: it left TVM with Relay, after 0.18"),
        (job(device="npu"), "WhichPU runs TVM on cpu, cuda and ethos-n, not on 'npu'"),
        (job(device="cuda"), "TVM finds no CUDA device here"),
        (job(variant="n78"), "variant= is an option of tvm:ethos-n, not of tvm:cpu"),
    ],
)
def test_what_it_can_not_run_is_one_sentence(current: None, asked: wire.Open, words: str) -> None:
    with pytest.raises(Refused, match=words):
        tvm._refuse_others(asked)


def test_outputs_in_tuples_are_flat() -> None:
    one, other = (SimpleNamespace(numpy=lambda: None) for _ in range(2))
    assert tvm.flat(one) == [one]
    assert tvm.flat([one, [other]]) == [one, other]


def test_open_sizes_are_the_jobs(small: Small) -> None:
    asked = job(small.path)
    asked.inputs = list(small.inputs)
    facts = compiling.specs_of(compiling.onnx_model(asked, "onnx"))
    assert facts.inputs == [wire.TensorSpec("x", "float32", [3, 64])]
    assert [spec.name for spec in facts.outputs] == ["zeta", "alpha"]
    asked.inputs = [*small.inputs, wire.TensorSpec("y", "float32", [1])]
    with pytest.raises(Refused, match="the model takes 1 inputs, the job names 2"):
        compiling.onnx_model(asked, "onnx")


def test_weights_listed_as_inputs_are_not_fed(tmp_path: Path) -> None:
    nodes = [("Mul", ["x", "w"], ["y"], {})]
    both: dict[str, Any] = {"x": ("float32", [1, 4]), "w": ("float32", [4])}
    path = save_onnx(tmp_path / "old.onnx", nodes, both, {"y": ("float32", [1, 4])}, w=numpy.ones(4, "float32"))
    assert [spec.name for spec in compiling.specs_of(compiling.onnx_model(job(path), "onnx")).inputs] == ["x"]


def test_facts_are_kept_and_a_folder_without_them_is_one_sentence(tmp_path: Path) -> None:
    spec = wire.TensorSpec("x", "float32", [1, -1])
    compiling.Facts([spec], [spec], {"opt": "3"}).save(str(tmp_path))
    found = compiling.facts_of(str(tmp_path))
    assert (found.inputs, found.outputs, found.told) == ([spec], [spec], {"opt": "3"})
    with pytest.raises(Refused, match="is not whole"):
        compiling.facts_of(str(tmp_path / "nothing"))


def test_inputs_are_matched_by_name_else_by_position() -> None:
    specs = [wire.TensorSpec(name, "float32", [1]) for name in ("a", "b")]
    asked = job()
    asked.inputs = [specs[1], specs[0]]
    assert compiling.ordered(specs, asked) == [1, 0]
    asked.inputs = [wire.TensorSpec("c", "float32", [1]), specs[0]]
    assert compiling.ordered(specs, asked) == [0, 1]


def test_an_exception_is_one_line() -> None:
    assert compiling.one_line(ValueError("stack\n  frames\nthe  reason\n")) == "the reason"
    assert compiling.one_line(ValueError()) == "ValueError"
    assert len(compiling.one_line(ValueError("x" * 900))) < 410


def ran(folder: Path, *words: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "whichpu", "run", *words, "--rounds", "1", "--budget", "200ms", "-o", "out.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (folder / "out.json").exists(), done.stderr
    results: list[dict[str, Any]] = json.loads((folder / "out.json").read_text())["results"]
    return [one for one in results if one["backend"] == "tvm"]


@real
def test_it_is_really_compiled_and_run(small: Small, tmp_path: Path) -> None:
    words = ["--shape", "3x64", f"--on=tvm:cpu,python={PYTHON}", f"--on=tvm:cpu,target=host,opt=2,python={PYTHON}"]
    for row in ran(tmp_path, small.path, *words):
        assert (row["status"], row["precision"]["ran"]) == ("measured", "fp32"), row["why"]
        assert row["difference"]["relative"] < 1e-5


@real
def test_what_tvm_lacks_or_does_not_know_is_refused_in_one_sentence(tmp_path: Path) -> None:
    words = [f"--on=tvm:cpu,python={PYTHON}", f"--on=tvm:cpu,target=z80,python={PYTHON}"]
    lacks, unknown = ran(tmp_path, str(EXAMPLES / "gru.onnx"), *words)
    assert lacks["why"].endswith("The following operators are not supported for frontend ONNX: GRU")
    assert unknown["why"] == "target=z80 is no CPU that TVM's LLVM knows"
