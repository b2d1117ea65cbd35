"""examples/ethos_n_study: the networks are the same in every form, and the tables say what the routes make of them."""

import importlib
import sys
from pathlib import Path

import onnx
import pytest

from whichpu.graphs.cost import costs
from whichpu.graphs.readers import read

EXAMPLE = Path(__file__).parent.parent / "examples" / "ethos_n_study"


@pytest.fixture
def study(monkeypatch):
    """The script, whose modules import each other as neighbours."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = set(sys.modules)
    yield importlib.import_module("study")
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(EXAMPLE) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_every_form_is_the_same_network(study, tmp_path):
    files = study.written(study.network(4, "leaky_relu"), tmp_path)
    onnx.checker.check_model(onnx.load(files["qdq"]))
    macs = {form: sum(cost.macs or 0 for cost in costs(read(file))) for form, file in files.items()}
    assert len(set(macs.values())) == 1, macs


def test_onnx_runtime_runs_both_forms(study, tmp_path):
    import numpy as np
    import onnxruntime

    files = study.written(study.network(4, "relu"), tmp_path)
    image = np.zeros((1, 3, 128, 128), np.float32)
    for form in ("qdq", "qoperator"):
        session = onnxruntime.InferenceSession(files[form], providers=["CPUExecutionProvider"])
        assert session.run(None, {"image": image})[0].shape == (1, 8, 128, 128)


def test_the_tables(study, tmp_path, monkeypatch):
    monkeypatch.setitem(study.PRUNING, 3, 0.5)
    found = list(study.rows(tmp_path))
    by_route = {(row.network.name, row.route): row.placement.figures for row in found}
    whole = by_route["level2_leaky_relu", "TFLite INT8"]
    assert (whole.regions, whole.mac_share, whole.function_ratio) == (1, 1.0, 0.5)
    cut = by_route["level2_leaky_relu", "ONNX QDQ to integers, ConvertLayout"]
    assert cut.function_ratio > 0.9 > whole.function_ratio, "the ratio that reports print is the higher one"
    assert cut.boundary_bytes > 10 * 2**20 > whole.boundary_bytes
    assert by_route["level2_relu", "ONNX QDQ as it stands"].mac_share == 0
    text = study.report(found)
    assert "n/(n+1)" in text
    assert "| level2_leaky_relu | TFLite INT8 | 2 | 1 | 1 | 50.0 % | 100.0 % | 0 | 0.00 MiB |" in text
    assert "27 conversion triples, 27 of them one NPU layer each" in text
