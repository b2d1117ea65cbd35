"""ExecuTorch's backend: programs that ExecuTorch 1.5.1 wrote (tests/data/executorch), read without it.

With WHICHPU_TEST_EXECUTORCH_PYTHON naming an interpreter that holds ExecuTorch, small.pt2 (a linear layer, Relu, and a
cumulative sum, which XNNPACK's partitioner leaves) is really lowered and run.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from whichpu.results.placement import doubts_of_placement
from whichpu.worker import wire
from whichpu.worker.backends import FellBack, Refused, executorch, executorch_program

DATA = Path(__file__).parents[1] / "data" / "executorch"
PYTHON = os.environ.get("WHICHPU_TEST_EXECUTORCH_PYTHON")


@pytest.fixture
def library(monkeypatch):
    """ExecuTorch's bindings with these delegates, and nothing else."""
    has = ["XnnpackBackend"]
    bindings = SimpleNamespace(_is_available=has.__contains__, _get_registered_backend_names=lambda: has)
    monkeypatch.setattr(executorch, "_library", lambda: bindings)
    return has


def job(path, built=None, device="cpu", **options):
    return wire.Open("executorch", device, str(path), path.suffix[1:], options=options, built=built)


def test_a_program_tells_its_delegates_and_kernels() -> None:
    found = executorch_program.read(str(DATA / "partly.pte"))
    assert dict(found.delegates) == {"XnnpackBackend": 1}
    assert dict(found.nodes) == {"FullyConnected": 1}
    assert executorch_program.counted(found.kernels) == {"cumsum": 1}


def test_placement_names_what_the_partitioner_left() -> None:
    placement = executorch.placement_of(executorch_program.read(str(DATA / "partly.pte")))
    assert (placement.asked, placement.units) == ("xnnpack", {"xnnpack": 1, "portable kernels": 1})
    (left,) = placement.elsewhere
    assert (left.unit, left.operators, left.kinds) == ("portable kernels", 1, {"cumsum": 1})


def test_portable_kernels_that_were_asked_for_are_not_elsewhere() -> None:
    placement = executorch.placement_of(executorch_program.read(str(DATA / "portable.pte")))
    assert (placement.asked, placement.units) == ("portable kernels", {"portable kernels": 4})
    assert placement.elsewhere == []


def test_a_delegate_that_nobody_can_read_is_unknown_not_zero() -> None:
    program = executorch_program.read(str(DATA / "partly.pte"))._replace(unread=["QnnBackend"])
    placement = executorch.placement_of(program)
    assert placement.units == {}
    assert placement.unknown == "what the delegate QnnBackend took is in a form of its own"
    (left,) = placement.elsewhere  # what it left is known all the same
    assert (left.unit, left.operators, left.kinds) == ("portable kernels", 1, {"cumsum": 1})
    (doubt,) = doubts_of_placement(placement)
    assert doubt.kind == "fallback" and doubt.says.endswith("; 1 on portable kernels")
    assert doubts_of_placement(wire.Placement("npu", unknown="nobody tells"))[0].kind == "placement-unknown"


@pytest.mark.parametrize("size", [8, 40, 600, 1200, 2000])
def test_a_truncated_program_is_one_sentence(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.pte"
    path.write_bytes((DATA / "partly.pte").read_bytes()[:size])
    with pytest.raises(Refused, match=r"short\.pte is (truncated: \d+ of \d+ bytes|damaged)"):
        executorch_program.read(str(path))


def test_other_files_and_damage_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "other.pte"
    path.write_bytes(b"not a program at all")
    with pytest.raises(Refused, match="not an ExecuTorch program"):
        executorch_program.read(str(path))
    data = bytearray((DATA / "partly.pte").read_bytes())
    data[:4] = struct.pack("<i", len(data) + 100)
    path.write_bytes(bytes(data))
    with pytest.raises(Refused, match="is damaged"):
        executorch_program.read(str(path))
    with pytest.raises(Refused, match="has no method 'encode'; it has: forward"):
        executorch_program.read(str(DATA / "partly.pte"), "encode")


def test_a_delegate_that_is_not_here_is_named(library: list[str]) -> None:
    library[:] = ["QnnBackend"]
    with pytest.raises(Refused, match=r"partly\.pte is lowered for XnnpackBackend, .* it has: QnnBackend"):
        executorch.open(job(DATA / "partly.pte"))


def test_a_delegate_asked_of_a_lowered_program_must_be_its_own(library: list[str]) -> None:
    with pytest.raises(Refused, match=r"delegate=xnnpack, but portable\.pte was lowered with no delegate"):
        executorch.open(job(DATA / "portable.pte", delegate="xnnpack"))
    with pytest.raises(Refused, match="delegate=cuda is not one of: portable, xnnpack"):
        executorch.open(job(DATA / "portable.pte", delegate="cuda"))


def test_a_network_that_xnnpack_takes_nothing_of_fell_back(library: list[str], tmp_path: Path) -> None:
    shutil.copyfile(DATA / "portable.pte", tmp_path / executorch.PROGRAM)
    with pytest.raises(FellBack, match="partitioner took none of the 4 operators") as found:
        executorch.open(job(DATA / "small.pt2", built=str(tmp_path)))
    assert found.value.remedy == "write executorch:cpu,delegate=portable to measure that"


def test_other_devices_and_files_are_refused(library: list[str], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="on the CPU only, not on 'npu'"):
        executorch.open(job(DATA / "partly.pte", device="npu"))
    (tmp_path / "model.pt2").write_text("no archive")
    with pytest.raises(Refused, match="not a program saved by"):
        executorch.build(job(tmp_path / "model.pt2"), str(tmp_path))


@pytest.mark.skipif(PYTHON is None, reason="WHICHPU_TEST_EXECUTORCH_PYTHON names no interpreter with ExecuTorch")
def test_it_is_really_lowered_and_run(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "data.npz", input_0=numpy.arange(16, dtype="float32").reshape(2, 2, 4))
    targets = [word for name in ("xnnpack", "portable") for word in ("--on", f"executorch:cpu,delegate={name},{at()}")]
    asked = ["--on", "torch:cpu", *targets, "--rounds", "1", "--budget", "200ms", "--json", "--meters", "off"]
    command = [sys.executable, "-m", "whichpu", "run", str(DATA / "small.pt2"), *asked, "-o", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    rows = {row["target"].partition(",python")[0]: row for row in json.loads(done.stdout)["summaries"]}
    for name in ("xnnpack", "portable"):
        row = rows[f"executorch:cpu,delegate={name}"]
        assert (row["status"], row["ran_precision"]) == ("measured", "fp32")
        assert row["difference"]["relative"] < 1e-5
    placements = [one["placement"] for one in json.loads((tmp_path / "out.json").read_text())["results"]]
    assert {"xnnpack": 1, "portable kernels": 1} in [one["units"] for one in placements if one]


def at() -> str:
    return f"python={PYTHON}"


def test_a_program_that_is_not_lowered_yet_tells_its_inputs() -> None:
    """So a .pt2 can be measured by ExecuTorch alone, without another form that tells them."""
    pytest.importorskip("torch")
    (spec,) = executorch.open(job(DATA / "small.pt2")).inputs
    assert (spec.dtype, len(spec.shape)) == ("float32", 2)
