"""A model without an ONNX form that nothing opens: the refusal's own words, exit 2 where falling back may not be."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from whichpu.campaign.reach import _unopened
from whichpu.cli import guarded
from whichpu.errors import EXIT_CHECK, EXIT_USER, FellBack
from whichpu.targets.link import WorkerTrouble
from whichpu.worker import wire

MODEL = SimpleNamespace(path=Path("m.tflite"))
STOCK = Path(__file__).parent.parent / "examples" / "apple_stock"
NONE_TAKEN = WorkerTrouble("fallback", "libx took none of the model's 3 operators", "run it on litert:cpu")


def test_a_sole_runtime_says_it_itself():
    found = _unopened(MODEL, {"litert:npu": NONE_TAKEN}, False)
    assert (str(found), found.remedy) == (f"litert:npu: {NONE_TAKEN}", "run it on litert:cpu")
    assert found.status == EXIT_USER


def test_words_of_no_remedy_get_ours():
    trouble = WorkerTrouble("refused", "bad flatbuffer\nat byte 3", wire.REMEDIES["refused"])
    found = _unopened(MODEL, {"litert:cpu": trouble}, True)
    assert str(found) == "no runtime here opens m.tflite: litert:cpu: bad flatbuffer"
    assert "damaged" in found.remedy and found.status == EXIT_USER


def test_several_runtimes_stand_in_one_sentence():
    refused = WorkerTrouble("refused", "no", "do that")
    found = _unopened(MODEL, {"a": NONE_TAKEN, "b": refused}, True)
    assert "a: libx took" in str(found) and "b: no" in str(found)
    assert isinstance(found, FellBack) and found.status == EXIT_CHECK


@pytest.mark.parametrize(("option", "status"), [([], EXIT_USER), (["--fail-on-fallback"], EXIT_CHECK)])
def test_a_total_fallback_of_a_sole_contender(tmp_path, monkeypatch, capfd, option, status):
    """LiteRT has no NPU here and would run all of it on the CPU."""
    pytest.importorskip("ai_edge_litert")
    model = STOCK / "gru.tflite"
    monkeypatch.chdir(tmp_path)
    asked = ["run", str(model), "--no-siblings", "--on", "litert:npu", "--meters", "off", *option]
    assert guarded(asked) == status
    said = capfd.readouterr().err
    assert "they would run on the CPU" in said and "litert:npu,delegate=" in said and "no runtime here" not in said
